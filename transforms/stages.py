"""The order of an apply: which types go in before which, and the facts about types that others need.

A stage is finished before the next begins. Inside a stage come waves, for the few pairs where one must
exist before the other (a volume before its claim, a role before its binding: the API server checks the
role's rules when the binding is made). Inside a wave objects are independent and may go at once.
Pruning is the exact reverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from drsyncer.manifest import ObjectRef


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the order. `waves` are types in `plural.group`; a stage without any takes all other types."""

    number: int
    name: str
    waves: tuple[tuple[str, ...], ...]


GATEWAY = "gateway.networking.k8s.io"
ADMISSION = "admissionregistration.k8s.io"

STAGES: tuple[Stage, ...] = (
    Stage(1, "namespaces and definitions", (("namespaces", "customresourcedefinitions.apiextensions.k8s.io"),)),
    Stage(
        2,
        "classes",
        (
            (
                "storageclasses.storage.k8s.io",
                "volumesnapshotclasses.snapshot.storage.k8s.io",
                "volumeattributesclasses.storage.k8s.io",
                "csidrivers.storage.k8s.io",
                "ingressclasses.networking.k8s.io",
                "runtimeclasses.node.k8s.io",
                "priorityclasses.scheduling.k8s.io",
                "deviceclasses.resource.k8s.io",
                f"gatewayclasses.{GATEWAY}",
            ),
        ),
    ),
    Stage(
        3,
        "identities and roles",
        (
            ("serviceaccounts", "roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io"),
            ("rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io"),
        ),
    ),
    Stage(
        4,
        "limits and policies",
        (("resourcequotas", "limitranges", "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy"),),
    ),
    Stage(5, "configuration", (("configmaps", "secrets"),)),
    Stage(6, "volumes", (("persistentvolumes",), ("persistentvolumeclaims",))),
    Stage(7, "services", (("services",), ("endpoints", "endpointslices.discovery.k8s.io"))),
    Stage(
        8,
        "workloads",
        (
            (
                "deployments.apps",
                "statefulsets.apps",
                "daemonsets.apps",
                "replicasets.apps",
                "replicationcontrollers",
                "podtemplates",
                "cronjobs.batch",
                "jobs.batch",
                "pods",
            ),
        ),
    ),
    Stage(
        9,
        "autoscaling and routing",
        (
            (
                "horizontalpodautoscalers.autoscaling",
                "ingresses.networking.k8s.io",
                f"referencegrants.{GATEWAY}",
                f"gateways.{GATEWAY}",
            ),
            tuple(f"{kind}routes.{GATEWAY}" for kind in ("http", "grpc", "tls", "tcp", "udp")),
        ),
    ),
    Stage(10, "custom resources and all other types", ()),
    Stage(
        11,
        "aggregated APIs and admission",
        (
            ("apiservices.apiregistration.k8s.io",),
            (
                f"mutatingwebhookconfigurations.{ADMISSION}",
                f"validatingwebhookconfigurations.{ADMISSION}",
                f"mutatingadmissionpolicies.{ADMISSION}",
                f"validatingadmissionpolicies.{ADMISSION}",
            ),
            (f"mutatingadmissionpolicybindings.{ADMISSION}", f"validatingadmissionpolicybindings.{ADMISSION}"),
        ),
    ),
)

_RANKS: dict[str, tuple[int, int]] = {
    type_key: (stage.number, wave) for stage in STAGES for wave, types in enumerate(stage.waves) for type_key in types
}
_OTHERS = next(stage.number for stage in STAGES if not stage.waves)

APPLY_ORDER: tuple[int, ...] = tuple(stage.number for stage in STAGES)
PRUNE_ORDER: tuple[int, ...] = APPLY_ORDER[::-1]
STAGE_NAMES: dict[int, str] = {stage.number: stage.name for stage in STAGES}

# Infrastructure of the cluster itself: out of an import unless selected.
CLASSES: frozenset[str] = frozenset(types for wave in STAGES[1].waves for types in wave)
# What runs containers.
WORKLOADS: frozenset[str] = frozenset(types for wave in STAGES[7].waves for types in wave) - {"podtemplates"}
# The type that makes other types, which must be served before its instances are written.
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
# Deleting one of these takes data or whole populations with it: no setting makes an import do that to replace it.
NEVER_RECREATED: frozenset[str] = frozenset({"namespaces", DEFINITIONS, "persistentvolumes", "persistentvolumeclaims"})
# The groups that the API server serves by itself. What is in no such group is a custom resource or an aggregated API.
BUILT_IN_GROUPS: frozenset[str] = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)


def stage_of(type_key: str) -> int:
    """Return the number of the stage that applies `plural.group`; custom resources and unknown types have their own."""
    return _RANKS.get(type_key, (_OTHERS, 0))[0]


def is_custom(type_key: str) -> bool:
    """Return whether the type comes from a CRD or an aggregated API, judged by its group."""
    return type_key.partition(".")[2] not in BUILT_IN_GROUPS


def apply_key(ref: ObjectRef) -> tuple[int, int, str, str, str]:
    """Sort key of the apply: stage, wave, then type, namespace and name, so that every run has the same order."""
    stage, wave = _RANKS.get(ref.type, (_OTHERS, 0))
    return stage, wave, ref.type, ref.namespace, ref.name


def in_apply_order(refs: Iterable[ObjectRef]) -> list[ObjectRef]:
    """Return the objects in the order of an apply."""
    return sorted(refs, key=apply_key)


def in_prune_order(refs: Iterable[ObjectRef]) -> list[ObjectRef]:
    """Return the objects in the order of a prune, the exact reverse of an apply."""
    return sorted(refs, key=apply_key, reverse=True)


def waves(refs: Iterable[ObjectRef], *, prune: bool = False) -> Iterator[tuple[int, tuple[ObjectRef, ...]]]:
    """Yield (stage number, objects that may go at once), in the order of an apply or of a prune."""
    ordered = in_prune_order(refs) if prune else in_apply_order(refs)
    for rank, group in groupby(ordered, key=lambda ref: apply_key(ref)[:2]):
        yield rank[0], tuple(group)
