"""What the charts grant, against what the services asked in the whole story: by the API servers' own audit logs."""

from __future__ import annotations

import yaml

from tests.cluster.audit import AuditLog
from tests.e2e.kubectl import Cluster
from tests.e2e.lab.clusters import AUDITED, Kind
from tests.integration.charts.rights import FORBIDDEN, Grant, granted, unused

# A ConfigMap of records goes when an import has far fewer objects than the one before: those of the story never do.
UNUSED_HERE = frozenset({Grant(AUDITED, "", "configmaps", "delete")})


def judge(cluster: Cluster, kind: Kind, name: str, *, release: str) -> tuple[int, list[str]]:
    """Return how many requests a side made, and sentences about those refused and about grants that none needed."""
    objects = [
        each for each in yaml.safe_load_all(cluster.helm("get", "manifest", release, "--namespace", AUDITED)) if each
    ]
    file = cluster.cache / f"{cluster.name}-audit.log"
    file.write_text(kind.audit_log(name) + "\n")
    count, complaints = 0, []
    for account in [each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"]:
        events = AuditLog(file).requests(user=f"system:serviceaccount:{AUDITED}:{account}", since=0)
        count += len(events)
        complaints += [
            f"{account}: {event.verb} {event.uri} was refused" for event in events if event.status == FORBIDDEN
        ]
        idle = [grant for grant in unused(granted(objects, account), events) if grant not in UNUSED_HERE]
        complaints += [f"{account}: no request needed {grant}" for grant in idle]
    return count, complaints
