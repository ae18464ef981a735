"""Making the clone's folder, finding out whether it is sound, and making it anew with whatever can be saved."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from drsyncer.errors import GitError
from drsyncer.recovery import cache, refs
from drsyncer.recovery.process import Git

# GIT_CONFIG_GLOBAL came with this one; without it, the settings of whoever runs us would count.
_OLDEST_GIT = (2, 32)
# As in git's own `gc --auto`; a fetch or a commit adds a pack, a heartbeat adds a loose object.
_MOST_PACKS = 50
_MOST_LOOSE = 6_700


def check_version(git: Git, *, oldest: tuple[int, int] = _OLDEST_GIT, purpose: str = "") -> None:
    """Raise `GitError` when git is older than what this project relies on, or relies on for this `purpose`."""
    said = git.run("version").decode("utf-8", "replace").strip()
    found = re.search(r"(\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < oldest:
        least = ".".join(map(str, oldest))
        why = f" {purpose}" if purpose else ""
        raise GitError(f"recovery.git: this is {said}; it must be {least} or later{why}", hint=f"Install git {least}.")


def create(folder: Path, git_in: Callable[[Path], Git]) -> None:
    """Make an empty clone, whose objects have the remote's kind of hash. It is there whole or not at all."""
    draft = folder.with_name(f"{folder.name}.new")
    cache.remove(draft)
    git = git_in(draft)
    object_format = _remote_object_format(git)
    draft.mkdir(mode=0o700)
    git.run("init", "--bare", "--quiet", "--template=", f"--object-format={object_format}")
    draft.rename(folder)


def object_format(git: Git) -> str:
    """Return the clone's kind of hash: `sha1` or `sha256`."""
    return git.run("rev-parse", "--show-object-format").decode("ascii").strip()


def damage(folder: Path, git: Git, names: refs.Names) -> str:
    """Return what is wrong with the clone, or "": every object of our and the remote's head must be there.

    Contents are not read; a torn one shows when it is read, and the clone is made anew then.
    """
    if cache.is_damaged(folder):
        return "it was found damaged before"
    try:
        object_format(git)
        at = refs.read(git, names)
        heads = [commit for commit in (at.remote, at.local) if commit]
        if heads:
            git.run("rev-list", "--objects", "--no-walk", "--quiet", *heads)
        if at.local and at.local != at.remote:
            git.run("rev-list", "--objects", "--quiet", at.local, "--not", *filter(None, (at.remote, at.known)))
    except GitError as error:
        return str(error)
    return ""


def pack_if_due(git: Git) -> bool:
    """Pack the clone when many packs or loose objects have gathered; return whether that was so."""
    said = git.run("count-objects", "-v").decode("ascii", "replace")
    counts = dict(line.split(": ", 1) for line in said.splitlines())
    if int(counts["packs"]) <= _MOST_PACKS and int(counts["count"]) <= _MOST_LOOSE:
        return False
    # Nobody else is at work here, and nothing that we still need is without a ref.
    git.run("gc", "--quiet", "--prune=now")
    return True


def set_aside(folder: Path) -> Path:
    """Move a damaged clone out of the way; return where it is now."""
    aside = _aside(folder)
    cache.remove(aside)
    folder.rename(aside)
    return aside


def put_back(folder: Path) -> None:
    """Bring back the clone that was set aside, still marked as damaged: its commits may be all there is of them."""
    aside = _aside(folder)
    if aside.exists():
        cache.remove(folder)
        aside.rename(folder)
        cache.mark_damaged(folder)


def salvage(git: Git, aside: Path, names: refs.Names) -> bool:
    """Take over what was not pushed from a clone that was set aside; return whether that went well."""
    output = git.ask("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(aside), "+refs/local/*:refs/local/*")
    if output.status == 0 and not damage(git.folder, git, names):
        return True
    refs.move(git, dict.fromkeys(refs.every(git, "refs/local"), None))
    return False


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.damaged")


def _remote_object_format(git: Git) -> str:
    """Ask the remote for its kind of hash.

    An object's id shows it by its length. An empty repository has none; it tells in the first lines of the protocol,
    which git shows nowhere but in its trace.
    """
    with tempfile.NamedTemporaryFile(prefix="dr-syncer-") as trace:
        output = git.network("ls-remote", "origin", "refs/heads/*", more={"GIT_TRACE_PACKET": trace.name})
        if output.status != 0:
            raise git.failed(output, doing="connect to")
        said = Path(trace.name).read_text(encoding="utf-8", errors="replace")
    if output.out:
        return "sha256" if re.match(rb"[0-9a-f]{64}\t", output.out) else "sha1"
    found = re.search(r"object-format=(sha1|sha256)\b", said)
    return found[1] if found else "sha1"
