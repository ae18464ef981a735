"""The one grammar for "these objects": of rules in the configuration and of the built-in tables.

A field that is left empty asks for nothing; all that are given must hold. Within a list one entry suffices.

`types` entries:

    deployments.apps, *.cert-manager.io, *      a glob or a dot: compared with plural.group
    Deployment.apps, deploy.apps                so are kind, singular and short name before a group
    configmaps, cm, ConfigMap, configmap        one bare word: plural, singular, short name or kind

A bare word that one of Kubernetes' own types answers to means that type, never a custom resource of the same name:
`services` is no Knative service. Any other bare word means that name in every group; `plural.group` picks one.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from drsyncer import selectors
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, labels, metadata
from drsyncer.selectors import Selector

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Subject:
    """One object as rules look at it.

    `type` is None where discovery does not know it (any more); then only its plural.group and the manifest's kind
    can be matched. `namespace_labels` are those of the Namespace object; empty for cluster-scoped objects.
    """

    ref: ObjectRef
    type: ResourceType | None
    manifest: Manifest
    namespace_labels: Mapping[str, str] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True)
class Match:
    """Which objects a rule is about. Without any field: all of them."""

    types: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()  # globs; a cluster-scoped object matches none of them
    names: tuple[str, ...] = ()  # globs
    labels: Selector | None = None
    namespace_labels: Selector | None = None  # a cluster-scoped object matches none
    annotations: Mapping[str, str] = field(default_factory=lambda: _NONE, hash=False)  # name to value glob
    _types: tuple[_TypePattern, ...] = field(init=False, repr=False, compare=False)
    _namespaces: _Glob | None = field(init=False, repr=False, compare=False)
    _names: _Glob | None = field(init=False, repr=False, compare=False)
    _annotations: tuple[tuple[str, _Glob], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "_types", tuple(_TypePattern(text) for text in self.types))
        set_(self, "_namespaces", glob(self.namespaces) if self.namespaces else None)
        set_(self, "_names", glob(self.names) if self.names else None)
        set_(self, "_annotations", tuple((name, glob([value])) for name, value in self.annotations.items()))

    def matches(self, subject: Subject) -> bool:
        """Given an object return whether this match is about it."""
        type_ = subject.type or guessed_type(subject.ref, subject.manifest)
        return self.type_matches(type_) and self.object_matches(subject)

    def type_matches(self, type_: ResourceType) -> bool:
        """Given a type return whether objects of it can match."""
        return not self._types or any(pattern.matches(type_) for pattern in self._types)

    def names_type(self, type_: ResourceType) -> bool:
        """Given a type return whether an entry without a glob is about it: the writer means this very type."""
        return any(not pattern.is_glob and pattern.matches(type_) for pattern in self._types)

    def may_be_about(self, group: str) -> bool:
        """Given an API group return whether objects of some type in it could match, whatever types it may have."""
        return not self._types or any(pattern.may_be_in(group) for pattern in self._types)

    def object_matches(self, subject: Subject) -> bool:
        """Given an object whose type is known to match return whether the other fields hold."""
        ref = subject.ref
        if self._names and not self._names(ref.name):
            return False
        if self._namespaces and not (ref.namespace and self._namespaces(ref.namespace)):
            return False
        if self.namespace_labels and not (ref.namespace and self.namespace_labels.matches(subject.namespace_labels)):
            return False
        if self.labels and not self.labels.matches(labels(subject.manifest)):
            return False
        return not self._annotations or self._annotated(annotations_of(subject.manifest))

    def may_match(self, type_: ResourceType, *, namespace: str, name: str) -> bool:
        """Return False when no object of this type, namespace and name can match, whatever it holds."""
        if (self._names and not self._names(name)) or not self.type_matches(type_):
            return False
        return not self._namespaces or bool(namespace and self._namespaces(namespace))

    def __str__(self) -> str:
        """What the rule asks for, as a person would write it: `types events, namespaces *-sandbox`."""
        lists = (("types", self.types), ("namespaces", self.namespaces), ("names", self.names))
        parts = [f"{word} {' '.join(entries)}" for word, entries in lists if entries]
        parts += [f"labels {self.labels}"] if self.labels else []
        parts += [f"namespaceLabels {self.namespace_labels}"] if self.namespace_labels else []
        parts += [f"annotation {name}={value}" for name, value in self.annotations.items()]
        return ", ".join(parts) or "everything"

    @property
    def by_type_only(self) -> bool:
        """True when the type alone decides."""
        return not (self.names or self.namespaces or self.labels or self.namespace_labels or self.annotations)

    def _annotated(self, found: Mapping[str, str]) -> bool:
        return all(name in found and fits(str(found[name])) for name, fits in self._annotations)


def match(
    *,
    types: Sequence[str] = (),
    namespaces: Sequence[str] = (),
    names: Sequence[str] = (),
    labels: str = "",
    namespace_labels: str = "",
    annotations: Mapping[str, str] = _NONE,
) -> Match:
    """Return the Match for fields as they are written in the configuration, selectors as text.

    Raise ValueError with one sentence when a selector cannot be read.
    """
    return Match(
        types=tuple(types),
        namespaces=tuple(namespaces),
        names=tuple(names),
        labels=selectors.parse(labels) or None,
        namespace_labels=selectors.parse(namespace_labels) or None,
        annotations=annotations,
    )


_Glob = Callable[[str], object]


def glob(patterns: Iterable[str]) -> _Glob:
    """Return a test that is true for a text that one of the shell `patterns` matches whole; case counts."""
    return re.compile("|".join(f"(?:{fnmatch.translate(pattern)})" for pattern in patterns)).match


def annotations_of(manifest: Manifest) -> Mapping[str, str]:
    """Return the object's annotations; an empty mapping when there are none."""
    found = metadata(manifest).get("annotations")
    return found if isinstance(found, dict) else _NONE


def guessed_type(ref: ObjectRef, manifest: Manifest) -> ResourceType:
    """Return what an object itself tells about its type, for one that discovery does not know."""
    plural, _, group = ref.type.partition(".")
    _, _, version = str(manifest.get("apiVersion", "")).rpartition("/")
    kind = str(manifest.get("kind", ""))
    return ResourceType(group=group, version=version, plural=plural, kind=kind, namespaced=bool(ref.namespace))


class _TypePattern:
    """One compiled entry of `types`."""

    __slots__ = ("_glob", "_group", "_text", "_word", "is_glob")

    def __init__(self, text: str) -> None:
        self._text = text
        self.is_glob = any(character in text for character in "*?[")
        self._glob = glob([text]) if self.is_glob else None
        word, dot, group = text.partition(".")
        self._word = word.casefold()
        self._group = group if dot else None

    def matches(self, type_: ResourceType) -> bool:
        if self._glob:
            return bool(self._glob(type_.key))
        if self._group is not None:
            return type_.group == self._group and self._word in words_of(type_)
        if self._word in KUBERNETES_WORDS and not is_kubernetes_own(type_.group):
            return False
        return self._word in words_of(type_)

    def may_be_in(self, group: str) -> bool:
        """Return whether a type of `group` could match whose names nobody knows."""
        if self._glob:
            # Some plural takes what is before the dot; the rest of the pattern must fit the group.
            return any(glob([self._text[at:]])(f".{group}") for at in range(len(self._text)))
        if self._group is not None:
            return group == self._group
        return self._word not in KUBERNETES_WORDS or is_kubernetes_own(group)


def words_of(type_: ResourceType) -> frozenset[str]:
    """Return the names that a type answers to, case folded."""
    words = (type_.plural, type_.singular, type_.kind, *type_.short_names)
    return frozenset(word.casefold() for word in words if word)


def is_kubernetes_own(group: str) -> bool:
    """Return whether a group is one of those that every API server serves by itself."""
    return "." not in group or group in _KUBERNETES_GROUPS


_GROUPS = (
    "admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io authentication.k8s.io "
    "authorization.k8s.io certificates.k8s.io coordination.k8s.io discovery.k8s.io events.k8s.io "
    "flowcontrol.apiserver.k8s.io internal.apiserver.k8s.io networking.k8s.io node.k8s.io "
    "rbac.authorization.k8s.io resource.k8s.io scheduling.k8s.io storage.k8s.io storagemigration.k8s.io "
)
_KUBERNETES_GROUPS = frozenset(_GROUPS.split())

# Plural, singular (the kind in lower case) and short names of the types in Kubernetes 1.36's own groups, as its
# discovery lists them, with those that are served only when switched on.
_WORDS = (
    "apiservice apiservices binding bindings certificatesigningrequest certificatesigningrequests cj clusterrole "
    "clusterrolebinding clusterrolebindings clusterroles clustertrustbundle clustertrustbundles cm "
    "componentstatus componentstatuses configmap configmaps controllerrevision controllerrevisions crd crds "
    "cronjob cronjobs cs csidriver csidrivers csinode csinodes csistoragecapacities csistoragecapacity csr "
    "customresourcedefinition customresourcedefinitions daemonset daemonsets deploy deployment deployments "
    "deviceclass deviceclasses devicetaintrule devicetaintrules ds endpoints endpointslice endpointslices ep ev "
    "event events flowschema flowschemas horizontalpodautoscaler horizontalpodautoscalers hpa ing ingress "
    "ingressclass ingressclasses ingresses ip ipaddress ipaddresses job jobs lease leasecandidate leasecandidates "
    "leases limitrange limitranges limits localsubjectaccessreview localsubjectaccessreviews "
    "mutatingadmissionpolicies mutatingadmissionpolicy mutatingadmissionpolicybinding "
    "mutatingadmissionpolicybindings mutatingwebhookconfiguration mutatingwebhookconfigurations namespace "
    "namespaces netpol networkpolicies networkpolicy no node nodes ns pc pdb persistentvolume "
    "persistentvolumeclaim persistentvolumeclaims persistentvolumes po pod podcertificaterequest "
    "podcertificaterequests poddisruptionbudget poddisruptionbudgets pods podtemplate podtemplates priorityclass "
    "priorityclasses prioritylevelconfiguration prioritylevelconfigurations pv pvc quota rc replicaset "
    "replicasets replicationcontroller replicationcontrollers resourceclaim resourceclaims resourceclaimtemplate "
    "resourceclaimtemplates resourcequota resourcequotas resourceslice resourceslices role rolebinding "
    "rolebindings roles rs runtimeclass runtimeclasses sa sc secret secrets selfsubjectaccessreview "
    "selfsubjectaccessreviews selfsubjectreview selfsubjectreviews selfsubjectrulesreview selfsubjectrulesreviews "
    "service serviceaccount serviceaccounts servicecidr servicecidrs services statefulset statefulsets "
    "storageclass storageclasses storageversion storageversionmigration storageversionmigrations storageversions "
    "sts subjectaccessreview subjectaccessreviews svc tokenreview tokenreviews vac validatingadmissionpolicies "
    "validatingadmissionpolicy validatingadmissionpolicybinding validatingadmissionpolicybindings "
    "validatingwebhookconfiguration validatingwebhookconfigurations volumeattachment volumeattachments "
    "volumeattributesclass volumeattributesclasses "
)
KUBERNETES_WORDS = frozenset(_WORDS.split())
