"""Waiting until new CustomResourceDefinitions can be used."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from drsyncer.cluster import Cluster, Discovery
from drsyncer.errors import ClusterError, ClusterUnreachable
from drsyncer.manifest import ResourceType

_POLL = 0.1  # seconds


def wait_for(
    cluster: Cluster,
    types: Collection[ResourceType],
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> frozenset[str]:
    """Return those of `types` (as plural.group) that discovery still does not show after `timeout` seconds.

    A CRD's versions appear in discovery only once it is Established, so discovery alone is asked:
    two requests a poll, however many CRDs are new.
    """
    end = clock() + timeout
    while True:
        try:
            discovery = cluster.discover()
        except ClusterUnreachable:
            raise
        except ClusterError:
            discovery = Discovery()  # the server rebuilds its discovery while CRDs come in
        missing = frozenset(type_.key for type_ in types if discovery.get(type_.key, type_.version) is None)
        if not missing or clock() >= end:
            return missing
        sleep(_POLL)
