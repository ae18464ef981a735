"""Commits as git stores them, with the signature in its header.

Why not `git commit -S`: it needs an index, and `git fast-import`, which makes our commits, can sign only in its newest
versions. A signed commit is the same text with one header more, so it is written by `git hash-object`.
"""

from __future__ import annotations

from collections.abc import Sequence

from drsyncer.recovery import objects
from drsyncer.recovery.process import Git
from drsyncer.recovery.ssh_key import SigningKey, signed_with

# Per kind of hash, so that a repository may be converted and keep both.
_HEADERS = {"sha1": b"gpgsig", "sha256": b"gpgsig-sha256"}
_AT_ONCE = 200  # commits that are in memory at the same time: an outage of a day may leave thousands


def seal(git: Git, commits: Sequence[str], *, key: SigningKey | None, object_format: str) -> str | None:
    """Sign `commits`, a chain with the oldest first; return the id that its last one has then, None if there is none.

    Those that bear a signature of `key` already stay as they are, as long as those below them do; without a key, all
    do. Nothing points to the new ones yet.
    """
    if key is None or not commits:
        return commits[-1] if commits else None
    renamed: dict[bytes, bytes] = {}
    for start in range(0, len(commits), _AT_ONCE):
        chunk = commits[start : start + _AT_ONCE]
        for commit, content in zip(chunk, objects.commits(git, chunk), strict=True):
            fresh = _with_parents(content, renamed)
            if fresh == content and signed_with(split(content)[1]) == key.public:
                continue
            sealed = signed(fresh, key=key, object_format=object_format)
            renamed[commit.encode()] = write(git, "commit", sealed).encode()
    return renamed.get(commits[-1].encode(), commits[-1].encode()).decode()


def note(git: Git, text: bytes, *, who: bytes, key: SigningKey | None, object_format: str) -> str:
    """Write a commit that is there for its message: without parents and files. Return its id."""
    content = b"tree %s\nauthor %s\ncommitter %s\n\n%s" % (write(git, "tree", b"").encode(), who, who, text)
    if key:
        content = signed(content, key=key, object_format=object_format)
    return write(git, "commit", content)


def signed(content: bytes, *, key: SigningKey, object_format: str) -> bytes:
    """Return a commit's content with a signature of `key`, in place of any that it had."""
    payload, _ = split(content)
    lines = key.sign(payload).split(b"\n")
    header, _, message = payload.partition(b"\n\n")
    return b"%s\n%s %s\n\n%s" % (header, _HEADERS[object_format], b"\n ".join(lines), message)


def split(content: bytes) -> tuple[bytes, bytes]:
    """Given a commit's content return what its signature is about, and the signature; that is empty for an unsigned
    one.
    """
    header, blank, message = content.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    inside = False
    for line in header.split(b"\n"):
        name, _, rest = line.partition(b" ")
        inside = name in _HEADERS.values() or (inside and not name)
        if inside:
            signature.append(rest)
        else:
            kept.append(line)
    return b"\n".join(kept) + blank + message, b"\n".join(signature)


def write(git: Git, kind: str, content: bytes) -> str:
    """Write an object of this kind (`commit`, `tree`) and return its id."""
    return git.run("hash-object", "-t", kind, "-w", "--stdin", stdin=content).decode("ascii").strip()


def _with_parents(content: bytes, renamed: dict[bytes, bytes]) -> bytes:
    header, blank, message = content.partition(b"\n\n")
    lines = header.split(b"\n")
    for index, line in enumerate(lines):
        name, _, parent = line.partition(b" ")
        if name == b"parent" and parent in renamed:
            lines[index] = b"parent " + renamed[parent]
    return b"\n".join(lines) + blank + message
