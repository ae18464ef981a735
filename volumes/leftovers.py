"""What a dispatcher that died left behind, of claims that nobody is about to move: its result is kept, the rest goes.

Whoever is about to move a claim sees to what is left of it himself (`running`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError
from drsyncer.manifest import Manifest, labels
from volumes import making
from volumes.endings import ending, name_of
from volumes.jobs import OPERATION, claim_of, claim_uid_of, held, presence_of, run_of
from volumes.result import Result
from volumes.sightings import Sightings

_logger = log.get(__name__)


def sweep(
    cluster: Cluster,
    *,
    operation: str,
    but: Collection[tuple[str, str]],
    living: Callable[[str], bool],
    record: Callable[[str, str, str, Result], None],
) -> int:
    """Clear up the Jobs of `operation` whose dispatcher is dead, and return how many they were.

    Those of the claims `but` (namespace and name) are left to whoever moves them. A mover that still runs is left to
    finish: its result is found by the next run. `record` writes a result down for a claim, given by namespace, name and
    UID ("" where nobody knows that). What cannot be cleared up is told in the log, and left to the next run. Raises
    ClusterError when the Jobs cannot be listed.
    """
    sightings = Sightings(cluster)
    count = 0
    for job in sightings.jobs():
        if labels(job).get(OPERATION) != operation or claim_of(job) in but:
            continue
        volume = "/".join(claim_of(job))
        try:
            if living(presence_of(job)) or not _cleared(cluster, sightings, job, record):
                continue
        except ClusterError as error:
            _logger.warning("what an earlier run left stays", volume=volume, run=run_of(job), why=str(error))
            continue
        count += 1
        _logger.info("cleared up after an earlier run", volume=volume, run=run_of(job))
    return count


def _cleared(
    cluster: Cluster, sightings: Sightings, job: Manifest, record: Callable[[str, str, str, Result], None]
) -> bool:
    """Write down how a Job's mover ended, and delete the Job; return False when it still runs."""
    seen = sightings.look(name_of(job))
    if seen.job is None or held(seen.job):  # it says that a workload is still to be let go
        return False
    if not seen.suspended:
        now = datetime.now(UTC)
        result = ending(seen, since=now, now=now)
        if result is None:
            return False
        record(*claim_of(job), claim_uid_of(job), result)
    making.remove(cluster, job)  # its Secret is owned by it
    return True
