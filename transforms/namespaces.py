"""The namespace map: an object moves, and everything that refers to a moved namespace follows.

Each reference is a row: where it is, and how the namespace is written there. Fields of built-in types and
of APIs with a published meaning are rewritten. In other custom resources a `namespace` beside a `name` may
be a reference or may not, and a host name in a text is a guess at best: both are reported, never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from drsyncer.manifest import Manifest, ObjectRef
from transforms.pods import (
    CLAIMS,
    CONTAINERS,
    EACH,
    POD_SPECS,
    Ledger,
    Path,
    describe,
    lookup,
    pointer,
    replace,
    rewrite,
    strings,
)
from transforms.settings import NAMESPACE_NAME, NamespaceMap, Result, Subject
from transforms.stages import is_custom

NAME = "namespaces"
NAMESPACES = "namespaces"
NAME_LABEL = "kubernetes.io/metadata.name"  # put on every Namespace by the API server, so that selectors can name one
USER_PREFIX = "system:serviceaccount:"
GROUP_PREFIX = "system:serviceaccounts:"
MAX_NOTES = 20  # per object; a text full of host names should not bury the report

HOST_MARK = ".svc"
# A service's DNS name, `<service>.<namespace>.svc`, with or without the cluster's domain behind it.
SERVICE_HOST = re.compile(
    r"(?<![\w-])([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.svc(?![\w-])"
)


@dataclass(frozen=True, slots=True)
class Renaming:
    """The map and the ledger of one object, as the rows' functions need them."""

    names: NamespaceMap
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
        new = self.names.target(name)
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
        """Parameters of a class: `csi.storage.k8s.io/<use>-secret-namespace` (Kubernetes CSI: StorageClass Secrets)."""
        if not isinstance(node, dict):
            raise self.ledger.fault(at, describe(node), "a mapping")
        keys = (key for key in node if key.startswith("csi.storage.k8s.io/") and key.endswith("secret-namespace"))
        return self.follow(node, tuple(Row((key,), Renaming.plain) for key in keys), at)

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
)
MONITOR = (Row(("spec", "namespaceSelector", "matchNames"), Renaming.names_once),)
SECRET_PARAMETERS = (Row(("parameters",), Renaming.secret_parameters),)

# A ReferenceGrant's `to` holds no namespace: it grants access to its own.
REFERENCES: dict[str, tuple[Row, ...]] = {
    NAMESPACES: (*_plain("metadata.name"), Row(("metadata", "labels", NAME_LABEL), Renaming.plain)),
    "serviceaccounts": _plain("secrets.*.namespace"),
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
        ),
        *_selectors("spec.listeners.*.allowedRoutes.namespaces.selector"),
    ),
    **{f"{kind}routes.gateway.networking.k8s.io": ROUTE for kind in ("http", "grpc", "tls", "tcp", "udp")},
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

# Where texts may hold host names of services; annotations, and all of a custom resource, are read in any case.
TEXTS: dict[str, tuple[Path, ...]] = {
    "configmaps": (("data",),),
    "services": (("spec", "externalName"),),
    **{type_key: tuple((*path, containers) for containers in CONTAINERS) for type_key, path in POD_SPECS.items()},
}
CONTAINER_TEXTS = ("command", "args", "env")


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
    names = subject.settings.namespace_map
    if not names:
        return Result(manifest)
    type_key = subject.ref.type
    renaming = Renaming(names, Ledger(NAME))
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
    names = subject.settings.namespace_map
    done = frozenset(rewritten)
    notes = list(_merge_note(subject))
    for at, text in _texts(manifest, subject.ref.type):
        if at not in done:
            for host, namespace in sorted({(found[0], found[2]) for found in SERVICE_HOST.finditer(text)}):
                target = names.target(namespace)
                if target != namespace:
                    notes.append(f"{pointer(at)} names {host}, not rewritten: {namespace} is {target} in DR")
    if is_custom(subject.ref.type):
        for at, namespace in _references({key: value for key, value in manifest.items() if key != "metadata"}):
            target = names.target(namespace)
            if target != namespace and at not in done:
                notes.append(f"{pointer(at)} refers to {namespace}, not rewritten: it is {target} in DR")
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"and {len(notes) - MAX_NOTES} more places that name a mapped namespace"]
    return tuple(notes)


def _merge_note(subject: Subject) -> Iterator[str]:
    if subject.ref.type != NAMESPACES:
        return
    names = subject.settings.namespace_map
    target = names.target(subject.ref.name)
    others = sorted(name for name in subject.known_namespaces - {subject.ref.name} if names.target(name) == target)
    if others:
        yield f"{target} in DR takes in {', '.join(others)} too: objects with the same type and name collide"


def _texts(manifest: Manifest, type_key: str) -> Iterator[tuple[Path, str]]:
    """Yield the texts that are read for host names. Secrets have none but their annotations."""
    annotations: Path = ("metadata", "annotations")
    yield from strings(_at(manifest, annotations), HOST_MARK, at=annotations)
    if is_custom(type_key):
        for key, value in manifest.items():
            if key != "metadata":
                yield from strings(value, HOST_MARK, at=(key,))
        return
    for path in TEXTS.get(type_key, ()):
        found = _at(manifest, path)
        if path[-1] not in CONTAINERS or not isinstance(found, list):
            yield from strings(found, HOST_MARK, at=path)
            continue
        for index, container in enumerate(found):
            for key in CONTAINER_TEXTS if isinstance(container, dict) else ():
                if key in container:
                    yield from strings(container[key], HOST_MARK, at=(*path, str(index), key))


def _at(node: Any, path: Path) -> Any:
    """Return the value at a path, None for whatever is not there or not a mapping: a report asks for no order."""
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _references(node: Any, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield each `namespace` beside a `name` or a `kind`."""
    if isinstance(node, dict):
        namespace = node.get("namespace")
        if isinstance(namespace, str) and ("name" in node or "kind" in node):
            yield (*at, "namespace"), namespace
        for key, value in node.items():
            yield from _references(value, (*at, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _references(value, (*at, str(index)))
