"""`dr-syncer volumes init`: the one place that makes a restic repository, and only where there is certainly none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drsyncer.errors import Refused
from drsyncer.recovery.remote import masked
from volumes import commands
from volumes.failure import NoRepository
from volumes.repository import repository_id
from volumes.restic import Restic

_LIMIT = 300.0  # seconds; a key derivation, and some small files


@dataclass(frozen=True, slots=True)
class Made:
    """The repository, by restic's id, and where it is, without credentials. `created`: it was not there before."""

    id: str
    location: str
    created: bool

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {"repository": self.id, "location": self.location, "created": self.created}


def initialize(restic: Restic) -> Made:
    """Make the repository unless it is there. Raises `ResticError` when it is there and cannot be opened.

    Whatever is not plainly an empty place is an error: a second repository over one that cannot be read just now would
    be the end of the first one.
    """
    location = masked(restic.access.repository)
    restic.version()
    try:
        return Made(repository_id(restic), location, created=False)
    except NoRepository:
        _check_empty(restic.access.repository)
    restic.ask(commands.init(), doing="make the repository", limit=_LIMIT)
    return Made(repository_id(restic), location, created=True)


def _check_empty(repository: str) -> None:
    """Raise Refused when a folder that is to become a repository holds something; elsewhere, restic sees to it."""
    if not repository.startswith(("/", ".", "~", "local:")):
        return
    folder = Path(repository.removeprefix("local:"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(
            f"{folder} is no restic repository, and not empty either",
            hint="If it was one, its file `config` is missing: bring that back. Else choose an empty folder.",
        )
