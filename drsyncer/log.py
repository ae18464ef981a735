"""Log lines: for people on a terminal, as JSON in pods; to standard error, and never with a secret in them.

Everything runs through the standard library's logging, so the lines of libraries take the same way out.
structlog turns records into lines. It is loaded with the first line that is written, because it costs
more start-up time than all the rest of a command that has nothing to say.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from drsyncer.json import quoted

Format = Literal["text", "json"]

_ROOT = "dr-syncer"
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # by the number of -v

# Below WARNING these write request bodies, answers, tokens or command lines.
_TALKATIVE = ("kubernetes", "git", "oauthlib", "requests_oauthlib")

_MASK = "***"
_SECRET_WORDS = (
    *("token", "password", "passwd", "passphrase", "secret", "authorization", "credential", "cookie", "bearer"),
    *("apikey", "privatekey", "accesskey"),
)
_SECRET_KEYS = frozenset(("data", "stringdata", "binarydata"))  # of Secrets, and ConfigMaps are no safer
_HARMLESS_ENDINGS = frozenset(("file", "path", "name", "count"))
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SECRET_TEXT = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}"
    r"|(?<=://)[^/\s@]+(?=@)"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|\bAGE-SECRET-KEY-[\w-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.IGNORECASE | re.DOTALL,
)
# Names come from clusters: no line may be forged and no terminal steered by one.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BARE = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_COLOURS = {
    "debug": "\x1b[2m",
    "info": "\x1b[36m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[31;1m",
}

Event = MutableMapping[str, Any]


class Logger:
    """Writes lines of one area. `context` is what each of its lines says besides the message."""

    __slots__ = ("_area", "_context", "_logger")

    def __init__(self, area: str, context: Mapping[str, Any]) -> None:
        self._area = area
        self._context = context
        self._logger = logging.getLogger(f"{_ROOT}.{area}")

    def bind(self, **context: Any) -> Logger:
        """Return a logger whose lines also say `context`."""
        return Logger(self._area, {**self._context, **context})

    def debug(self, message: str, /, **context: Any) -> None:
        self._write(logging.DEBUG, message, context)

    def info(self, message: str, /, **context: Any) -> None:
        self._write(logging.INFO, message, context)

    def warning(self, message: str, /, **context: Any) -> None:
        self._write(logging.WARNING, message, context)

    def error(self, message: str, /, **context: Any) -> None:
        self._write(logging.ERROR, message, context)

    def exception(self, message: str, /, **context: Any) -> None:
        """As `error`, with the traceback of the exception being handled."""
        self._write(logging.ERROR, message, context, exc_info=True)

    def _write(self, level: int, message: str, context: dict[str, Any], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            told = {"area": self._area, "context": {**self._context, **context}}
            self._logger.log(level, "%s", message, exc_info=exc_info, extra={"told": told})


def get(name: str) -> Logger:
    """Return the logger of an area, named as its module (`get(__name__)`). Free of cost at import time."""
    return Logger(name, {})


def configure(*, format: Format, verbosity: int, stream: TextIO | None = None) -> None:
    """Send all log lines, the libraries' too, to `stream` (default: standard error, whatever it is at that moment).

    `verbosity` counts the -v: 0 shows warnings and errors, 1 also what is being done, 2 and more also how.
    Libraries show warnings, from 2 on also information, and never their debugging lines, which hold request
    bodies. Colours only for text on a terminal without NO_COLOR. May be called again; the last call counts.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Output):
            root.removeHandler(handler)
    others = logging.INFO if verbosity > 1 else logging.WARNING
    output = _Output(None if stream is sys.stderr else stream, format, others)
    root.addHandler(output)
    root.setLevel(others)
    logging.getLogger(_ROOT).setLevel(_LEVELS[max(0, min(verbosity, len(_LEVELS) - 1))])


def mask(value: Any) -> Any:
    """Return `value` as plain data for a log line, without what looks like a secret.

    Hidden are values under keys such as token, password, authorization or data (numbers and booleans stay:
    they are counts and switches), and bearer tokens, passwords in URLs and private keys inside any text.
    A last line of defence: secrets are not to be logged in the first place.
    """
    if isinstance(value, str):
        return _SECRET_TEXT.sub(lambda found: (found["scheme"] or "") + _MASK, value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _MASK if _is_secret(str(key), item) else mask(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    return mask(str(value))


def _is_secret(key: str, value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return False
    words = [word.lower() for word in _WORD.findall(key)] or [key.lower()]
    if words[-1] in _HARMLESS_ENDINGS:
        return False
    joined = "".join(words)
    return joined in _SECRET_KEYS or any(word in joined for word in _SECRET_WORDS)


class _Output(logging.Handler):
    """Writes lines to one stream. Without one it asks for sys.stderr each time: a live display may stand in for it."""

    def __init__(self, stream: TextIO | None, format: Format, others: int) -> None:
        super().__init__()
        self._stream = stream
        self._format = format
        self._others = others
        self._lines: logging.Formatter | None = None
        self.addFilter(self._is_wanted)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        library, _, _ = record.name.partition(".")
        if library == _ROOT:
            return True
        return record.levelno >= (logging.WARNING if library in _TALKATIVE else self._others)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            stream = self._stream or sys.stderr
            if self._lines is None:
                self._lines = _lines(self._format, colours=_has_colours(self._stream or sys.__stderr__))
            stream.write(self._lines.format(record) + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001 - a line that cannot be written must not stop an import; logging reports it
            self.handleError(record)


def _has_colours(stream: TextIO | None) -> bool:
    environment = os.environ
    wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return wanted and stream is not None and stream.isatty()


def _lines(format: Format, *, colours: bool) -> logging.Formatter:
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_fields, structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _masked,
            structlog.processors.JSONRenderer() if format == "json" else _Text(colours=colours),
        ],
    )


def _fields(_logger: Any, _method: str, event: Event) -> Event:
    record: logging.LogRecord = event["_record"]
    told: dict[str, Any] = getattr(record, "told", {"area": record.name, "context": {}})
    head = {
        "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "level": record.levelname.lower(),
        "area": told["area"],
        "message": event.pop("event"),
    }
    context = {f"{key}_" if key in head or key == "exc_info" else key: value for key, value in told["context"].items()}
    return {**head, **context, **event}


def _masked(_logger: Any, _method: str, event: Event) -> Event:
    masked: Event = mask(event)
    return masked


class _Text:
    """Renders one line for people, and the traceback below it."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _logger: Any, _method: str, event: Event) -> str:
        time, level, area, message = (event.pop(key) for key in ("time", "level", "area", "message"))
        trace = event.pop("exception", "")
        label = f"{level:<7}"
        if self._colours:
            label = f"{_COLOURS.get(level, '')}{label}\x1b[0m"
        words = [time, label, area, _visible(message), *(f"{key}={_shown(value)}" for key, value in event.items())]
        return "\n".join((" ".join(words), *(f"    {_visible(line)}" for line in trace.splitlines())))


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else quoted(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", value))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_visible(key)}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)
