"""What the service account of a chart may do by its roles and by the API server, and what it did by the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drsyncer.cluster import connect
from drsyncer.json import decode, encode
from tests.cluster.audit import AuditEvent
from tests.cluster.control_plane import ControlPlane
from tests.integration.charts import NAMESPACE, Object, one, pod_of

RBAC = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
# Asked by the API server of itself, when somebody writes a role or a binding: no request has these verbs.
UNASKED = frozenset({"escalate", "bind"})
CREATED, FORBIDDEN = 201, 403


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One verb for one type. `namespace` "" is everywhere; `names` () are all."""

    namespace: str
    group: str
    resource: str
    verb: str
    names: tuple[str, ...] = ()

    def allows(self, event: AuditEvent, verb: str) -> bool:
        """Return whether a request falls under it, as far as it needs `verb`."""
        resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
        return (
            event.resource != ""
            and self.namespace in ("", event.namespace)
            and self.group in ("*", event.group)
            and self.resource in ("*", resource)
            and self.verb == verb
            and (not self.names or event.name in self.names)
        )

    @property
    def breadth(self) -> tuple[bool, ...]:
        """The broader, the greater."""
        return (not self.names, self.resource == "*", self.group == "*", self.namespace == "")


def granted(objects: Iterable[Object], account: str) -> set[Grant]:
    """Return what the roles among rendered objects grant to a service account."""
    every = list(objects)
    bound = {
        (binding["roleRef"]["kind"], binding["metadata"].get("namespace", ""), binding["roleRef"]["name"])
        for binding in every
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and account in [subject["name"] for subject in binding["subjects"]]
    }
    return {
        grant
        for role in every
        if (role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]) in bound
        for grant in grants_of(role["rules"], role["metadata"].get("namespace", ""))
    }


def grants_of(rules: Iterable[Object], namespace: str) -> set[Grant]:
    """Return rules one by one."""
    return {
        Grant(namespace, group, resource, verb, tuple(sorted(rule.get("resourceNames") or ())))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


class Account:
    """A service account of a chart in a cluster, with the rights that the chart gives it and no others.

    `cron_job` is whose it is; without it, it is the Deployment's.
    """

    def __init__(self, cluster: ControlPlane, objects: list[Object], *, cron_job: str = "") -> None:
        self._cluster = cluster
        workload = one(objects, "CronJob", cron_job) if cron_job else one(objects, "Deployment")
        self.name: str = pod_of(workload)["serviceAccountName"]
        self.granted = granted(objects, self.name)
        self.user = f"system:serviceaccount:{NAMESPACE}:{self.name}"
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
        for lease in cluster.list(leases):  # which `reset` leaves: a first start makes its own
            cluster.delete(f"{leases}/{lease['metadata']['name']}")
        cluster.apply([each for each in objects if each["kind"] in RBAC])
        self.kubeconfig: Path = cluster.kubeconfig_for(self._token(self.name))
        self._mark = cluster.audit.mark()

    def requests(self) -> list[AuditEvent]:
        """Return what it asked."""
        return self._cluster.audit.requests(user=self.user, since=self._mark)

    def refused(self) -> list[str]:
        """Return what it was not allowed."""
        return [f"{event.verb} {event.uri}" for event in self.requests() if event.status == FORBIDDEN]

    def may(self, namespace: str) -> set[Grant]:
        """Return what the API server says that it may do in a namespace, beyond what every account may."""
        return self._rules(self.name, namespace) - self._rules("default", namespace)

    def _rules(self, account: str, namespace: str) -> set[Grant]:
        with_token = self._cluster.kubeconfig_for(self._token(account))
        client = connect(kubeconfig=str(with_token), connections=1)
        try:
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectRulesReview",
                "spec": {"namespace": namespace},
            }
            path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
            answer = client.request("POST", path, what="ask for its rights", body=encode(review))
        finally:
            client.close()
        status: dict[str, Any] = decode(answer.body)["status"]
        assert not status.get("evaluationError"), status
        return grants_of(status["resourceRules"], "")

    def _token(self, account: str) -> str:
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        self._cluster.wait_for(
            lambda: self._cluster.exists(path.removesuffix("/token")), what=f"the service account {account}"
        )
        token: str = self._cluster.post(path, request)["status"]["token"]
        return token


def unused(grants: Iterable[Grant], events: Iterable[AuditEvent]) -> list[Grant]:
    """Return the grants that no request needed, but for what the API server asks of itself.

    A request needs the narrowest grant that allows it: one for all types is not needed for what another one names.
    """
    left = set(grants)
    needed: set[Grant] = set()
    for event in events:
        for verb in verbs_of(event):
            if allowing := [grant for grant in left if grant.allows(event, verb)]:
                needed.add(min(allowing, key=lambda grant: grant.breadth))
    return sorted(grant for grant in left - needed if grant.verb not in UNASKED)


def verbs_of(event: AuditEvent) -> tuple[str, ...]:
    """Return the verbs that a request needed: to apply an object that was not there needs `create`, too.

    So does a command in a container, since Kubernetes 1.35.
    """
    if event.status == FORBIDDEN:
        return ()
    if event.subresource == "exec":
        return ("get", "create")
    return ("patch", "create") if event.verb == "patch" and event.status == CREATED else (event.verb,)
