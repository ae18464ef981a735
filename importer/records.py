"""What the importer remembers about each object between two runs: two digests, in ConfigMaps of the DR cluster.

Losing the records costs one apply per object that changes nothing; it never costs correctness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from drsyncer.manifest import ObjectRef

# A ConfigMap holds 1 MiB; half of that leaves room for growth between two runs.
SHARD_BYTES = 512 * 1024
_PLAIN = "".join(map(chr, range(0x20, 0x7F)))
KEY = "records"


@dataclass(frozen=True, slots=True)
class Record:
    """One file of the recovery repository as it was last brought to the DR cluster.

    `source` stands for everything that the object was made from (content, rules), `desired` for the
    object as it was applied, `entry` for the fields that are ours in DR. `ref` is the object in DR,
    or None for a file that the importer's selection left out (then the digests are empty).
    """

    source: str
    ref: ObjectRef | None
    desired: str = ""
    entry: str = ""


Records = Mapping[str, Record]  # by path in the recovery repository


def shards(records: Records) -> list[str]:
    """Return the records as texts, each small enough for one ConfigMap; the same records give the same texts."""
    lines = {path: _line(path, records[path]) for path in sorted(records)}
    size = sum(len(line.encode()) for line in lines.values())
    count = 1
    while count * SHARD_BYTES < size:
        count *= 2
    parts: list[list[str]] = [[] for _ in range(count)]
    for path, line in lines.items():
        parts[_shard_of(path, count)].append(line)
    return ["".join(part) for part in parts]


def parse(texts: Iterable[str]) -> dict[str, Record]:
    """Return the records of `shards`; a damaged line is dropped, as if that object had no record."""
    found = {}
    for text in texts:
        for line in text.split("\n"):
            fields = line.split("\t")
            if len(fields) == 5:
                path, source, ref, desired, entry = fields
                found[path] = Record(source, _parse_ref(ref), desired, entry)
    return found


def _shard_of(path: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big") % count


def _line(path: str, record: Record) -> str:
    # A name may hold anything but `/` and `%`, so `%XX` is free to stand for what would break a line.
    ref = "|".join((record.ref.type, record.ref.namespace, _quoted(record.ref.name))) if record.ref else ""
    return "\t".join((path, record.source, ref, record.desired, record.entry)) + "\n"


def _parse_ref(text: str) -> ObjectRef | None:
    parts = text.split("|", 2)
    return ObjectRef(parts[0], parts[1], unquote(parts[2])) if len(parts) == 3 else None


def _quoted(name: str) -> str:
    return name if name.isascii() and name.isprintable() else quote(name, safe=_PLAIN)
