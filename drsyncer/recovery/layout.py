"""Where each object lies in the recovery repository, and which object a path belongs to.

    cluster/<plural.group>/<name>.yaml
    namespaces/<namespace>/<plural.group>/<name>.yaml
    volumes/<namespace>/<claim>.yaml                  what is known of the claim's data: see `drsyncer.recovery.volumes`

Paths are relative to `repository.path`, with `/` between their parts, and hold printable ASCII only. A Kubernetes
name may be any text without `/` and `%` other than `.` and `..` (RBAC names are), so whatever a file system somewhere
refuses is written as `%XX`: since no name holds a `%`, this is unambiguous and can be undone.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from drsyncer.errors import GitError, InvalidManifest
from drsyncer.manifest import ObjectRef

CLUSTER: Final = "cluster"
NAMESPACES: Final = "namespaces"
VOLUMES: Final = "volumes"
CLAIMS: Final = "persistentvolumeclaims"
SUFFIX: Final = ".yaml"

_LONGEST_PART = 255  # bytes: NAME_MAX of every common file system
_LONGEST_STEM = _LONGEST_PART - len(SUFFIX)
# A tilde never stands for itself, so a shortened stem can't be the stem of another object's real name.
_CUT = "~"
_DIGEST = 64  # hexadecimal digits of a SHA-256
# What Windows refuses in a file name, colons too although RBAC names are full of them: one such path and a clone there
# can't be checked out at all. Then the mark of a cut, and the escape itself.
_ESCAPED = frozenset('<>:"|?*\\' + _CUT + "%")
_KEPT = _LONGEST_STEM - _DIGEST - len(_CUT)  # bytes of a shortened name before the mark; up to 2 less: no cut in %XX
_PLAIN = "".join(re.escape(char) for char in map(chr, range(0x20, 0x7F)) if char not in _ESCAPED | {"/"})
_SHORTENED = re.compile(
    rf"(?=[^{_CUT}]{{{_KEPT - 2},{_KEPT}}}{_CUT})([{_PLAIN}]|%[0-9A-F]{{2}})+{_CUT}[0-9a-f]{{{_DIGEST}}}"
)
_TYPE = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NEEDS_NO_ESCAPE = re.compile(rf"[{_PLAIN}]*")  # nearly every name: one look instead of one per letter
_NAME = ("metadata", "name")


@dataclass(frozen=True, slots=True)
class Place:
    """What a path says about the object in it."""

    type: str
    namespace: str  # "" for a cluster-scoped object
    stem: str  # the file name without `.yaml`

    @property
    def ref(self) -> ObjectRef | None:
        """The object; None when its name was too long for a file name, so that only the file's content tells it."""
        if _SHORTENED.fullmatch(self.stem):
            return None
        return ObjectRef(self.type, self.namespace, _decoded(self.stem))


def path_of(ref: ObjectRef) -> str:
    """Given an object return its path, relative to `repository.path`.

    The same object always has the same path; two objects never share one.

    Raises `GitError` for what no API server may call an object: an empty name, `.`, `..`, or a `/` or `%` in it.
    """
    if not _legal_name(ref.name) or not _TYPE.fullmatch(ref.type) or len(ref.type) > _LONGEST_PART:
        raise GitError(f"recovery.layout: no file can be named for {ref!s:.400}: that is no legal Kubernetes name")
    file = f"{ref.type}/{_stem(ref.name)}{SUFFIX}"
    if not ref.namespace:
        return f"{CLUSTER}/{file}"
    if not _legal_name(ref.namespace) or len(_encoded(ref.namespace)) > _LONGEST_PART:
        raise GitError(f"recovery.layout: no folder can be named for namespace {ref.namespace!r:.400}")
    return f"{NAMESPACES}/{_encoded(ref.namespace)}/{file}"


def place_of(path: str) -> Place | None:
    """Given a path relative to `repository.path` return what it says, or None when it is no object's file.

    Never raises: paths come from a repository that others write to. A path that `path_of` would not give, such as
    one with `..`, an absolute one or one with a needless escape, is no object's file.
    """
    match path.split("/"):
        case [top, type_, file] if top == CLUSTER:
            namespace = ""
        case [top, folder, type_, file] if top == NAMESPACES and folder and _well_written(folder):
            namespace = _decoded(folder)
        case _:
            return None
    return _place(type_, namespace, file)


def record_path(namespace: str, name: str) -> str:
    """Given a PersistentVolumeClaim return the path of the record of its data, relative to `repository.path`.

    Raises `GitError` as `path_of` does.
    """
    return record_beside(path_of(ObjectRef(CLAIMS, namespace, name)))


def record_beside(path: str) -> str:
    """Given a PersistentVolumeClaim's path return that of its record; "" for the path of anything else."""
    match path.split("/"):
        case [top, folder, type_, file] if top == NAMESPACES and type_ == CLAIMS:
            return f"{VOLUMES}/{folder}/{file}"
    return ""


def record_place(path: str) -> Place | None:
    """Given a path return the PersistentVolumeClaim whose record lies there; None when it is no record's path.

    Never raises, and is as strict as `place_of`. The place of the claim itself is `claim_beside`.
    """
    match path.split("/"):
        case [top, folder, file] if top == VOLUMES and folder and _well_written(folder):
            return _place(CLAIMS, _decoded(folder), file)
    return None


def claim_beside(path: str) -> str:
    """Given a record's path return that of the PersistentVolumeClaim; "" for a path of anything else."""
    if record_place(path) is None:
        return ""
    _, folder, file = path.split("/")
    return f"{NAMESPACES}/{folder}/{CLAIMS}/{file}"


def owned(path: str) -> bool:
    """Return whether `path` is an object's file or a volume's record: what an export may write, and may delete.

    `dr-syncer.yaml` and all that people keep beside them (README, `transforms/`, …) are not.
    """
    return place_of(path) is not None or record_place(path) is not None


def counts(paths: Iterable[str]) -> Counter[tuple[str, str]]:
    """Return how many objects' files are among `paths`, by type and namespace ("" for cluster-scoped objects)."""
    places = (place_of(path) for path in paths)
    return Counter((place.type, place.namespace) for place in places if place is not None)


def check(path: str, ref: ObjectRef) -> None:
    """Raise `InvalidManifest` unless the object `ref`, found in the file `path`, is the one that belongs there."""
    try:
        expected = path_of(ref)
    except GitError:
        told = f"{ref.namespace!r:.300}, {ref.name!r:.300}" if ref.namespace else f"{ref.name!r:.300}"
        raise InvalidManifest(path, 0, f"calls itself {told}: that is no legal Kubernetes name", about=_NAME) from None
    if path != expected:
        raise InvalidManifest(path, 0, f"holds {ref}, whose place is {expected}", about=_NAME)


def _place(type_: str, namespace: str, file: str) -> Place | None:
    stem = file.removesuffix(SUFFIX)
    if stem == file or not stem or not _TYPE.fullmatch(type_) or max(len(type_), len(file)) > _LONGEST_PART:
        return None
    if not _SHORTENED.fullmatch(stem) and not _well_written(stem):
        return None
    return Place(type_, namespace, stem)


def _legal_name(name: str) -> bool:
    """Return whether an API server may accept `name` as one segment of a path: its loosest rule for names."""
    return name not in ("", ".", "..") and "/" not in name and "%" not in name


def _stem(name: str) -> str:
    encoded = _encoded(name)
    if len(encoded) <= _LONGEST_STEM:
        return encoded
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    kept = encoded[:_KEPT]
    return re.sub(r"%[0-9A-F]?$", "", kept) + _CUT + digest


def _encoded(text: str) -> str:
    if _NEEDS_NO_ESCAPE.fullmatch(text):
        return text
    return "".join(
        f"%{byte:02X}" if not 0x20 <= byte < 0x7F or chr(byte) in _ESCAPED else chr(byte)
        for byte in text.encode("utf-8", "surrogatepass")
    )


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode("utf-8", "surrogatepass")


def _well_written(part: str) -> bool:
    """Return whether `part` is exactly what `_encoded` writes for some legal name."""
    try:
        name = _decoded(part)
    except UnicodeError:
        return False
    return _legal_name(name) and _encoded(name) == part
