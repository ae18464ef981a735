"""Changes in a source cluster without end: create, update, delete, over many types, at a rate, from a seed."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from tests.cluster.api import APPLY, Api, ApiError, Object
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import configmap, deployment, namespace
from tests.integration.written import claim, cron_job, custom, custom_type, service

NAMES = 6  # of each type in each namespace
NAMESPACES = ("shop", "bank")
CUSTOM = 12  # types
_WORKERS = 4
_DELETED = 0.3  # the share of deletions
_PASSING = 400  # changes between two appearances of a type that comes and goes


def labelled(manifest: Object, mark: str) -> Object:
    """Return `manifest` with a label that makes it another one."""
    meta = manifest["metadata"]
    return {**manifest, "metadata": {**meta, "labels": {**meta.get("labels", {}), "churn": mark}}}


def _plain(api_version: str, kind: str, **rest: object) -> Callable[[str, str], Object]:
    return lambda where, name: {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": where},
        **rest,
    }


def _cluster(api_version: str, kind: str, **rest: object) -> Callable[[str, str], Object]:
    return lambda where, name: {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": f"churn-{where}-{name}"},
        **rest,
    }


_RBAC = "rbac.authorization.k8s.io"
_POD = {
    "metadata": {"labels": {"app": "churn"}},
    "spec": {"containers": [{"name": "main", "image": "nginx:1"}]},
}
_CHOSEN = {"matchLabels": {"app": "churn"}}
MAKERS: tuple[Callable[[str, str], Object], ...] = (
    lambda where, name: configmap(where, name, data="x" * 500),
    _plain("v1", "Secret", stringData={"password": "not a real one"}),
    _plain("v1", "ServiceAccount"),
    service,
    lambda where, name: deployment(where, name, replicas=0),
    lambda where, name: claim(where, name),
    cron_job,
    _plain("v1", "ResourceQuota", spec={"hard": {"services.nodeports": "9"}}),
    _plain("v1", "LimitRange", spec={"limits": [{"type": "Pod", "max": {"cpu": "9"}}]}),
    _plain("apps/v1", "StatefulSet", spec={"serviceName": "x", "replicas": 0, "selector": _CHOSEN, "template": _POD}),
    _plain("apps/v1", "DaemonSet", spec={"selector": _CHOSEN, "template": _POD}),
    _plain("policy/v1", "PodDisruptionBudget", spec={"minAvailable": 1, "selector": _CHOSEN}),
    _plain("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {}}),
    _plain(
        "networking.k8s.io/v1",
        "Ingress",
        spec={"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
    ),
    _plain(f"{_RBAC}/v1", "Role", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
    _plain(
        f"{_RBAC}/v1",
        "RoleBinding",
        roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"},
        subjects=[{"apiGroup": _RBAC, "kind": "User", "name": "somebody"}],
    ),
    _cluster(f"{_RBAC}/v1", "ClusterRole", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
    _cluster("scheduling.k8s.io/v1", "PriorityClass", value=7),
)


def prepare(source: ControlPlane) -> None:
    """Make the namespaces and the custom types."""
    source.apply([namespace(name) for name in NAMESPACES])
    source.apply([custom_type(f"thing{number}s", kind=f"Thing{number}") for number in range(CUSTOM)])
    for number in range(CUSTOM):
        source.api.kind_of({"apiVersion": "example.com/v1", "kind": f"Thing{number}"})


def makers() -> list[Callable[[str, str], Object]]:
    """Return what makes an object of each type, the custom ones too."""
    own = [lambda where, name, kind=f"Thing{number}": custom(where, name, kind=kind) for number in range(CUSTOM)]
    return [*MAKERS, *own]


class Churn:
    """Changes `source` at `rate` per second while the block lasts. What the API server refuses or loses is counted."""

    def __init__(self, source: ControlPlane, *, seed: int, rate: float) -> None:
        self.counts: Counter[str] = Counter()
        self._source = source
        self._rate = rate
        self._seed = seed
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(index,)) for index in range(_WORKERS)]
        self._errors: list[BaseException] = []

    def __enter__(self) -> Churn:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.check()

    def check(self) -> None:
        """Raise what ended it before its time."""
        if self._errors:
            raise self._errors[0]

    def _run(self, index: int) -> None:
        """One of the hands. Each has names of its own, so that their order does not matter."""
        rng = random.Random(self._seed * _WORKERS + index)  # repeatable
        api, made = self._source.client("harness"), makers()
        pause, due, number = _WORKERS / self._rate, time.monotonic(), 0
        try:
            while not self._stop.is_set():
                number += 1
                if index == 0 and number % _PASSING == 0:
                    self._try(api, "passing", partial(self._pass, api, number))
                else:
                    self._change(api, rng, made, f"h{index}-{rng.randrange(NAMES)}", number)
                due = max(due + pause, time.monotonic() - 1.0)  # what was missed while it was away is not made up for
                self._stop.wait(max(0.0, due - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._errors.append(error)

    def _change(
        self, api: Api, rng: random.Random, made: list[Callable[[str, str], Object]], name: str, number: int
    ) -> None:
        manifest = rng.choice(made)(rng.choice(NAMESPACES), name)
        if rng.random() < _DELETED:
            self._try(api, "deleted", lambda: _delete(api, manifest))
        else:
            self._try(api, "applied", lambda: _apply(api, labelled(manifest, f"n{number}")))

    def _pass(self, api: Api, number: int) -> None:
        """A type comes with an object, or goes with all of them."""
        definition = custom_type("passings", kind="Passing")
        if (number // _PASSING) % 2:
            _apply(api, definition)
            _apply(api, custom("shop", "one", kind="Passing"))
        else:
            _delete(api, definition)

    def _try(self, api: Api, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (ApiError, OSError, http.client.HTTPException, KeyError) as error:
            what = f"refused: {error.status}" if isinstance(error, ApiError) else "lost"
            api.close()
        with self._lock:
            self.counts[what] += 1


def _apply(api: Api, manifest: Object) -> None:
    query = urlencode({"fieldManager": "kubectl", "force": "true"})
    api.request("PATCH", f"{api.path_of(manifest)}?{query}", body=manifest, content_type=APPLY)


def _delete(api: Api, manifest: Object) -> None:
    api.request("DELETE", api.path_of(manifest), body={"propagationPolicy": "Background"})
