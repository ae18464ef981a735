"""What the API server or a controller wrote into an object: the table of built-in cleaning rules.

Every rule is a row: what it applies to, what it removes, and why a reader may trust it. Paths are those of
`drsyncer.paths`. It is a list of what goes, never of what stays: fields that nobody here has heard of survive.

A list or mapping is left behind empty when it was a person's; it goes with its last part only where the cluster made
it (`with_parent`) and for labels and annotations, whose empty mapping the API itself never shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drsyncer import paths
from drsyncer.match import Match
from drsyncer.paths import Path
from transforms import clean_conditions as conditions
from transforms.clean_conditions import Condition


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. `why` is one sentence, with its source where there is one."""

    name: str
    match: Match
    remove: tuple[Path, ...]
    why: str
    when: Condition | None = None
    with_parent: bool = False  # the list or mapping that held it goes, too, when nothing else is left in it


def _rule(
    name: str,
    remove: str | Iterable[str],
    why: str,
    *,
    types: str = "",
    when: Condition | None = None,
    with_parent: bool = False,
) -> Rule:
    return Rule(
        name=name,
        match=Match(types=tuple(types.split())),
        remove=tuple(paths.parse(text) for text in (remove.split() if isinstance(remove, str) else remove)),
        why=why,
        when=when,
        with_parent=with_parent,
    )


def _annotations(*names: str) -> list[str]:
    return [f"/metadata/annotations/{name.replace('/', '~1')}" for name in names]


def _labels(*names: str) -> list[str]:
    return [f"/metadata/labels/{name.replace('/', '~1')}" for name in names]


_EVERY_OBJECT = (
    _rule("status", "/status", "Controllers write it; an apply of the object itself ignores it (API conventions)."),
    _rule(
        "server-metadata",
        """/metadata/uid /metadata/resourceVersion /metadata/generation /metadata/selfLink /metadata/managedFields
        /metadata/creationTimestamp /metadata/deletionTimestamp /metadata/deletionGracePeriodSeconds""",
        "The API server sets these read-only fields at each write (API reference: ObjectMeta).",
    ),
    _rule(
        "owner-references",
        "/metadata/ownerReferences",
        "An owner is named by UID; in another cluster the object would be garbage collected at once.",
    ),
    _rule(
        "generate-name", "/metadata/generateName", "It has done its work once there is a name.", when=conditions.NAMED
    ),
    _rule("finalizers", "/metadata/finalizers", "Controllers add them; without their controller nothing ends them."),
    _rule(
        "null-creation-timestamp",
        """/spec/*/metadata/creationTimestamp /spec/*/*/metadata/creationTimestamp
        /template/metadata/creationTimestamp /spec/jobTemplate/spec/template/metadata/creationTimestamp
        /spec/volumes/*/ephemeral/volumeClaimTemplate/metadata/creationTimestamp
        /spec/template/spec/volumes/*/ephemeral/volumeClaimTemplate/metadata/creationTimestamp
        /spec/jobTemplate/spec/template/spec/volumes/*/ephemeral/volumeClaimTemplate/metadata/creationTimestamp""",
        "Go's zero time, written out in templates by API servers before 1.34 and by many tools.",
        when=conditions.NULL,
    ),
    _rule(
        "last-applied",
        _annotations("kubectl.kubernetes.io/last-applied-configuration"),
        "The memory of client-side `kubectl apply`: a second copy of the object.",
    ),
    _rule(
        "leader",
        _annotations("control-plane.alpha.kubernetes.io/leader"),
        "Leader election on Endpoints and ConfigMaps rewrites it every few seconds.",
    ),
    _rule(
        "rollout-revision",
        _annotations("deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"),
        "The workload controllers count their roll-outs here.",
    ),
    _rule(
        "autoscaling-status",
        _annotations("autoscaling.alpha.kubernetes.io/conditions", "autoscaling.alpha.kubernetes.io/current-metrics"),
        "Status of autoscaling/v1; its neighbours metrics and behavior are intent and stay.",
    ),
    _rule(
        "volume-binding",
        _annotations(
            "pv.kubernetes.io/bind-completed",
            "pv.kubernetes.io/bound-by-controller",
            "volume.kubernetes.io/selected-node",
            "volume.kubernetes.io/storage-provisioner",
            "volume.beta.kubernetes.io/storage-provisioner",
        ),
        "The volume binder's notes on this cluster's volumes and nodes.",
    ),
    _rule(
        "job-tracking",
        [
            *_annotations(
                "batch.kubernetes.io/controller-uid",
                "controller-uid",
                "batch.kubernetes.io/job-tracking",
                "cronjob.kubernetes.io/instantiate",
            ),
            *_labels("controller-uid", "batch.kubernetes.io/controller-uid"),
        ],
        "The Job controller's marks; the UID in them is a Job's in this cluster.",
    ),
    _rule(
        "service-account-uid",
        _annotations("kubernetes.io/service-account.uid"),
        "The token controller writes it; the UID is an account's in this cluster.",
    ),
    _rule(
        "flux",
        [*_annotations("kustomize.toolkit.fluxcd.io/*"), *_labels("kustomize.toolkit.fluxcd.io/*")],
        "Flux marks its inventory; a Flux in the other cluster would prune what carries its mark.",
    ),
    _rule(
        "applyset",
        [*_annotations("applyset.kubernetes.io/*"), *_labels("applyset.kubernetes.io/*")],
        "Marks of an inventory in this cluster (KEP-3659).",
    ),
    _rule("kro", _labels("kro.run/*"), "kro marks what one of its instances in this cluster owns."),
    _rule(
        "argo-cd",
        _annotations("argocd.argoproj.io/tracking-id", "argocd.argoproj.io/installation-id"),
        "Argo CD marks its inventory; sync waves and hooks are intent and stay.",
    ),
    _rule(
        "dr-syncer",
        [*_annotations("dr-syncer.io/*"), *_labels("dr-syncer.io/*")],
        "DR-Syncer's own notes; what people write and what brings a parked object back stays.",
        when=conditions.WRITTEN_BY_US,
    ),
)

_NETWORK = (
    _rule(
        "service-cluster-ip",
        "/spec/clusterIP /spec/clusterIPs",
        "Allocated from this cluster's range.",
        types="services",
        when=conditions.NOT_HEADLESS,
    ),
    _rule(
        "service-health-check-port",
        "/spec/healthCheckNodePort",
        "Allocated from this cluster's node ports.",
        types="services",
    ),
    _rule(
        "service-ip-families",
        "/spec/ipFamilies /spec/ipFamilyPolicy",
        "Filled in from what this cluster's network can do; keep them where a Service must be dual-stack.",
        types="services",
    ),
    _rule(
        "service-node-ports",
        "/spec/ports/*/nodePort",
        "Allocated from this cluster's node ports.",
        types="services",
        when=conditions.PORT_NOT_DECLARED,
    ),
)

_POD = (
    _rule("pod-node", "/spec/nodeName", "The scheduler's choice among this cluster's nodes.", types="pods"),
    _rule(
        "pod-token-volume",
        """/spec/volumes/* /spec/containers/*/volumeMounts/* /spec/initContainers/*/volumeMounts/*
        /spec/ephemeralContainers/*/volumeMounts/*""",
        "The plug-in adds it again, under a new name, to every Pod that is made.",
        types="pods",
        when=conditions.TOKEN_VOLUME,
        with_parent=True,
    ),
    _rule(
        "pod-default-tolerations",
        "/spec/tolerations[key=node.kubernetes.io~1not-ready] /spec/tolerations[key=node.kubernetes.io~1unreachable]",
        "The DefaultTolerationSeconds admission plug-in adds them to every Pod.",
        types="pods",
        when=conditions.DEFAULT_TOLERATION,
        with_parent=True,
    ),
    _rule(
        "pod-priority",
        "/spec/priority /spec/preemptionPolicy",
        "The Priority admission plug-in copies them from the class, or the default class, and refuses other values.",
        types="pods",
        when=conditions.PRIORITY_OF_CLASS,
    ),
    _rule(
        "pod-overhead",
        "/spec/overhead",
        "The RuntimeClass admission plug-in copies it from the class and refuses another value (KEP-688).",
        types="pods",
        when=conditions.HAS_RUNTIME_CLASS,
    ),
    _rule(
        "pod-service-account",
        "/spec/serviceAccount",
        "The deprecated twin of serviceAccountName.",
        types="pods",
        when=conditions.HAS_ACCOUNT_NAME,
    ),
    _rule(
        "pod-ephemeral-containers",
        "/spec/ephemeralContainers",
        "Debugging sessions; a new Pod that holds any is refused (API reference: Pod).",
        types="pods",
    ),
)

_WORKLOADS = (
    _rule(
        "job-selector",
        """/spec/selector /metadata/labels/job-name /metadata/labels/batch.kubernetes.io~1job-name
        /spec/template/metadata/labels/controller-uid /spec/template/metadata/labels/batch.kubernetes.io~1controller-uid
        /spec/template/metadata/labels/job-name /spec/template/metadata/labels/batch.kubernetes.io~1job-name""",
        "Generated from the Job's UID; a Job that comes with them is refused.",
        types="jobs.batch",
        when=conditions.GENERATED_FOR_JOB,
    ),
    _rule(
        "claim-template-status",
        "/spec/volumeClaimTemplates/*/status",
        "The API server's default for a claim that does not exist yet.",
        types="statefulsets.apps",
    ),
)

_STORAGE = (
    _rule(
        "claim-volume-name",
        "/spec/volumeName",
        "The volume that this cluster's binder chose; one that a person named stays.",
        types="persistentvolumeclaims",
        when=conditions.BOUND_BY_CONTROLLER,
    ),
    _rule(
        "volume-claim-uid",
        "/spec/claimRef/uid /spec/claimRef/resourceVersion",
        "A volume is reserved for a claim by name; the UID would tie it to one of this cluster.",
        types="persistentvolumes",
    ),
)

_ACCESS = (
    _rule(
        "service-account-tokens",
        "/secrets/* /imagePullSecrets/*",
        "The other cluster's controllers make their own.",
        types="serviceaccounts",
        when=conditions.GENERATED_REFERENCE,
        with_parent=True,
    ),
    _rule(
        "token-secret",
        [
            "/data",
            *_labels("kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"),
        ],
        "Signed by this cluster; without it the other cluster's controller fills in a token of its own.",
        types="secrets",
        when=conditions.IS_ACCOUNT_TOKEN,
    ),
    _rule(
        "aggregated-rules",
        "/rules",
        "A controller fills them in from the roles that the rule selects (RBAC: aggregated ClusterRoles).",
        types="clusterroles.rbac.authorization.k8s.io",
        when=conditions.IS_AGGREGATED,
    ),
)

_CLUSTER = (
    _rule(
        "namespace-finalizers",
        "/spec/finalizers",
        "The API server adds `kubernetes` and takes it away when the namespace is empty.",
        types="namespaces",
        with_parent=True,
    ),
    _rule(
        "namespace-name-label",
        _labels("kubernetes.io/metadata.name"),
        "The API server keeps it equal to the name (KEP-2161).",
        types="namespaces",
    ),
    _rule(
        "injected-ca",
        "/webhooks/*/clientConfig/caBundle",
        "Certificate authorities of this cluster; the injector of the other one fills in its own.",
        types="mutatingwebhookconfigurations validatingwebhookconfigurations",
        when=conditions.CA_IS_INJECTED,
    ),
    _rule(
        "injected-api-service-ca",
        "/spec/caBundle",
        "Certificate authorities of this cluster; the injector of the other one fills in its own.",
        types="apiservices.apiregistration.k8s.io",
        when=conditions.CA_IS_INJECTED,
    ),
    _rule(
        "injected-conversion-ca",
        "/spec/conversion/webhook/clientConfig/caBundle",
        "Certificate authorities of this cluster; the injector of the other one fills in its own.",
        types="customresourcedefinitions.apiextensions.k8s.io",
        when=conditions.CA_IS_INJECTED,
    ),
)

BUILT_IN: tuple[Rule, ...] = (*_EVERY_OBJECT, *_NETWORK, *_POD, *_WORKLOADS, *_STORAGE, *_ACCESS, *_CLUSTER)
