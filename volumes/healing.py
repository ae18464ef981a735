"""What a dispatcher that was killed between the hooks of a workload left: still held, and nobody to let it go.

A Job says so itself (`jobs.HELD`), from before the first command until the last one has run. Whoever comes next sees to
that before anything else, and before the mover has ended: data that is not read to its end can be read again, and a
workload that stands still is why somebody is called at night.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError, NotFound
from drsyncer.manifest import Manifest
from volumes import making
from volumes.claims import CLAIMS, Key, claim_of
from volumes.endings import ending, name_of
from volumes.hooks import Hooks
from volumes.jobs import claim_of as key_of
from volumes.jobs import held, presence_of, run_of
from volumes.looking import users_now
from volumes.recording import HOOK_FAILED, warn
from volumes.sightings import Sightings

_logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Healed:
    """A claim whose workload was let go, or not: `trouble` says why, "" when all commands did what they should.

    `ran` is whether there were any: pods that would have had some may be gone.
    """

    claim: Key
    run: str
    trouble: str
    ran: bool = True

    def __str__(self) -> str:
        text = f"{'/'.join(self.claim)}: an earlier run ({self.run}) was killed between the hooks"
        if not self.trouble:
            return f"{text}; " + ("the post-backup hook was run now" if self.ran else "no pod with one runs any more")
        return f"{text}, and its workload may stand still: {self.trouble}"


def heal(cluster: Cluster, hooks: Hooks, living: Callable[[str], bool]) -> Iterator[Healed]:
    """Let go what dispatchers that are dead hold; yield what became of each. Raises ClusterError where the Jobs cannot
    be listed.

    `living` says whether the dispatcher that has the Lease namespace/name lives.
    """
    for job in Sightings(cluster).jobs():
        if not held(job):
            continue
        try:
            if living(presence_of(job)):
                continue
            found = heal_one(cluster, hooks, job)
        except ClusterError as error:
            found = Healed(key_of(job), run_of(job), error.with_hint)
        if found is not None:
            yield found


def heal_one(cluster: Cluster, hooks: Hooks, job: Manifest) -> Healed | None:
    """Let go what the dead dispatcher of `job` holds; None when nothing of it is held any more. Raises ClusterError.

    A mover of it that still reads is ended first: what it read from now on would not be what the hooks promise.
    """
    seen = Sightings(cluster).look(name_of(job))
    if seen.job is None or not held(seen.job):
        return None
    now = datetime.now(UTC)
    if not seen.suspended and ending(seen, since=now, now=now) is None:
        making.halt(cluster, seen.job)
    key = key_of(seen.job)
    run = run_of(seen.job)
    claim, trouble = _let_go(cluster, hooks, key)
    found = Healed(key, run, " ".join(trouble or ()), ran=trouble is not None)
    if not trouble:
        making.note_held(cluster, seen.job, held=False)
        _logger.info(str(found))
    else:
        _logger.warning(str(found))
        warn(cluster, claim, HOOK_FAILED, str(found), run=run)
    return found


def _let_go(cluster: Cluster, hooks: Hooks, key: Key) -> tuple[Manifest, list[str] | None]:
    """Run the commands after; return the claim, and what went wrong, None when nothing was to be run."""
    try:
        manifest = cluster.read(CLAIMS, namespace=key[0], name=key[1])
    except NotFound:
        return {}, None  # nobody uses what is not there
    claim = claim_of(manifest)
    return manifest, hooks.let_go(str(claim), claim.annotations, users_now(cluster, claim))
