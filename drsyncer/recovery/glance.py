"""A look at where the remote's refs are: one `ls-remote`, without a clone and without its lock."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase

from drsyncer.errors import GitError
from drsyncer.recovery import cache
from drsyncer.recovery.process import Git
from drsyncer.recovery.refs import COMMIT_ID
from drsyncer.recovery.remote import Remote, environment

_LINE = re.compile(r"([0-9a-f]+)\t(\S+)")
_PEELED = "^{}"  # git names the commit of an annotated tag so


def look(remote: Remote, refs: Collection[str], *, goes_on: Callable[[], bool] = lambda: True) -> dict[str, str]:
    """Return the commit of each of the remote's `refs` (in full, or globs such as `refs/tags/*`) that is there.

    Raises `RemoteUnreachable`, `AuthenticationFailed`, or `Abandoned` once `goes_on` returns false.
    """
    if not refs:
        return {}
    parent = remote.cache(os.environ)
    cache.prepare(parent)
    git = Git(
        # Git wants the name of a repository, not the repository; the clone's own may be in the making.
        parent / f"{remote.folder}.glance",
        variables=environment(remote),
        shown=remote.shown,
        timeout=remote.timeout,
        lock=None,
        goes_on=goes_on,
    )
    asked = [pattern for ref in refs for pattern in (ref, ref + _PEELED)]
    output = git.network("ls-remote", "origin", *asked)
    if output.status != 0:
        raise git.failed(output, doing="look at")
    found: dict[str, str] = {}
    for line in output.out.decode("utf-8", "surrogateescape").splitlines():
        said = _LINE.fullmatch(line)
        if said is None or not COMMIT_ID.fullmatch(said[1]):
            raise GitError(f"recovery.git: look at {remote.shown}: the answer is no list of refs")
        # Git also gives refs that only end like what was asked for.
        name = said[2].removesuffix(_PEELED)
        if any(fnmatchcase(name, ref) for ref in refs) and (name not in found or said[2] != name):
            found[name] = said[1]
    return found
