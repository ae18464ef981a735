"""What an empty cluster holds, what a test added to it, and the way back.

A pair of clusters serves many tests, and an export takes in a whole cluster, so each test must find it empty.
The namespace controller waits five seconds before it looks at a deleted namespace; `Baseline.restore` does its
work at once (delete the contents, then finalize), on the API and in the order that the controller would.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from tests.cluster.api import Api, ApiError, Kind, Object
from tests.cluster.departures import Departures

THREADS = 8
RESTORE_SECONDS = 60.0
POLL_SECONDS = 0.05
# The API server looks for new policies every second. One that is gone may refuse for as long, and once more.
POLICIES_SECONDS = 2.5

# The control plane writes these by itself: liveness, availability, repair loops, and events about anything.
RESTLESS = frozenset(
    {
        "events",
        "events.events.k8s.io",
        "leases.coordination.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "componentstatuses",
        "flowschemas.flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
        "servicecidrs.networking.k8s.io",
        "ipaddresses.networking.k8s.io",
        "storageversions.internal.apiserver.k8s.io",
    }
)
# Controllers keep filling these; nothing that a test puts there is exported.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-node-lease"})
# What can refuse the deletion of anything else, so it goes first.
GATES = frozenset(
    {
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        "apiservices.apiregistration.k8s.io",
    }
)
NAMESPACES = "namespaces"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
AUTOMATIC_LABEL = "kube-aggregator.kubernetes.io/automanaged"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The identity of an object, written as `namespace/type/name`, or `type/name` for cluster-scoped ones."""

    namespace: str
    type: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.namespace, self.type, self.name) if part)


@dataclass(frozen=True, slots=True)
class Entry:
    """One live object and its type."""

    kind: Kind
    manifest: Object

    @property
    def key(self) -> Key:
        """The object's identity."""
        meta = self.manifest["metadata"]
        return Key(meta.get("namespace", ""), self.kind.type, meta["name"])

    @property
    def path(self) -> str:
        """The object's URL path."""
        return self.kind.path(self.key.namespace, self.key.name)

    @property
    def version(self) -> str:
        """The object's resourceVersion."""
        return str(self.manifest["metadata"]["resourceVersion"])

    @property
    def content(self) -> Object:
        """The object without what the server counts by itself."""
        content = copy.deepcopy(self.manifest)
        content.pop("status", None)
        for name in ("resourceVersion", "generation", "managedFields"):
            content["metadata"].pop(name, None)
        return content


def entries(api: Api) -> list[Entry]:
    """Every object of every listable type, in the preferred version of each."""
    kinds = api.preferred()
    with ThreadPoolExecutor(THREADS) as pool:
        return [entry for found in pool.map(lambda kind: _entries_of(api, kind), kinds) for entry in found]


def restful(api: Api) -> dict[str, Entry]:
    """Key → entry, of all that the control plane does not write by itself."""
    return {str(entry.key): entry for entry in entries(api) if entry.kind.type not in RESTLESS}


def resource_versions(api: Api) -> dict[str, str]:
    """See `ControlPlane.resource_versions`."""
    return {key: entry.version for key, entry in restful(api).items()}


def touched(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> set[str]:
    """Return the keys of what came, went or was written, unless a controller has reported a status and no more."""
    both = before.keys() & after.keys()
    return (before.keys() ^ after.keys()) | {key for key in both if _written(before[key], after[key])}


def _written(before: Entry, after: Entry) -> bool:
    reported = before.content == after.content and before.manifest.get("status") != after.manifest.get("status")
    return before.version != after.version and not reported


@dataclass(frozen=True, slots=True)
class Baseline:
    """The objects of an empty cluster."""

    known: dict[Key, Entry] = field(default_factory=dict)
    departures: Departures = field(default_factory=Departures)

    @classmethod
    def take(cls, api: Api) -> Baseline:
        """Remember what is there now."""
        return cls({entry.key: entry for entry in entries(api)})

    def additions(self, api: Api) -> list[Entry]:
        """The objects that are not part of the empty cluster."""
        return [entry for entry in entries(api) if entry.key not in self.known and not _comes_by_itself(entry)]

    def restore(self, api: Api) -> None:
        """Remove every addition and undo every change. Raises `TimeoutError` when something will not go."""
        deadline = time.monotonic() + RESTORE_SECONDS
        ending: dict[str, float] = {}
        policies = False
        while True:
            live = entries(api)
            added = [entry for entry in live if entry.key not in self.known and not _comes_by_itself(entry)]
            if not added:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"these will not go: {', '.join(str(entry.key) for entry in added)}")
            policies = policies or any("admissionpolic" in entry.kind.type for entry in added)
            self._note(added, ending)
            _remove(api, added)
        if policies:
            time.sleep(POLICIES_SECONDS)
        time.sleep(max(0.0, self.departures.busy_until(ending.items(), time.time()) - time.time()))
        self._undo(api, {entry.key: entry for entry in live})

    def _note(self, added: Sequence[Entry], ending: dict[str, float]) -> None:
        """Note which namespaces end, and since when."""
        for entry in added:
            if entry.kind.type != NAMESPACES or entry.key.name in ending:
                continue
            deleted = entry.manifest["metadata"].get("deletionTimestamp")
            now = time.time()
            since = datetime.fromisoformat(deleted).timestamp() if deleted else now
            ending[entry.key.name] = since
            self.departures.note(entry.key.name, since, since + 1.0 if deleted else now + 0.5)

    def _undo(self, api: Api, live: dict[Key, Entry]) -> None:
        for key, original in self.known.items():
            if original.kind.type in RESTLESS or key.namespace in SYSTEM_NAMESPACES:
                continue
            now = live.get(key)
            body = copy.deepcopy(original.manifest)
            body["metadata"].pop("resourceVersion", None)
            if now is None:
                body["metadata"].pop("uid", None)
                _tolerate(api, "POST", original.kind.path(key.namespace), body, statuses=(409,))
            elif _without_uid(now.content) != _without_uid(original.content):
                body["metadata"]["uid"] = now.manifest["metadata"]["uid"]
                _tolerate(api, "PUT", original.path, body, statuses=(404, 409))


def _entries_of(api: Api, kind: Kind) -> list[Entry]:
    try:
        found = api.items(kind.path())
    except ApiError as error:
        # 404, 503: the type left (or its backend did) between discovery and the list; 405: it cannot be listed at all.
        if error.status in (404, 405, 503):
            return []
        raise
    api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
    return [Entry(kind, {"apiVersion": api_version, "kind": kind.kind, **item}) for item in found]


def _comes_by_itself(entry: Entry) -> bool:
    key, meta = entry.key, entry.manifest["metadata"]
    if key.type == "apiservices.apiregistration.k8s.io":
        return AUTOMATIC_LABEL in meta.get("labels", {})
    return key.type in RESTLESS or key.namespace in SYSTEM_NAMESPACES


def _remove(api: Api, added: Sequence[Entry]) -> None:
    """One round: gates, then namespaces (nothing new may appear inside), then contents, then finalizing, then CRDs."""
    namespaces = [entry for entry in added if entry.kind.type == NAMESPACES]
    gates = [entry for entry in added if entry.kind.type in GATES]
    definitions = [entry for entry in added if entry.kind.type == CRDS]
    rest = [entry for entry in added if entry.kind.type not in GATES | {NAMESPACES, CRDS}]
    for group in (gates, namespaces, rest):
        _delete_all(api, group)
    if not rest:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda entry: _finalize(api, entry), namespaces))
        _delete_all(api, definitions)
        if definitions:
            time.sleep(POLL_SECONDS)


def _delete_all(api: Api, group: Iterable[Entry]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda entry: _delete(api, entry), group))


def _delete(api: Api, entry: Entry) -> None:
    meta = entry.manifest["metadata"]
    # A namespace keeps its finalizers in the spec, and a CRD's own finalizer must do its work.
    if meta.get("finalizers") and entry.kind.type not in (NAMESPACES, CRDS):
        patch = {"metadata": {"finalizers": None}}
        _tolerate(
            api, "PATCH", entry.path, patch, statuses=(404, 409, 422), content_type="application/merge-patch+json"
        )
    if meta.get("deletionTimestamp") and entry.kind.type in (NAMESPACES, CRDS):
        return
    options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    # A gate that was just deleted goes on refusing (403, 422) or failing (500) for the moment that the API server needs
    # to see that it is gone; the next round tries again.
    _tolerate(api, "DELETE", entry.path, options, statuses=(403, 404, 409, 422, 500))


def _finalize(api: Api, entry: Entry) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": entry.key.name}, "spec": {"finalizers": []}}
    _tolerate(api, "PUT", f"{entry.path}/finalize", body, statuses=(404, 409))


def _tolerate(
    api: Api,
    method: str,
    path: str,
    body: Object,
    *,
    statuses: tuple[int, ...],
    content_type: str = "application/json",
) -> None:
    """Send a request whose refusal with one of `statuses` means that somebody else was faster; the next round looks."""
    try:
        api.request(method, path, body=body, content_type=content_type)
    except ApiError as error:
        if error.status not in statuses:
            raise


def _without_uid(content: Object) -> Object:
    metadata = {name: value for name, value in content["metadata"].items() if name not in ("uid", "creationTimestamp")}
    return {**content, "metadata": metadata}
