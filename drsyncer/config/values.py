"""The values that a configuration may hold: how each is written, checked and shown.

Checks raise ValueError with one sentence that says what was expected and never repeats the value: the value
might be a secret in the wrong place.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
)

from drsyncer import durations, own, paths, selectors, versions
from drsyncer.config.section import Kind

FOLDER = "folder"  # validation context: the folder that relative paths start from
LONGEST = 24 * 3600.0  # seconds: beyond a day a time-out is a slip of the pen
LONGEST_AGE = 366 * 24 * 3600.0  # seconds

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}", re.ASCII)
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]")


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return durations.parse(value)
    raise ValueError("expected a duration such as 30s; a number alone has no unit")


def _positive_duration(seconds: float) -> float:
    if not 0 < seconds <= LONGEST:
        raise ValueError("expected more than 0s and at most 24h")
    return seconds


def _long_duration(value: Any) -> Any:
    if isinstance(value, str):
        return durations.parse_long(value)
    raise ValueError("expected a duration such as 7d or 12h; a number alone has no unit")


def _positive_long_duration(seconds: float) -> float:
    if not 0 < seconds <= LONGEST_AGE:
        raise ValueError("expected more than 0s and at most 366d")
    return seconds


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            "expected a name of lower-case letters, digits, `-` and `.`, at most 63 characters, "
            "with a letter or digit at both ends"
        )
    return text


def _optional_name(text: str) -> str:
    return _name(text) if text else text


def _namespace(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise ValueError("expected the name of a namespace: lower-case letters, digits and `-`, at most 63 characters")
    return text


def _namespace_pattern(text: str) -> str:
    if text.count("*") > 1:
        raise ValueError("expected at most one `*`")
    if text != "*":
        _namespace(text.replace("*", "x"))
    return text


def _object_name(text: str) -> str:
    if not _DNS_NAME.fullmatch(text):
        raise ValueError("expected the name of an object: lower-case letters, digits, `-` and `.`")
    return text


def _glob(text: str) -> str:
    if not text or _SPACE.search(text):
        raise ValueError('expected a name or a glob such as "web-*", not empty and without blanks')
    return text


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected one line of text, not empty")
    if set(text) & set("<>"):
        raise ValueError("must not hold `<` or `>`: git uses them to set off the mail address")
    return text


def _unspaced(text: str) -> str:
    if not text or _SPACE.search(text):
        raise ValueError("must not be empty or hold blanks")
    return text


def _host(text: str) -> str:
    if not _DNS_NAME.fullmatch(text.removeprefix("*.").lower()):
        raise ValueError("expected a host name such as shop.example.com, or *.example.com for all below it")
    return text


def _selector(text: str) -> str:
    selectors.parse(text)
    return text


def _pointer(text: str) -> str:
    paths.parse(text)
    return text


def metadata_key(text: str) -> str:
    """Return `text` if it is a legal key of a label or annotation; else raise ValueError."""
    prefix, slash, name = text.rpartition("/")
    if (slash and not _DNS_NAME.fullmatch(prefix)) or not name or not _LABEL_VALUE.fullmatch(name):
        raise ValueError("expected the key of a label or annotation, such as app or example.com/app")
    return text


def changeable_key(text: str) -> str:
    """Return `text` if it is a legal key that people may set or remove; else raise ValueError."""
    metadata_key(text)
    if text.startswith((own.PREFIX, own.APPLYSET_PREFIX)):
        raise ValueError(f"keys under {own.PREFIX} and {own.APPLYSET_PREFIX} are DR-Syncer's own and cannot be changed")
    return text


def label_value(text: str) -> str:
    """Return `text` if it is a legal value of a label; else raise ValueError."""
    if not _LABEL_VALUE.fullmatch(text):
        raise ValueError(
            "expected a label's value: at most 63 letters, digits, `-`, `_` and `.`, "
            "with a letter or digit at both ends, or nothing"
        )
    return text


def _ref(text: str) -> str:
    # The rules of git-check-ref-format(1), for the short name of a branch or tag.
    wrong = (
        not text
        or text == "@"
        or text.startswith(("-", "/", ".", "refs/"))
        or text.endswith(("/", ".", ".lock"))
        or any(part in text for part in ("..", "//", "@{", "/.", ".lock/"))
        or re.search(r"[\s\x00-\x20\x7f~^:?*\[\\]", text)
    )
    if wrong:
        raise ValueError("expected the short name of a branch or tag, such as main, as git allows it")
    return text


def _optional_ref(text: str) -> str:
    return _ref(text) if text else text


def _optional_commit(text: str) -> str:
    if text and not _COMMIT.fullmatch(text):
        raise ValueError("expected a commit: 7 to 64 hexadecimal digits (quote one that has only digits)")
    return text.lower()


def _optional_range(text: str) -> str:
    versions.check_range(text)
    return text


def _folder_in_repository(text: str) -> str:
    parts = text.strip("/").split("/") if text.strip("/") else []
    if text.startswith("/") or "\\" in text or any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("expected a folder inside the repository such as clusters/prod: relative, with `/` between")
    if any(part in ("", ".", "..", ".git") for part in parts):
        raise ValueError("expected a folder inside the repository: no empty part, `.`, `..` or `.git`")
    return "/".join(parts)


def _local_path(text: str, info: ValidationInfo) -> str:
    if "\0" in text or "\n" in text:
        raise ValueError("expected the path of a file, on one line")
    if not text:
        return text
    path = Path(text)
    if text == "~" or text.startswith("~/"):
        path = Path.home() / text[2:]
    folder = (info.context or {}).get(FOLDER)
    return str(folder / path) if folder else str(path)


def _remote(text: str, info: ValidationInfo) -> str:
    if not text:
        raise ValueError("fill in where the recovery repository is: ssh://…, https://…, user@host:path, or a path")
    if text.startswith("-") or _SPACE.search(text):
        raise ValueError("expected a URL or a path: not starting with `-` and without blanks")
    scheme, separator, rest = text.partition("://")
    if separator:
        return _url(text, scheme=scheme.lower(), rest=rest)
    before_slash = text.split("/", 1)[0]
    if "::" in before_slash:
        raise ValueError("git's remote helpers (`name::address`) are not allowed; use ssh, https, file or a path")
    if ":" in before_slash.split("@", 1)[0] and "@" in before_slash:
        raise ValueError("a password does not belong here; use auth.sshKeyFile, or https:// and auth.tokenFile")
    return text if ":" in before_slash else _local_path(text, info)


def _url(text: str, *, scheme: str, rest: str) -> str:
    """Return `text` if it is a URL that git may be given; else raise ValueError."""
    if scheme in ("http", "git"):
        raise ValueError(f"{scheme}:// is neither encrypted nor authenticated; use https:// or ssh://")
    if scheme not in ("ssh", "https", "file"):
        raise ValueError("expected ssh://, https://, file://, user@host:path, or a path")
    host = rest.split("/", 1)[0]
    if scheme == "https" and "@" in host:
        raise ValueError("credentials do not belong in the URL; use auth.usernameFile and auth.tokenFile")
    if scheme != "file" and ("?" in rest or "#" in rest):
        raise ValueError("the URL of a repository has no `?` or `#`")
    if scheme != "file" and (not host.rpartition("@")[2] or "/" not in rest.rstrip("/")):
        raise ValueError("expected a host and a path, as in ssh://git@git.example.com/dr/recovery.git")
    if scheme == "file" and not rest.startswith("/"):
        raise ValueError("expected an absolute path, as in file:///srv/git/recovery.git")
    return text


Flag = Annotated[StrictBool, Kind("true or false", "true")]
Text = Annotated[StrictStr, Kind("text", "text")]
Line = Annotated[StrictStr, Kind("text", "DR-Syncer"), AfterValidator(_line)]
Unspaced = Annotated[StrictStr, Kind("text", "registry.example.com/"), AfterValidator(_unspaced)]
Name = Annotated[StrictStr, Kind("a name", "prod"), AfterValidator(_name)]
OptionalName = Annotated[StrictStr, Kind("a name", "prod"), AfterValidator(_optional_name)]
Namespace = Annotated[StrictStr, Kind("a namespace", "shop"), AfterValidator(_namespace)]
NamespacePattern = Annotated[StrictStr, Kind("a namespace", "shop-dr"), AfterValidator(_namespace_pattern)]
ObjectName = Annotated[StrictStr, Kind("a name", "standard"), AfterValidator(_object_name)]
Host = Annotated[StrictStr, Kind("a host name", '"*.example.com"'), AfterValidator(_host)]
Glob = Annotated[StrictStr, Kind("a glob", '"web-*"'), AfterValidator(_glob)]
SelectorText = Annotated[StrictStr, Kind("a label selector", '"app=web,tier in (front)"'), AfterValidator(_selector)]
PathText = Annotated[StrictStr, Kind("a path inside an object", "/spec/replicas"), AfterValidator(_pointer)]
MetadataKey = Annotated[StrictStr, Kind("a key", "example.com/site"), AfterValidator(metadata_key)]
ChangeableKey = Annotated[StrictStr, Kind("a key", "example.com/site"), AfterValidator(changeable_key)]
LabelValue = Annotated[StrictStr, Kind("a label's value", "dr"), AfterValidator(label_value)]
Branch = Annotated[StrictStr, Kind("a branch", "main"), AfterValidator(_ref)]
OptionalBranch = Annotated[StrictStr, Kind("a branch", "main"), AfterValidator(_optional_ref)]
OptionalTag = Annotated[StrictStr, Kind("a tag", "v1.4.0"), AfterValidator(_optional_ref)]
OptionalCommit = Annotated[StrictStr, Kind("a commit", '"3f2c1a9"'), AfterValidator(_optional_commit)]
OptionalRange = Annotated[StrictStr, Kind("a range of versions", '">=1.0 <2"'), AfterValidator(_optional_range)]
FolderInRepository = Annotated[
    StrictStr, Kind("a folder in the repository", "clusters/prod"), AfterValidator(_folder_in_repository)
]
LocalPath = Annotated[StrictStr, Kind("a path", "keys/deploy"), AfterValidator(_local_path)]
RemoteUrl = Annotated[
    StrictStr, Kind("a URL or path", "ssh://git@git.example.com/dr/recovery.git"), AfterValidator(_remote)
]
Duration = Annotated[
    float,
    Kind("a duration", "30s"),
    BeforeValidator(_duration),
    AfterValidator(_positive_duration),
    PlainSerializer(durations.text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": durations.PATTERN, "examples": ["30s", "5m", "1h30m"]}),
]
LongDuration = Annotated[
    float,
    Kind("a duration, also in days", "7d"),
    BeforeValidator(_long_duration),
    AfterValidator(_positive_long_duration),
    PlainSerializer(durations.text_long, return_type=str),
    WithJsonSchema({"type": "string", "pattern": durations.PATTERN_LONG, "examples": ["12h", "1d", "7d"]}),
]
Count = Annotated[StrictInt, Kind("a whole number", "50"), Field(ge=0, le=1_000_000_000)]
Percent = Annotated[StrictInt, Kind("a percentage from 0 to 100", "20"), Field(ge=0, le=100)]
Workers = Annotated[StrictInt, Kind("a whole number from 1 to 256", "8"), Field(ge=1, le=256)]
PageSize = Annotated[StrictInt, Kind("a whole number from 10 to 10000", "500"), Field(ge=10, le=10_000)]
Attempts = Annotated[StrictInt, Kind("a whole number from 1 to 100", "8"), Field(ge=1, le=100)]
Factor = Annotated[StrictFloat, Kind("a number from 1 to 10", "2"), Field(ge=1, le=10, allow_inf_nan=False)]
Fraction = Annotated[StrictFloat, Kind("a number from 0 to 1", "0.2"), Field(ge=0, le=1, allow_inf_nan=False)]
