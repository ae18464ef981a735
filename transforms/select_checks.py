"""The built-in exclusions: what a cluster makes for itself, and what must never travel.

A row is out of the export (or, for INFRASTRUCTURE, the import) by default; the configuration switches it off by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drsyncer import own
from drsyncer.manifest import ResourceType
from drsyncer.match import Match, Subject, match
from transforms import select_conditions as conditions


@dataclass(frozen=True, slots=True)
class Check:
    """One row. It leaves out what any of `matches` is about and for which `when` and `when_type` hold.

    `reason` follows the object's name in a sentence. `always`: the row cannot be switched off. `unless_named`: an
    include rule that names the type without a glob lets its objects in.
    """

    name: str
    matches: tuple[Match, ...]
    reason: str
    why: str
    when: Callable[[Subject], bool] | None = None
    when_type: Callable[[ResourceType], bool] | None = None
    always: bool = False
    unless_named: bool = False


def _types(*types: str) -> tuple[Match, ...]:
    return (Match(types=types),)


_SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")

IGNORED = Check(
    name="ignore",
    matches=(Match(),),
    when=conditions.ignored,
    always=True,
    reason=f'it carries {own.IGNORE}: "true" as a label or annotation',
    why="who owns the object has the last word",
)

BUILT_IN: tuple[Check, ...] = (
    IGNORED,
    Check(
        name="not-listable",
        matches=(Match(),),
        when_type=conditions.not_listed,
        always=True,
        reason="its type cannot be listed",
        why="the API gives no way to read what is there (reviews, bindings and other virtual types)",
    ),
    Check(
        name="terminating",
        matches=(Match(),),
        when=conditions.terminating,
        reason="it is being deleted",
        why="a deletionTimestamp is never taken back; only finalizers hold the object",
    ),
    Check(
        name="system-namespaces",
        matches=(match(namespaces=_SYSTEM_NAMESPACES), match(types=["namespaces"], names=_SYSTEM_NAMESPACES)),
        reason="it belongs to a namespace of the cluster itself",
        why="every cluster makes these namespaces and fills them for its own version and nodes",
    ),
    Check(
        name="events",
        matches=_types("events", "events.events.k8s.io"),
        reason="events are a record, not configuration",
        why="they expire within an hour and name UIDs of this cluster",
    ),
    Check(
        name="leases",
        matches=_types("leases.coordination.k8s.io", "leasecandidates.coordination.k8s.io"),
        reason="leases say who leads right now",
        why="renewed every few seconds; a foreign lease would stall leader election",
    ),
    Check(
        name="service-endpoints",
        matches=_types("endpoints", "endpointslices.discovery.k8s.io"),
        when=conditions.made_for_service,
        reason="a controller keeps it for a Service",
        why="it holds Pod addresses of this cluster; hand-made ones without a selector stay",
    ),
    Check(
        name="nodes",
        matches=_types("nodes", "csinodes.storage.k8s.io", "resourceslices.resource.k8s.io"),
        reason="it describes a node of this cluster",
        why="written by kubelets and the drivers on the nodes",
    ),
    Check(
        name="storage-state",
        matches=_types("volumeattachments.storage.k8s.io", "csistoragecapacities.storage.k8s.io"),
        reason="it is state of this cluster's storage",
        why="written by the attach controller and by storage drivers",
    ),
    Check(
        name="certificate-requests",
        matches=_types("certificatesigningrequests.certificates.k8s.io", "podcertificaterequests.certificates.k8s.io"),
        reason="certificate requests are answered once and end",
        why="garbage collected within a day, and signed by this cluster's authority",
    ),
    Check(
        name="controller-revisions",
        matches=_types("controllerrevisions.apps"),
        reason="it is the roll-back history of a workload",
        why="the StatefulSet and DaemonSet controllers write it",
    ),
    Check(
        name="storage-versions",
        matches=_types("storageversions.internal.apiserver.k8s.io", "storageversionmigrations.storagemigration.k8s.io"),
        reason="it is about how this API server stores objects",
        why="written by each API server for itself; a migration has done its work where it was asked for",
    ),
    Check(
        name="status-requests",
        matches=_types("resourcepoolstatusrequests.resource.k8s.io"),
        reason="it asks this cluster a question, once",
        why="answered in its status by a controller, about the devices of this cluster's nodes",
    ),
    Check(
        name="metrics",
        matches=_types("*.metrics.k8s.io"),
        reason="metrics are measurements, not objects",
        why="computed by a metrics adapter at each request",
    ),
    Check(
        name="component-statuses",
        matches=_types("componentstatuses"),
        reason="it is computed at each request",
        why="deprecated since 1.19; nothing is stored",
    ),
    Check(
        name="reviews",
        matches=_types("*reviews.authentication.k8s.io", "*reviews.authorization.k8s.io"),
        reason="reviews are questions, not objects",
        why="answered at once; nothing is stored",
    ),
    Check(
        name="local-api-services",
        matches=_types("apiservices.apiregistration.k8s.io"),
        when=conditions.is_local,
        reason="the API server makes it for a group that it serves itself",
        why="without spec.service it stands for a built-in group or a CustomResourceDefinition",
    ),
    Check(
        name="ip-addresses",
        matches=(Match(types=("ipaddresses.networking.k8s.io",)), match(types=["servicecidrs"], names=["kubernetes"])),
        reason="it belongs to this cluster's address ranges",
        why="the API server makes an IPAddress per ClusterIP and the default ServiceCIDR (KEP-1880)",
    ),
    Check(
        name="owned",
        matches=(Match(),),
        when=conditions.owned,
        reason="a controller or a node made it",
        why="its owner makes it again; claims stay, they carry data, but for a Pod's ephemeral volumes",
    ),
    Check(
        name="finished",
        matches=_types("jobs.batch", "pods"),
        when=conditions.finished,
        reason="it has run to its end",
        why="importing it would run it a second time",
    ),
    Check(
        name="cluster-ca",
        matches=(
            match(types=["configmaps"], names=["kube-root-ca.crt", "openshift-service-ca.crt"]),
            match(types=["clustertrustbundles.certificates.k8s.io"], names=["kubernetes.io:kube-apiserver-serving:*"]),
        ),
        reason="it holds the certificate of this cluster's authority",
        why="a controller publishes it, the ConfigMaps in every namespace",
    ),
    Check(
        name="default-service-account",
        matches=(match(types=["serviceaccounts"], names=["default"]),),
        when=conditions.untouched_default_account,
        reason="nobody changed it",
        why="a controller makes it in every namespace; one with labels, annotations or pull secrets stays",
    ),
    Check(
        name="kubernetes-service",
        matches=(
            match(
                types=["services", "endpoints", "endpointslices.discovery.k8s.io"],
                namespaces=["default"],
                names=["kubernetes"],
            ),
        ),
        reason="it points to this cluster's API server",
        why="every API server makes it for itself",
    ),
    Check(
        name="bootstrap-tokens",
        matches=_types("secrets"),
        when=conditions.of_type("bootstrap.kubernetes.io/token"),
        reason="it lets nodes join this cluster",
        why="short-lived, and of no use elsewhere",
    ),
    Check(
        name="helm-releases",
        matches=_types("secrets"),
        when=conditions.of_type("helm.sh/release.v1"),
        reason="it is Helm's release history",
        why="switch this off to run `helm upgrade` in the other cluster",
    ),
    Check(
        name="generated-tokens",
        matches=_types("secrets"),
        when=conditions.generated_token,
        reason="the token controller made it",
        why="made unasked up to Kubernetes 1.23; a token Secret that a person made stays, without its token",
    ),
    Check(
        name="dr-syncer",
        matches=(
            match(labels=f"{own.PART_OF}={own.OWN_NAME}"),
            match(annotations={own.APPLYSET_TOOLING: f"{own.OWN_NAME}/*"}),
        ),
        reason="it is DR-Syncer's own",
        why="each side has its own installation, records and inventory",
    ),
    Check(
        name="default-rbac",
        matches=(match(types=["*.rbac.authorization.k8s.io"], labels="kubernetes.io/bootstrapping=rbac-defaults"),),
        reason="the API server makes it at start",
        why="reconciled at each start to what that version needs",
    ),
    Check(
        name="system-priority-classes",
        matches=(match(types=["priorityclasses"], names=["system-*"]),),
        reason="the API server makes it at start",
        why="the prefix system- is reserved for Kubernetes (API reference: PriorityClass)",
    ),
    Check(
        name="system-flow-control",
        matches=_types(
            "flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
        ),
        when=conditions.systems_own_flow_control,
        reason="the API server keeps it",
        why="mandatory and suggested objects; one whose autoupdate-spec annotation says false is a person's",
    ),
)

# Not scheduling.k8s.io: a Pod whose PriorityClass is missing is refused, and the class needs nothing from its cluster.
INFRASTRUCTURE = Check(
    name="infrastructure",
    matches=_types(
        "nodes",
        "persistentvolumes",
        "storageclasses.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "volumesnapshotclasses.snapshot.storage.k8s.io",
        "volumesnapshotcontents.snapshot.storage.k8s.io",
        "volumegroupsnapshotclasses.groupsnapshot.storage.k8s.io",
        "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io",
        "ingressclasses.networking.k8s.io",
        "servicecidrs.networking.k8s.io",
        "gatewayclasses.gateway.networking.k8s.io",
        "runtimeclasses.node.k8s.io",
        "deviceclasses.resource.k8s.io",
    ),
    unless_named=True,
    reason="it is infrastructure of the cluster that it comes from",
    why="the other cluster has its own; an include rule that names the type without a glob lets it in",
)

# What an importer checks: the rest was decided when the recovery point was made.
IMPORT: tuple[Check, ...] = (IGNORED, INFRASTRUCTURE)
