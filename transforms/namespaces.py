"""The namespace map: an object moves, and everything that refers to a moved namespace follows.

Each reference is a row: where it is, and how the namespace is written there. Fields of built-in types and
of APIs with a published meaning are rewritten. In other custom resources a `namespace` beside a `name` may
be a reference or may not: those are reported, never touched. Names of Services in texts: `transforms.literals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from drsyncer.manifest import Manifest, ObjectRef
from transforms.pods import (
    CLAIMS,
    EACH,
    POD_SPECS,
    Ledger,
    Path,
    describe,
    few,
    lookup,
    pointer,
    replace,
    rewrite,
)
from transforms.settings import NAMESPACE_NAME, NamespaceMap, Result, Subject
from transforms.stages import is_custom

NAME = "namespaces"
NAMESPACES = "namespaces"
NAME_LABEL = "kubernetes.io/metadata.name"  # put on every Namespace by the API server, so that selectors can name one
USER_PREFIX = "system:serviceaccount:"
GROUP_PREFIX = "system:serviceaccounts:"


@dataclass(frozen=True, slots=True)
class Renaming:
    """What moves and the ledger of one object, as the rows' functions need them."""

    about: Subject
    ledger: Ledger

    def plain(self, node: Any, at: Path) -> Any:
        """A namespace's name and nothing else."""
        return self._written(node, at, prefix="", separator="")

    def qualified(self, node: Any, at: Path) -> Any:
        """`namespace/name`."""
        return self._written(node, at, prefix="", separator="/")

    def user(self, node: Any, at: Path) -> Any:
        """`system:serviceaccount:namespace:name`; other users stay."""
        return self._written(node, at, prefix=USER_PREFIX, separator=":")

    def group(self, node: Any, at: Path) -> Any:
        """`system:serviceaccounts:namespace`; other groups stay."""
        return self._written(node, at, prefix=GROUP_PREFIX, separator="")

    def _written(self, node: Any, at: Path, *, prefix: str, separator: str) -> Any:
        def change(text: str) -> str:
            if not text.startswith(prefix):
                return text
            name, found, rest = text[len(prefix) :].partition(separator) if separator else (text[len(prefix) :], "", "")
            if separator and not found:
                return text
            return f"{prefix}{self.target(name, at)}{found}{rest}"

        return replace(node, (), change, ledger=self.ledger, at=at)

    def target(self, name: str, at: Path) -> str:
        """Return the name in DR. Raises TransformFailed when the pattern makes a name that no namespace can have."""
        new = self.about.namespace_in_dr(name)
        if new != name and not NAMESPACE_NAME.fullmatch(new):
            raise self.ledger.fault(at, f"{new!r} for {name!r}", "a name of at most 63 characters")
        return new

    def subject(self, node: Any, at: Path) -> Any:
        """An RBAC subject: the kind says where the namespace is written."""
        if not isinstance(node, dict):
            raise self.ledger.fault(at, describe(node), "a mapping")
        kind = node.get("kind")
        rows: dict[Any, Row] = {
            "ServiceAccount": Row(("namespace",), Renaming.plain),
            "User": Row(("name",), Renaming.user),
            "Group": Row(("name",), Renaming.group),
        }
        return self.follow(node, (rows[kind],), at) if isinstance(kind, str) and kind in rows else node

    def selector(self, node: Any, at: Path) -> Any:
        """A selector over Namespace labels: only the label that holds the name is a reference."""
        rows = (
            Row(("matchLabels", NAME_LABEL), Renaming.plain),
            Row(("matchExpressions", EACH), Renaming.expression),
        )
        return self.follow(node, rows, at)

    def expression(self, node: Any, at: Path) -> Any:
        """One expression of a selector; names that became one are listed once."""
        if not isinstance(node, dict):
            raise self.ledger.fault(at, describe(node), "a mapping")
        if node.get("key") != NAME_LABEL:
            return node
        return rewrite(node, ("values",), self.names_once, ledger=self.ledger, at=at)

    def names_once(self, node: Any, at: Path) -> Any:
        """A list of namespaces; names that became one are listed once."""
        mapped = rewrite(node, (EACH,), self.plain, ledger=self.ledger, at=at)
        return node if mapped is node else list(dict.fromkeys(mapped))

    def secret_parameters(self, node: Any, at: Path) -> Any:
        """Parameters of a class: `csi.storage.k8s.io/<use>-secret-namespace` (Kubernetes CSI: StorageClass Secrets).

        Some drivers have their own: `secretNamespace`, `adminSecretNamespace`, `userSecretNamespace`.
        """
        if not isinstance(node, dict):
            raise self.ledger.fault(at, describe(node), "a mapping")
        keys = (key for key in node if key.endswith(("secret-namespace", "ecretNamespace")))
        return self.follow(node, tuple(Row((key,), Renaming.plain) for key in keys), at)

    def policy_rule(self, node: Any, at: Path) -> Any:
        """A rule of a ClusterRole: what may be done to namespaces by their names."""
        if not isinstance(node, dict):
            raise self.ledger.fault(at, describe(node), "a mapping")
        resources = node.get("resources")
        named = isinstance(resources, list) and resources and isinstance(node.get("resourceNames"), list)
        if not named or any(str(name).partition("/")[0] != NAMESPACES for name in resources or ()):
            return node
        return rewrite(node, ("resourceNames",), self.names_once, ledger=self.ledger, at=at)

    def affinity(self, node: Any, at: Path) -> Any:
        """The affinity of a pod; most have none, so its rows are only walked where there is one."""
        return self.follow(node, AFFINITY, at)

    def follow(self, node: Any, rows: Iterable[Row], at: Path = ()) -> Any:
        """Rewrite `node` by each row."""
        for row in rows:
            node = rewrite(node, row.path, partial(row.change, self), ledger=self.ledger, at=at)
        return node


@dataclass(frozen=True, slots=True)
class Row:
    """A reference to a namespace: where it is and how it is written there."""

    path: Path
    change: Callable[[Renaming, Any, Path], Any]


def _plain(*paths: str) -> tuple[Row, ...]:
    """Rows for dotted paths to a plain name; `*` for every element."""
    return tuple(Row(tuple(path.split(".")), Renaming.plain) for path in paths)


def _selectors(*paths: str) -> tuple[Row, ...]:
    """Rows for dotted paths to a selector over Namespace labels."""
    return tuple(Row(tuple(path.split(".")), Renaming.selector) for path in paths)


def _affinity_rows() -> Iterator[Row]:
    """Inter-pod affinity names namespaces, by list or by selector."""
    rules: tuple[Path, ...] = (
        ("requiredDuringSchedulingIgnoredDuringExecution", EACH),
        ("preferredDuringSchedulingIgnoredDuringExecution", EACH, "podAffinityTerm"),
    )
    for kind in ("podAffinity", "podAntiAffinity"):
        for rule in rules:
            yield Row((kind, *rule, "namespaces"), Renaming.names_once)
            yield Row((kind, *rule, "namespaceSelector"), Renaming.selector)


AFFINITY: tuple[Row, ...] = tuple(_affinity_rows())
ANY: tuple[Row, ...] = (
    *_plain("metadata.namespace"),
    # cert-manager: CA injector.
    Row(("metadata", "annotations", "cert-manager.io/inject-ca-from"), Renaming.qualified),
    Row(("metadata", "annotations", "cert-manager.io/inject-ca-from-secret"), Renaming.qualified),
)
RBAC_SUBJECTS = (Row(("subjects", EACH), Renaming.subject),)
WEBHOOKS = (*_plain("webhooks.*.clientConfig.service.namespace"), *_selectors("webhooks.*.namespaceSelector"))
POLICY = _selectors("spec.matchConstraints.namespaceSelector")
BINDING = (*_plain("spec.paramRef.namespace"), *_selectors("spec.matchResources.namespaceSelector"))
ROUTE = _plain(
    "spec.parentRefs.*.namespace",
    "spec.rules.*.backendRefs.*.namespace",
    "spec.rules.*.filters.*.requestMirror.backendRef.namespace",
    "spec.rules.*.backendRefs.*.filters.*.requestMirror.backendRef.namespace",
    "spec.rules.*.filters.*.externalAuth.backendRef.namespace",
)
LISTENERS = _plain("spec.parentRef.namespace", "spec.listeners.*.tls.certificateRefs.*.namespace")
CLUSTER_POLICY = (
    *_selectors("spec.subject.namespaces", "spec.subject.pods.namespaceSelector"),
    *(
        row
        for rules, peers in (("ingress", "from"), ("egress", "to"))
        for row in _selectors(
            f"spec.{rules}.*.{peers}.*.namespaces", f"spec.{rules}.*.{peers}.*.pods.namespaceSelector"
        )
    ),
)
MONITOR = (Row(("spec", "namespaceSelector", "matchNames"), Renaming.names_once),)
SECRET_PARAMETERS = (Row(("parameters",), Renaming.secret_parameters),)

# A ReferenceGrant's `to` holds no namespace: it grants access to its own.
REFERENCES: dict[str, tuple[Row, ...]] = {
    NAMESPACES: (*_plain("metadata.name"), Row(("metadata", "labels", NAME_LABEL), Renaming.plain)),
    "serviceaccounts": _plain("secrets.*.namespace"),
    "clusterroles.rbac.authorization.k8s.io": (Row(("rules", EACH), Renaming.policy_rule),),
    "ingressclasses.networking.k8s.io": _plain("spec.parameters.namespace"),
    "ingresses.networking.k8s.io": tuple(
        Row(("metadata", "annotations", f"nginx.ingress.kubernetes.io/{name}"), Renaming.qualified)
        for name in ("auth-secret", "auth-tls-secret", "proxy-ssl-secret", "auth-proxy-set-headers")
    ),
    "rolebindings.rbac.authorization.k8s.io": RBAC_SUBJECTS,
    "clusterrolebindings.rbac.authorization.k8s.io": RBAC_SUBJECTS,
    "flowschemas.flowcontrol.apiserver.k8s.io": (
        *_plain("spec.rules.*.subjects.*.serviceAccount.namespace"),
        Row(("spec", "rules", EACH, "subjects", EACH, "user", "name"), Renaming.user),
        Row(("spec", "rules", EACH, "subjects", EACH, "group", "name"), Renaming.group),
    ),
    "securitycontextconstraints.security.openshift.io": (
        Row(("users", EACH), Renaming.user),
        Row(("groups", EACH), Renaming.group),
    ),
    "persistentvolumes": _plain(
        "spec.claimRef.namespace",
        "spec.csi.controllerPublishSecretRef.namespace",
        "spec.csi.nodeStageSecretRef.namespace",
        "spec.csi.nodePublishSecretRef.namespace",
        "spec.csi.controllerExpandSecretRef.namespace",
        "spec.csi.nodeExpandSecretRef.namespace",
        "spec.azureFile.secretNamespace",
        "spec.cephfs.secretRef.namespace",
        "spec.flexVolume.secretRef.namespace",
        "spec.glusterfs.endpointsNamespace",
        "spec.iscsi.secretRef.namespace",
        "spec.rbd.secretRef.namespace",
        "spec.scaleIO.secretRef.namespace",
        "spec.storageos.secretRef.namespace",
    ),
    "storageclasses.storage.k8s.io": SECRET_PARAMETERS,
    "volumesnapshotclasses.snapshot.storage.k8s.io": SECRET_PARAMETERS,
    "volumesnapshotcontents.snapshot.storage.k8s.io": _plain("spec.volumeSnapshotRef.namespace"),
    "endpoints": _plain(
        "subsets.*.addresses.*.targetRef.namespace", "subsets.*.notReadyAddresses.*.targetRef.namespace"
    ),
    "endpointslices.discovery.k8s.io": _plain("endpoints.*.targetRef.namespace"),
    "networkpolicies.networking.k8s.io": _selectors(
        "spec.ingress.*.from.*.namespaceSelector", "spec.egress.*.to.*.namespaceSelector"
    ),
    "customresourcedefinitions.apiextensions.k8s.io": _plain("spec.conversion.webhook.clientConfig.service.namespace"),
    "apiservices.apiregistration.k8s.io": _plain("spec.service.namespace"),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": WEBHOOKS,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": WEBHOOKS,
    "validatingadmissionpolicies.admissionregistration.k8s.io": POLICY,
    "mutatingadmissionpolicies.admissionregistration.k8s.io": POLICY,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": BINDING,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": BINDING,
    "gatewayclasses.gateway.networking.k8s.io": _plain("spec.parametersRef.namespace"),
    "gateways.gateway.networking.k8s.io": (
        *_plain(
            "spec.listeners.*.tls.certificateRefs.*.namespace",
            "spec.listeners.*.tls.frontendValidation.caCertificateRefs.*.namespace",
            "spec.tls.backend.clientCertificateRef.namespace",
            "spec.tls.frontend.default.validation.caCertificateRefs.*.namespace",
            "spec.tls.frontend.perPort.*.tls.validation.caCertificateRefs.*.namespace",
        ),
        *_selectors("spec.listeners.*.allowedRoutes.namespaces.selector"),
    ),
    **{f"{kind}routes.gateway.networking.k8s.io": ROUTE for kind in ("http", "grpc", "tls", "tcp", "udp")},
    "listenersets.gateway.networking.k8s.io": LISTENERS,
    "xlistenersets.gateway.networking.x-k8s.io": LISTENERS,
    "adminnetworkpolicies.policy.networking.k8s.io": CLUSTER_POLICY,
    "baselineadminnetworkpolicies.policy.networking.k8s.io": CLUSTER_POLICY,
    "clusternetworkpolicies.policy.networking.k8s.io": CLUSTER_POLICY,
    "referencegrants.gateway.networking.k8s.io": _plain("spec.from.*.namespace"),
    "servicemonitors.monitoring.coreos.com": MONITOR,
    "podmonitors.monitoring.coreos.com": MONITOR,
    "probes.monitoring.coreos.com": (
        Row(("spec", "targets", "ingress", "namespaceSelector", "matchNames"), Renaming.names_once),
    ),
}

# What every type that holds pods or claims adds to its own row.
NESTED: dict[str, tuple[Row, ...]] = {
    type_key: (
        *((Row((*POD_SPECS[type_key], "affinity"), Renaming.affinity),) if type_key in POD_SPECS else ()),
        *(Row((*claim, "spec", "dataSourceRef", "namespace"), Renaming.plain) for claim in CLAIMS.get(type_key, ())),
    )
    for type_key in POD_SPECS.keys() | CLAIMS.keys()
}


def target_ref(ref: ObjectRef, names: NamespaceMap) -> ObjectRef:
    """Return where the object lives in DR."""
    if ref.type == NAMESPACES:
        return ObjectRef(ref.type, ref.namespace, names.target(ref.name))
    return ObjectRef(ref.type, names.target(ref.namespace), ref.name) if ref.namespace else ref


def merged(names: NamespaceMap, known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the DR namespaces that several of the known source namespaces become, with those."""
    sources: dict[str, list[str]] = {}
    for name in sorted(known):
        sources.setdefault(names.target(name), []).append(name)
    return {target: tuple(found) for target, found in sources.items() if len(found) > 1}


def map_namespaces(manifest: Manifest, subject: Subject) -> Result:
    """Move the object and rewrite what refers to mapped namespaces; report what only may refer to one."""
    if not subject.settings.namespace_map:
        return Result(manifest)
    type_key = subject.ref.type
    renaming = Renaming(subject, Ledger(NAME))
    _check_place(manifest, subject.ref, renaming.ledger)
    changed = renaming.follow(manifest, (*ANY, *REFERENCES.get(type_key, ()), *NESTED.get(type_key, ())))
    return Result(changed, renaming.ledger.applied, _notes(manifest, subject, rewritten=renaming.ledger.changed.keys()))


def _check_place(manifest: Manifest, ref: ObjectRef, ledger: Ledger) -> None:
    """The reference moves by the map as the manifest does; so both must start from the same place."""
    field, expected = ("name", ref.name) if ref.type == NAMESPACES else ("namespace", ref.namespace)
    found = lookup(manifest, ("metadata", field), ledger=ledger)
    if (found or "") != expected:
        raise ledger.fault(("metadata", field), repr(found), repr(expected))


def _notes(manifest: Manifest, subject: Subject, *, rewritten: Iterable[Path]) -> tuple[str, ...]:
    """Return a sentence for each place that was left alone. Read from the original: names may be swapped."""
    done = frozenset(rewritten)
    notes = list(_merge_note(subject))
    if is_custom(subject.ref.type):
        for at, namespace in _references({key: value for key, value in manifest.items() if key != "metadata"}):
            target = subject.namespace_in_dr(namespace)
            if target != namespace and at not in done:
                notes.append(f"{pointer(at)} refers to {namespace}, not rewritten: it is {target} in DR")
    return few(notes, "places that name a mapped namespace")


def _merge_note(subject: Subject) -> Iterator[str]:
    if subject.ref.type != NAMESPACES:
        return
    names = subject.settings.namespace_map
    target = names.target(subject.ref.name)
    others = sorted(name for name in subject.known_namespaces - {subject.ref.name} if names.target(name) == target)
    if others:
        yield f"{target} in DR takes in {', '.join(others)} too: objects with the same type and name collide"


def _references(node: Any, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield what by its key is a namespace: `namespace`, `targetNamespace`, and the elements of `namespaces`."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and key.endswith(("namespace", "Namespace")):
                yield (*at, key), value
            elif isinstance(value, list) and key.endswith(("namespaces", "Namespaces", "matchNames")):
                yield from (((*at, key, str(index)), name) for index, name in enumerate(value) if isinstance(name, str))
            if isinstance(value, (dict, list)):
                yield from _references(value, (*at, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, (dict, list)):
                yield from _references(value, (*at, str(index)))
