"""Workloads that an import must not start: their volume was restored half.

In standby, hardly anything runs. Where it does (a cluster that is active, standby that is off, a workload with a
replica count of its own for DR), data of which a part is missing would be taken for the whole, and written to. What an
operator makes of a custom resource is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError, ClusterUnreachable, NotFound, Unauthorized
from drsyncer.json import decode
from drsyncer.manifest import ResourceType, metadata
from drsyncer.restored import half_restored
from importer.plan import Action, Step
from transforms.mounts import Mounted, mounted, runs
from transforms.pods import POD_SPECS

_CLAIMS = ResourceType("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True)
_STARTS = frozenset({Action.CREATE, Action.UPDATE, Action.RECREATE})


def held_back(steps: Sequence[Step], cluster: Cluster) -> tuple[Step, ...]:
    """Return `steps` with those blocked that would start a workload on a volume that was restored half.

    DR is asked only where there is such a workload. When it does not say what is in the volumes, they count as half
    restored. Raises ClusterUnreachable and Unauthorized.
    """
    starting = {step.ref: claims for step in steps if (claims := _starting(step))}
    objections = {
        namespace: _objections(cluster, namespace) for namespace in sorted({ref.namespace for ref in starting})
    }
    return tuple(
        replace(step, action=Action.BLOCKED, reason=reason)
        if step.ref in starting and (reason := _reason(starting[step.ref], objections[step.ref.namespace]))
        else step
        for step in steps
    )


def _starting(step: Step) -> Mounted:
    """Return the claims of what a step would start; none when it starts nothing."""
    if step.action not in _STARTS or step.wish is None or step.ref.type not in POD_SPECS:
        return Mounted()
    manifest = decode(step.wish.data)
    return mounted(step.ref.type, manifest) if runs(step.ref.type, manifest) else Mounted()


def _objections(cluster: Cluster, namespace: str) -> dict[str, str] | str:
    """Return the claims that must not be used, with the reasons; a text when that cannot be had."""
    found: dict[str, str] = {}
    try:
        for page in cluster.pages(_CLAIMS, namespace=namespace, metadata_only=True):
            if page.first:
                found.clear()
            for raw in page.items:
                claim = decode(raw)
                if text := half_restored(claim):
                    found[str(metadata(claim).get("name", ""))] = text
    except (ClusterUnreachable, Unauthorized):
        raise
    except NotFound:
        return found
    except ClusterError as error:
        return f"whether its volumes are restored whole cannot be told: {error}"
    return found


def _reason(claims: Mounted, objections: dict[str, str] | str) -> str:
    if isinstance(objections, str):
        return objections
    for name, text in sorted(objections.items()):
        if claims.holds(name):
            return f"it would run on volume {name}, and {text}: `dr-syncer volumes restore` makes it whole"
    return ""
