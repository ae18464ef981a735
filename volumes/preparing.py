"""What is done around a backup's mover: a last look at who uses the volume, hooks, and a copy of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError, NotFound
from drsyncer.manifest import Manifest
from drsyncer.snapshot import Record
from volumes import making
from volumes.claims import CLAIMS, Claim, Key, User, Volume, claim_of
from volumes.copying import Copies
from volumes.endings import name_of
from volumes.hooks import Hooks, Thaw, asks_for_hooks
from volumes.jobs import Move
from volumes.looking import users_now
from volumes.placing import CannotMount, groups, place
from volumes.remembering import record_of
from volumes.result import Result
from volumes.running import Go, NotReady
from volumes.task import Task

_logger = log.get(__name__)
TaskOf = Callable[[Claim, Record | None], Task]


@dataclass(frozen=True, slots=True)
class Subject:
    """A claim that is about to be backed up. `class_name` is that of the copy to read, "" for the volume itself.

    `no_copy` is why that is so, where a copy would have been read.
    """

    claim: Claim
    volume: Volume
    class_name: str = ""
    no_copy: str = ""


class Preparing:
    """For one run, and many threads. `subjects` are the claims that its moves are about."""

    def __init__(
        self, cluster: Cluster, subjects: Mapping[Key, Subject], copies: Copies, hooks: Hooks, *, task_of: TaskOf
    ) -> None:
        self._cluster = cluster
        self._task_of = task_of
        self._subjects = subjects
        self._copies = copies
        self._hooks = hooks
        self._looked: dict[Key, tuple[Subject, Sequence[User]]] = {}  # at the moves that are not begun

    def ready(self, move: Move) -> Move:
        """Return the move as claim and pods are now: they may have gone to another node since it was planned.

        What an earlier run had left may have been written down meanwhile. Raises NotReady when the volume cannot be
        mounted any more.
        """
        subject = self._subjects[move.namespace, move.claim]
        try:
            found = self._cluster.read(CLAIMS, namespace=move.namespace, name=move.claim)
        except NotFound:
            raise NotReady(f"{subject.claim}: the claim was deleted") from None
        subject = replace(subject, claim=claim_of(found))
        users = users_now(self._cluster, subject.claim)
        self._looked[subject.claim.key] = subject, users
        try:
            move = replace(move, task=self._task_of(subject.claim, _record(found)), uid=subject.claim.uid)
            return placed(move, subject, users)
        except CannotMount as why:
            raise NotReady(f"{subject.claim}: {why}") from None

    def around(self, move: Move, job: Manifest, go: Go) -> Result:
        """Run the mover between the hooks, on a copy where one is to be read."""
        subject, users = self._looked.pop((move.namespace, move.claim))
        claim = subject.claim
        if not asks_for_hooks(claim.annotations, users):
            return self._moved(move, subject, job, go, lambda: None)
        return self._hooks.around(
            str(claim),
            claim.annotations,
            users,
            lambda thaw: self._moved(move, subject, job, go, thaw),
            note=lambda due: self._note(job, due=due),
        )

    def _moved(self, move: Move, subject: Subject, job: Manifest, go: Go, thaw: Thaw) -> Result:
        if not subject.class_name:
            return go()
        cut = self._copies.make(move, subject.claim, job, class_name=subject.class_name, cut=thaw)
        return of_copy(go(), cut)

    def _note(self, job: Manifest, *, due: bool) -> None:
        """Note on the Job that hooks are due, for whoever comes next. Raises ClusterError: then none may be run."""
        try:
            making.note_held(self._cluster, job, held=due)
        except ClusterError as error:
            if due:
                raise
            _logger.warning("that the hooks have run could not be noted", job=name_of(job)[1], why=str(error))


def of_copy(result: Result, cut: datetime) -> Result:
    """Return the result of a mover that read a copy: the data is as old as that, and not as the reading. Pure."""
    made = result.snapshot
    if made is None or made.start <= cut:
        return result
    return msgspec.structs.replace(result, snapshot=msgspec.structs.replace(made, start=cut))


def _record(claim: Manifest) -> Record | None:
    try:
        return record_of(claim)
    except ValueError:  # said when it was read first
        return None


def placed(move: Move, subject: Subject, users: Sequence[User]) -> Move:
    """Return the move with the place and the groups that its volume asks for. Raises CannotMount."""
    placement = place(subject.claim, users, subject.volume, copied=bool(subject.class_name))
    return replace(move, placement=placement, groups=groups(users))
