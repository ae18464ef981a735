"""What the charts grant, against what the services asked in the whole story: by the API servers' own audit logs."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from tests.cluster.audit import AuditLog
from tests.e2e.kubectl import Cluster
from tests.e2e.lab.clusters import AUDITED, Kind
from tests.integration.charts.rights import FORBIDDEN, granted, unused

# What the story does not have, by component: tests/integration has it.
UNUSED_HERE: Mapping[str, frozenset[tuple[str, str]]] = {
    # A ConfigMap of records goes when an import has far fewer objects than the one before. Of restores: one that fails,
    # and a mover that a LimitRange does not let in as it is.
    "importer": frozenset(
        {("configmaps", "delete"), ("limitranges", "list"), ("events", "list"), ("events", "create")}
    ),
    "backup": frozenset({("events", "list"), ("limitranges", "list")}),
    # No dispatcher dies and leaves a Lease. The mover that is killed leaves a lock, or was not that far yet. No check
    # finds anything wrong, and the exporter's service has made the ConfigMap that the verdict goes to.
    "verify": frozenset({("leases", "delete"), ("pods", "list"), ("configmaps", "create"), ("events", "create")}),
    "prune": frozenset({("leases", "delete"), ("pods", "list")}),
}


def judge(cluster: Cluster, kind: Kind, name: str, *, release: str) -> tuple[int, list[str]]:
    """Return how many requests a side made, and sentences about those refused and about grants that none needed."""
    objects = [
        each for each in yaml.safe_load_all(cluster.helm("get", "manifest", release, "--namespace", AUDITED)) if each
    ]
    file = cluster.cache / f"{cluster.name}-audit.log"
    file.write_text(kind.audit_log(name) + "\n")
    count, complaints = 0, []
    for each in objects:
        if each["kind"] != "ServiceAccount":
            continue
        account, component = each["metadata"]["name"], each["metadata"]["labels"]["app.kubernetes.io/component"]
        events = AuditLog(file).requests(user=f"system:serviceaccount:{AUDITED}:{account}", since=0)
        count += len(events)
        complaints += [
            f"{account}: {event.verb} {event.uri} was refused" for event in events if event.status == FORBIDDEN
        ]
        idle = unused(granted(objects, account), events)
        elsewhere = UNUSED_HERE.get(component, frozenset())
        complaints += [
            f"{account}: no request needed {grant}" for grant in idle if (grant.resource, grant.verb) not in elsewhere
        ]
    return count, complaints
