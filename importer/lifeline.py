"""The connection of one run to DR, which is cut when the run may not go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterUnreachable, DrSyncerError

_SLICE = 0.2  # seconds between two looks at whether the run may go on


@contextmanager
def connected(
    connect: Callable[[], Cluster],
    *,
    stop: threading.Event,
    leading: Callable[[], bool],
    doubtful: Callable[[], bool],
    grace: float,
) -> Iterator[Cluster]:
    """Give a connection for one run; when `doubtful`, only once DR answers one question.

    It is hung up when this replica is not `leading`, or `grace` seconds after `stop`. Raises ClusterUnreachable.
    """
    try:
        cluster = connect()
    except DrSyncerError as error:  # a kubeconfig that is being replaced
        raise ClusterUnreachable(str(error), hint=error.hint) from error
    done = threading.Event()

    def watch() -> None:
        stopped: float | None = None
        while not done.wait(_SLICE):
            if stop.is_set() and stopped is None:
                stopped = time.monotonic()
            late = stopped is not None and time.monotonic() - stopped > grace
            if late or not leading():
                cluster.abandon()
                return

    watcher = threading.Thread(target=watch, name="import watch", daemon=True)
    watcher.start()
    try:
        if doubtful() and not cluster.is_up():
            raise ClusterUnreachable(f"no answer from {cluster.server}")
        yield cluster
    finally:
        done.set()
        watcher.join()
        cluster.close()
