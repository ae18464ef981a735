"""Writing Kubernetes Events (core/v1) about one ConfigMap.

Of the two APIs it is the older one, since in events.k8s.io/v1 nothing but the count may change: here an Event goes on
telling the newest that is to be said of the same matter. `kubectl get events` shows both alike.
See https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/.
"""

from __future__ import annotations

import contextlib
from datetime import datetime

import msgspec

from drsyncer import own
from drsyncer.cluster import urls
from drsyncer.cluster.client import Cluster
from drsyncer.errors import ClusterError, Conflict
from drsyncer.manifest import Manifest, ResourceType, metadata
from drsyncer.service.place import CONFIGMAPS, Place
from drsyncer.service.series import Draft

EVENTS = ResourceType("", "v1", "events", "Event", namespaced=True)


class EventWriter:
    """Writes for one process. `instance` is its name. `cluster` should try each request once and soon give up."""

    def __init__(self, cluster: Cluster, about: Place, *, instance: str) -> None:
        self._cluster = cluster
        self._about = about
        self._instance = instance

    def write(self, draft: Draft) -> None:
        """Make the Event, or bring it up to date. Raises NotFound when it, or the namespace, is not there."""
        what = f"write event {self._about.namespace}/{draft.name}"
        if draft.exists:
            path = urls.path_of(EVENTS, namespace=self._about.namespace, name=draft.name)
            body, merge = msgspec.json.encode(_news(draft)), "application/merge-patch+json"
            self._cluster.request("PATCH", path, what=what, body=body, content_type=merge)
            return
        path = urls.path_of(EVENTS, namespace=self._about.namespace)
        # A conflict: it was made, and the answer was lost. The next write brings what is new.
        with contextlib.suppress(Conflict):
            self._cluster.request("POST", path, what=what, body=msgspec.json.encode(self._event(draft)))

    def abandon(self) -> None:
        """End what is under way, from any thread."""
        self._cluster.abandon()

    def close(self) -> None:
        """Close the connection."""
        self._cluster.close()

    def _event(self, draft: Draft) -> Manifest:
        about = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": self._about.namespace, "name": self._about.name}
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": draft.name,
                "namespace": self._about.namespace,
                "labels": {own.PART_OF: own.OWN_NAME},
            },
            "involvedObject": about | ({"uid": uid} if (uid := self._find_uid()) else {}),
            "reason": draft.reason.name,
            "type": "Warning" if draft.reason.warning else "Normal",
            "source": {"component": own.OWN_NAME},
            "reportingComponent": own.OWN_NAME,
            "reportingInstance": self._instance,
            "firstTimestamp": _text(draft.first),
            **_news(draft),
        }

    def _find_uid(self) -> str:
        """Return the UID of the ConfigMap, by which `kubectl describe` finds Events; "" when that cannot be told."""
        try:
            found = self._cluster.read(CONFIGMAPS, namespace=self._about.namespace, name=self._about.name)
        except ClusterError:
            return ""
        return str(metadata(found).get("uid") or "")


def _news(draft: Draft) -> Manifest:
    """Return what changes from one write to the next."""
    return {"message": draft.message, "count": draft.count, "lastTimestamp": _text(draft.last)}


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
