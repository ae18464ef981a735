"""A mover's look into a volume before a restore: whether something is there that the restore would take away."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import islice

from drsyncer.snapshot import State
from volumes import mounted
from volumes.commands import LOST_AND_FOUND
from volumes.failure import VolumeUnreadable
from volumes.result import Reason, Result
from volumes.task import RestoreTask

_MOST = 20  # names


def peek(task: RestoreTask) -> Result:
    """Return Empty when a restore would overwrite and delete nothing, else Failed with what there is.

    Nothing is written, and restic is not asked. Raises `VolumeMissing` and `VolumeUnreadable`.
    """
    start = datetime.now(UTC)
    names, total = _there(task)
    return Result(
        state=State.FAILED if total else State.EMPTY,
        start=start,
        end=datetime.now(UTC),
        reason=Reason.NOT_EMPTY if total else Reason.NONE,
        message="something is in the volume that a restore would take away" if total else "",
        names=names,
        names_total=total,
        touched=False,
    )


def _there(task: RestoreTask) -> tuple[tuple[str, ...], int]:
    root = mounted.root_of(task.root)
    if task.path:
        parts = mounted.parts_of(task.path)
        for depth in range(1, len(parts) + 1):
            here = root.joinpath(*parts[:depth])
            # A link on the way is what a restore would stumble over; what it leads to is none of its business.
            if not os.path.lexists(here):
                return (), 0
            if here.is_symlink() or not here.is_dir():
                break
        return ("/".join(parts[:depth]),), 1
    try:
        with os.scandir(root) as entries:
            names = (os.fsencode(entry.name).decode("utf-8", "backslashreplace") for entry in entries)
            found = [name for name in names if name != LOST_AND_FOUND]
    except OSError as error:
        raise VolumeUnreadable(f"the volume's folder {root} can't be read: {error.strerror}") from error
    return tuple(islice(sorted(found), _MOST)), len(found)
