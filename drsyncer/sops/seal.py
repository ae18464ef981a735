"""One line in the `sops` block that vouches for every byte of a file that DR-Syncer wrote.

sops's own MAC covers the values of a file. It does not cover the keys of readable values, the wrapped data keys of
others, or how a value is written. So the block has one key more, which sops passes over when it reads and drops when
it writes (a file that `sops updatekeys` has been at is then as safe as any other file of sops):

    dr_syncer: s1.<origin>.<seal>

`seal` is an HMAC over all other bytes, with a key made from the data key: whoever can decrypt the file can check it.
`origin` is the exporter's own mark, by which it knows its file again without being able to decrypt it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

KEY = "dr_syncer"
_PURPOSE = b"dr-syncer.io seal 1"
_BLOCK = b"\nsops:\n"
_LINE = re.compile(rb"^  dr_syncer: (s1\.([0-9a-f]{64})\.([0-9a-f]{64}))\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed file taken apart: `rest` is all but the line, `text` what the line says."""

    rest: bytes
    text: str
    origin: str
    seal: str

    def holds(self, data_key: bytes) -> bool:
        """Return whether every byte of the file is as it was when it was sealed."""
        return hmac.compare_digest(self.seal, _seal(self.rest, self.origin, data_key))


def split(data: bytes) -> Sealed | None:
    """Return the parts of a sealed file, or None for one without the line."""
    block = data.rfind(_BLOCK)
    found = _LINE.search(data, block + len(_BLOCK)) if block >= 0 else None
    if found is None:
        return None
    rest = data[: found.start()] + data[found.end() :]
    return Sealed(rest, found[1].decode(), found[2].decode(), found[3].decode())


def join(rest: bytes, *, origin: str, data_key: bytes) -> bytes:
    """Return `rest`, a file whose last part is its `sops` block, with the line put in."""
    at = rest.rfind(_BLOCK) + len(_BLOCK)
    line = f"  {KEY}: s1.{origin}.{_seal(rest, origin, data_key)}\n"
    return rest[:at] + line.encode() + rest[at:]


def _seal(rest: bytes, origin: str, data_key: bytes) -> str:
    key = hmac.digest(data_key, _PURPOSE, "sha256")
    return hmac.new(key, origin.encode() + b"\n" + rest, hashlib.sha256).hexdigest()
