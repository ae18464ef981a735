"""The connections of a service to its source cluster, which are made anew when they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable

from drsyncer.cluster import Cluster


class Clusters:
    """Two connections: one for the watches, which live long, and one for all else, which ends with its first failure.

    `abandon` is for any thread, the rest for one.
    """

    def __init__(self, connect: Callable[[], Cluster]) -> None:
        self._connect = connect
        self._lists: Cluster | None = None
        self._watches: Cluster | None = None
        self._open: set[Cluster] = set()
        self._abandoned = False
        self._lock = threading.Lock()

    def lists(self) -> Cluster:
        """Return the one for everything but watches."""
        if self._lists is None:
            self._lists = self.another()
        return self._lists

    def watches(self) -> Cluster:
        """Return the one for watches."""
        if self._watches is None:
            self._watches = self.another()
        return self._watches

    def another(self) -> Cluster:
        """Return a new one, with the credentials and certificates of this moment."""
        cluster = self._connect()
        with self._lock:
            self._open.add(cluster)
            if self._abandoned:
                cluster.abandon()
        return cluster

    def replace_watches(self, fresh: Cluster) -> None:
        """Let `fresh` be the one for watches from now on."""
        self._end(self._watches)
        self._watches = fresh

    def drop(self) -> None:
        """The one for everything but watches failed: the next one is new."""
        self._end(self._lists)
        self._lists = None

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            clusters = list(self._open)
        for cluster in clusters:
            self._end(cluster)
        self._lists = self._watches = None

    def abandon(self) -> None:
        """End all requests, those of connections that are made later too."""
        with self._lock:
            self._abandoned = True
            clusters = list(self._open)
        for cluster in clusters:
            cluster.abandon()

    def _end(self, cluster: Cluster | None) -> None:
        if cluster is None:
            return
        with self._lock:
            self._open.discard(cluster)
        cluster.close()
