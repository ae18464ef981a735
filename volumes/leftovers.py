"""What a dispatcher that died left behind, of claims that nobody is about to move: its result is kept, the rest goes.

Whoever is about to move a claim sees to what is left of it himself (`running`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.manifest import labels
from volumes import making
from volumes.endings import ending, name_of
from volumes.jobs import OPERATION, claim_of, presence_of, run_of
from volumes.result import Result
from volumes.sightings import Sightings

_logger = log.get(__name__)


def sweep(
    cluster: Cluster,
    *,
    operation: str,
    but: Collection[tuple[str, str]],
    living: Callable[[str], bool],
    record: Callable[[str, str, Result], None],
) -> int:
    """Clear up the Jobs of `operation` whose dispatcher is dead, and return how many they were.

    Those of the claims `but` (namespace and name) are left to whoever moves them. A mover that still runs is left to
    finish: its result is found by the next run. `record` writes a result down for a claim. Raises ClusterError.
    """
    sightings = Sightings(cluster)
    count = 0
    for job in sightings.jobs():
        if labels(job).get(OPERATION) != operation or claim_of(job) in but or living(presence_of(job)):
            continue
        seen = sightings.look(name_of(job))
        if seen.job is None:
            continue
        if not seen.suspended:
            now = datetime.now(UTC)
            result = ending(seen, since=now, now=now)
            if result is None:
                continue
            record(*claim_of(job), result)
        making.remove(cluster, job)
        count += 1
        _logger.info("cleared up after an earlier run", volume="/".join(claim_of(job)), run=run_of(job))
    return count
