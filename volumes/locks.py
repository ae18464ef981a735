"""Locks in a restic repository whose owner is dead: found out by the API server, and only then removed.

A mover that was killed leaves its lock, and restic counts that as living for half an hour. Who removes a living one
lets a prune take away what a backup is just about to refer to: restic ends well all the same, with a snapshot that
lacks data. No API server knows of the pods of all clusters that use a repository, and one that makes its first backup
has no snapshots yet that would tell of it. So a lock must be as old as restic wants it to be, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster, urls
from drsyncer.errors import ServerFailed
from drsyncer.json import items_of
from drsyncer.manifest import Manifest
from drsyncer.wording import span
from volumes import commands
from volumes.answers import Lock
from volumes.endings import name_of, overdue
from volumes.failure import ResticError
from volumes.jobs import PODS
from volumes.restic import Restic

_OURS: Final = f"{own.OWN_NAME}-"  # how the names of all movers' pods begin
_ENDED = ("Succeeded", "Failed")
# restic refreshes a lock every five minutes, and gives up by itself when it could not for three quarters of this.
STALE: Final = timedelta(minutes=30)
_NOT_ALONE: Final = "its pod is dead, but restic could not remove it without the others"


@dataclass(frozen=True, slots=True)
class Held:
    """A lock and why it counts as held; `why` is "" when its owner is certainly dead.

    `ripe` is when that is so at the latest unless somebody refreshes it, None where time alone tells nothing.
    """

    lock: Lock
    why: str
    ripe: datetime | None = None

    @property
    def ours(self) -> bool:
        """Whether a run may ever remove it: by its name it is of a pod of DR-Syncer."""
        return self.lock.hostname.startswith(_OURS)

    def __str__(self) -> str:
        kind = "exclusive lock" if self.lock.exclusive else "lock"
        return f"{kind} of {self.lock.hostname}, {self.lock.time:%Y-%m-%d %H:%M:%S} UTC" + (
            f": {self.why}" if self.why else ""
        )


def judge(lock: Lock, *, lives: Callable[[str], str], now: datetime) -> Held:
    """Return whether a lock's owner is dead.

    `lives` says of a pod of this cluster, by its name, why it counts as living, "" when it does not.
    """
    if not lock.hostname.startswith(_OURS):
        return Held(lock, "that is no pod of DR-Syncer, so nobody here can tell whether it lives")
    if why := lives(lock.hostname):
        return Held(lock, why)
    age, ripe = now - lock.time, lock.time + STALE
    if age <= STALE:
        since = span(age.total_seconds())
        why = f"it may be of another cluster that uses the repository, and was refreshed {since} ago"
        return Held(lock, why, ripe)
    return Held(lock, "", ripe)


def all_ripe(held: Sequence[Held]) -> datetime | None:
    """Return when all of these can go unless somebody refreshes one, None when that is not known of each."""
    times = [one.ripe for one in held if one.ripe is not None]
    return max(times) if times and len(times) == len(held) else None


def remove_dead(restic: Restic, cluster: Cluster, *, now: datetime) -> tuple[list[Held], list[Held]]:
    """Remove the locks when the owners of all of them are dead; return what was removed, and what stays.

    restic removes all that are old: as long as one may be held, all stay. One that comes in this moment stays. Raises
    `ResticError`, ClusterError.
    """

    def lives(name: str) -> str:
        return life_of(_pods(cluster, name), now=now)

    found = [judge(lock, lives=lives, now=now) for lock in _locks(restic)]
    if any(one.why for one in found):
        return [], [one if one.why else replace(one, why=_NOT_ALONE) for one in found]
    if not found:
        return [], []
    restic.ask(commands.unlock(), doing="remove the locks of dead pods")
    return found, []


def life_of(pods: Iterable[Manifest], *, now: datetime) -> str:
    """Return why one of these pods counts as living, "" when all have ended. Pure."""
    living = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED]
    if not living:
        return ""
    if not all(overdue(pod, now) for pod in living):
        return "its pod lives"
    # Its node may be cut off and at work: only a person can see to that.
    namespace, name = name_of(living[0])
    node = (living[0].get("spec") or {}).get("nodeName") or "(none)"
    return (
        f"its pod is being deleted, and its node {node} does not say that it ended. Once that node is certainly dead, "
        f"`kubectl -n {namespace} delete pod {name} --force`, or delete the Node"
    )


def _pods(cluster: Cluster, name: str) -> list[Manifest]:
    """Return the pods with this name in all namespaces. Raises ClusterError."""
    answer = cluster.request(
        "GET", urls.path_of(PODS), what=f"look for pod {name}", query={"fieldSelector": f"metadata.name={name}"}
    )
    try:
        return [msgspec.json.decode(item) for item in items_of(answer.body).items]
    except ValueError as error:
        raise ServerFailed(f"look for pod {name}: the answer is no list: {error}") from error


def _locks(restic: Restic) -> list[Lock]:
    ids = restic.ask(commands.locks(), doing="list the locks").decode("ascii", "replace").split()
    found = []
    for id_ in ids:
        outcome = restic.run(commands.lock(id_), doing="read a lock")
        if outcome.status:
            # Given back meanwhile, which the list shows; else it is something that nobody can judge.
            if id_ in restic.ask(commands.locks(), doing="list the locks").decode("ascii", "replace").split():
                raise outcome.failed()
            continue
        try:
            found.append(msgspec.json.decode(outcome.out, type=Lock))
        except msgspec.DecodeError as error:
            raise ResticError(f"restic: read a lock: its answer is not understood: {error}") from error
    return found
