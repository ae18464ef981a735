"""How old the data of the source's volumes is, as the DR side sees it: by Git and by the restic repository itself.

A source that died backs up nothing and says nothing. So its own word does not count here: the age of a snapshot grows
by the clock, and a snapshot counts only while restic has it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from cli.sides import remote_of
from drsyncer import log
from drsyncer.errors import DrSyncerError
from drsyncer.recovery.git import Clone
from drsyncer.service.repeats import Repeats
from drsyncer.service.status import Lack
from drsyncer.snapshot import State
from volumes.condition import condition, state_of
from volumes.listing import Listing, as_known
from volumes.reviewing import review
from volumes.supplies import restic_of

if TYPE_CHECKING:
    from drsyncer.config.schema import Config
    from drsyncer.service.board import Board
    from drsyncer.service.metrics import Metrics

_logger = log.get(__name__)
INTERVAL = 300.0  # seconds between two looks
_SOON = 5.0  # seconds until the next one, where there was nothing to look at
_SLICE = 0.5
_CLONE = 60.0  # seconds for which an import may have the clone
WHAT = "asking the restic repository"
_LOOKING = "looking at the backups of volumes"
# Of a record that cannot be read, nobody knows how old its data is.
_TOO_OLD = (Lack.GONE, Lack.NEVER_WHOLE, Lack.OLD, Lack.UNREADABLE)

# Asks restic (or not), and goes on while the second says so; None: there is no recovery point yet.
Look = Callable[[bool, Callable[[], bool]], Listing | None]


class Watch:
    """Looks again and again. `run` is for one thread, once; `stop` for any."""

    def __init__(self, look: Look, *, leading: Callable[[], bool], told: Ages, interval: float = INTERVAL) -> None:
        self._look = look
        self._leading = leading
        self._told = told
        self._interval = interval
        self._stopped = threading.Event()
        self._next = 0.0
        self._answered: Listing | None = None  # the last one for which restic was asked

    def stop(self) -> None:
        """Let `run` end soon."""
        self._stopped.set()

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopped.wait(_SLICE):
            if not self._leading():
                self._next, self._answered = 0.0, None
            elif time.monotonic() >= self._next:
                try:
                    saw = self._turn()
                except Exception:  # whatever it is: nobody else would tell that backups grow old
                    _logger.exception("an error in the program; the backups are looked at again later")
                    self._told.broke()
                    saw = True
                self._next = time.monotonic() + (self._interval if saw else _SOON)

    def _goes_on(self) -> bool:
        return not self._stopped.is_set() and self._leading()

    def _turn(self) -> bool:
        """Look once; return whether there was anything to see.

        What restic does not tell, Git tells by half: what restic was known to lack is not there again for its silence.
        """
        try:
            found = self._look(True, self._goes_on)
        except DrSyncerError as error:
            if not self._goes_on():
                return False
            self._told.failed(str(error))
            return self._by_git()
        if found is not None:
            self._answered = None if found.unasked else found
            self._told.seen(found)
        return found is not None

    def _by_git(self) -> bool:
        try:
            found = self._look(False, self._goes_on)
        except DrSyncerError as error:
            _logger.debug("the age of the volumes' data is not known", why=str(error))
            return False
        if found is not None:
            self._told.seen(as_known(found, self._answered) if self._answered else found)
        return found is not None


class Ages:
    """Told by the watch: metrics, the log and the status."""

    def __init__(self, metrics: Metrics, board: Board) -> None:
        self._metrics = metrics
        self._board = board
        self._repeats = Repeats(_logger, listener=board.trouble)
        self._asked = False
        self._metrics.count("failures_total", 0, reason="restic")  # a first failure is a growth, too

    def asked(self) -> None:
        """Tell since when restic is asked: one that never answered must be told from one that nobody asks."""
        if not self._asked:
            self._asked = True
            self._metrics.set("restic_asked_timestamp_seconds", time.time())

    def seen(self, found: Listing) -> None:
        """Tell how old the data is."""
        self._repeats.worked(_LOOKING)
        backups, now = condition(found), datetime.now(UTC)
        self._board.change(lambda status: msgspec.structs.replace(status, backups=backups, backups_as_of=now))
        for state in State:
            self._metrics.set("volume_backups", backups.states.get(state, 0), state=str(state))
        # A claim that no backup has tried yet may be new: it is counted apart, and has an alert of its own.
        self._metrics.set("volumes_too_old", sum(backups.lacks.get(lack, 0) for lack in _TOO_OLD))
        self._metrics.set("volumes_never_backed_up", sum(row.record is None for row in found.rows))
        oldest = backups.oldest
        self._metrics.set("volume_backup_timestamp_seconds", oldest.timestamp() if oldest is not None else 0.0)
        states: dict[tuple[str, ...], float] = {
            (row.claim.namespace, row.claim.name, state_of(row)): 1.0 for row in found.rows
        }
        self._metrics.replace("volume_backup_state", states)
        self._each(found)
        if not found.unasked:
            self._metrics.set("restic_answered_timestamp_seconds", time.time())
            self._repeats.worked(WHAT)

    def _each(self, found: Listing) -> None:
        """Tell of each volume when its newest whole backup was, and what there was to do."""
        begun: dict[tuple[str, ...], float] = {}
        took: dict[tuple[str, ...], float] = {}
        bytes_: dict[tuple[str, ...], float] = {}
        files: dict[tuple[str, ...], float] = {}
        for row in found.rows:
            if row.left_out:
                continue
            claim = (row.claim.namespace, row.claim.name)
            snapshot = row.record.snapshot if row.record is not None else None
            begun[claim] = snapshot.start.timestamp() if snapshot is not None and row.age is not None else 0.0
            if snapshot is not None:
                took[claim] = max(0.0, (snapshot.end - snapshot.start).total_seconds())
                bytes_[claim], files[claim] = snapshot.bytes, snapshot.files
        self._metrics.replace("volume_last_success_timestamp_seconds", begun)
        self._metrics.replace("volume_last_success_duration_seconds", took)
        self._metrics.replace("volume_last_success_bytes", bytes_)
        self._metrics.replace("volume_last_success_files", files)

    def broke(self) -> None:
        """Tell that a look ended in an error of the program, of which the log has more."""
        self._metrics.count("failures_total", reason="internal")
        self._repeats.failed(_LOOKING, f"{_LOOKING}: an error in the program; the log has more")

    def failed(self, text: str) -> None:
        """Tell that restic did not answer."""
        self._metrics.count("failures_total", reason="restic")
        self._repeats.failed(WHAT, f"{WHAT}: {text}")


def watch_of(config: Config, *, leading: Callable[[], bool], told: Ages) -> Watch:
    """Return what watches over the age of the data in the repositories that `config` names."""
    section = config.volumes
    assert section is not None

    def look(ask: bool, goes_on: Callable[[], bool]) -> Listing | None:
        asks = ask and bool(section.restic.auth.password_file)
        with ExitStack() as stack:
            clone = stack.enter_context(Clone.open(remote_of(config.repository), wait=_CLONE, goes_on=goes_on))
            if clone.base() is None:
                return None
            try:
                restic = stack.enter_context(restic_of(section, goes_on)) if asks else None
            except DrSyncerError:
                told.asked()  # without its password nobody can ask, which is no better than no answer
                raise
            return review(
                clone,
                head=f"refs/heads/{config.repository.branch}",
                select=section.select,
                max_age=section.max_age,
                restic=restic,
                now=datetime.now(UTC),
                unasked="" if asks else "it was not asked",
                asking=told.asked,
            )

    return Watch(look, leading=leading, told=told)
