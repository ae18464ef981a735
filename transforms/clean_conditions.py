"""The predicates of the cleaning rules that look before they cut.

Each looks at the object as it came from the API server, before any rule removed anything from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from drsyncer import fields, own
from drsyncer.manifest import Manifest, metadata
from drsyncer.match import annotations_of


class Cut(NamedTuple):
    """One place that a rule is about to remove: the whole object, the key or index of the place, what is there."""

    manifest: Manifest
    key: str | int
    value: Any


@dataclass(frozen=True, slots=True)
class Condition:
    """A named predicate. `says` follows "when" in a sentence."""

    says: str
    holds: Callable[[Cut], bool]


_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"  # k8s.io/apimachinery/pkg/util/rand
_DEFAULT_PRIORITY = (0, "PreemptLowerPriority")
_TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105
_CA_INJECTIONS = frozenset(
    [
        "cert-manager.io/inject-ca-from",
        "cert-manager.io/inject-ca-from-secret",
        "cert-manager.io/inject-apiserver-ca",
        "service.beta.openshift.io/inject-cabundle",
    ]
)
# What people write, and what an importer must remember of a parked object (drsyncer.own).
_KEPT_OF_OURS = frozenset(
    [
        own.IGNORE,
        own.PRUNE,
        own.SCALE_OVERRIDE,
        own.IDEMPOTENT,
        own.TIER,
        own.BACKUP,
        own.PRE_BACKUP,
        own.POST_BACKUP,
        own.RESTORE,
        own.REPLICAS,
        own.SUSPEND,
    ]
)


def _spec(cut: Cut) -> dict[str, Any]:
    spec = cut.manifest.get("spec")
    return spec if isinstance(spec, dict) else {}


def _named(value: Any) -> str:
    return str(value.get("name")) if isinstance(value, dict) else ""


def _is_undeclared_port(cut: Cut) -> bool:
    # What never was in a cluster (no uid), a cleaned object among it, holds only what a person wrote.
    return "uid" in metadata(cut.manifest) and cut.value not in set(_declared_node_ports(cut.manifest))


def _declared_node_ports(manifest: Manifest) -> Iterator[Any]:
    """Yield the node ports that a client sent, by what last-applied and managedFields say.

    The API server works out managedFields before it allocates: an allocated port belongs to nobody there, one that
    was sent to its sender, for Update as for Apply (seen with Kubernetes 1.36). `before-first-apply` is a catch-all
    that owns everything, so it proves nothing.
    """
    for port in _ports(_last_applied(manifest)):
        yield port.get("nodePort")
    ports = list(_ports(manifest))
    for entry in metadata(manifest).get("managedFields") or []:
        if entry.get("manager") in ("kube-apiserver", "before-first-apply"):
            continue
        below = ((entry.get("fieldsV1") or {}).get("f:spec") or {}).get("f:ports") or {}
        for place in fields.owned(below, ports):
            if place[1:] == ("nodePort",) and isinstance(place[0], int):
                yield ports[place[0]]["nodePort"]


def _ports(manifest: Any) -> Iterator[dict[str, Any]]:
    spec = manifest.get("spec") if isinstance(manifest, dict) else None
    found = spec.get("ports") if isinstance(spec, dict) else None
    return (port for port in found or () if isinstance(port, dict))


def _last_applied(manifest: Manifest) -> Any:
    """Return what `kubectl apply` sent last; None when there is no such record or it is damaged, so proves nothing."""
    try:
        return json.loads(annotations_of(manifest).get(_LAST_APPLIED, "null"))
    except ValueError:
        return None


def _is_token_volume(cut: Cut) -> bool:
    """The ServiceAccount admission plug-in adds kube-api-access-<suffix>; up to 1.20 <account>-token-<suffix>."""
    name = _named(cut.value)
    account = re.escape(str(_spec(cut).get("serviceAccountName") or "default"))
    if not re.fullmatch(f"(kube-api-access|{account}-token)-{_SUFFIX}", name):
        return False
    return cut.value.get("mountPath") == _TOKEN_MOUNT or "projected" in cut.value or "secret" in cut.value


def _is_default_toleration(cut: Cut) -> bool:
    return {**cut.value, "key": ""} == {
        "key": "",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }


def _was_bound_by_controller(cut: Cut) -> bool:
    found = annotations_of(cut.manifest)
    return found.get("pv.kubernetes.io/bound-by-controller") == "yes" or any(
        f"volume.{infix}kubernetes.io/storage-provisioner" in found for infix in ("", "beta.")
    )


def _is_generated_job_part(cut: Cut) -> bool:
    if _spec(cut).get("manualSelector") is True:
        return False
    return not str(cut.key).endswith("job-name") or cut.value == metadata(cut.manifest).get("name")


def _is_generated_reference(cut: Cut) -> bool:
    account = re.escape(str(metadata(cut.manifest).get("name")))
    return bool(re.fullmatch(f"{account}-(token|dockercfg)-{_SUFFIX}", _named(cut.value)))


NAMED = Condition("the object has a name, too", lambda cut: bool(metadata(cut.manifest).get("name")))
NULL = Condition("it is null", lambda cut: cut.value is None)
WRITTEN_BY_US = Condition(
    "it is none of " + ", ".join(sorted(name.removeprefix(own.PREFIX) for name in _KEPT_OF_OURS)),
    lambda cut: cut.key not in _KEPT_OF_OURS,
)
NOT_HEADLESS = Condition("it is not None (headless)", lambda cut: cut.value not in ("None", ["None"]))
PORT_NOT_DECLARED = Condition(
    "neither last-applied nor managedFields show that a person asked for that port", _is_undeclared_port
)
TOKEN_VOLUME = Condition("the ServiceAccount admission plug-in added it", _is_token_volume)
DEFAULT_TOLERATION = Condition("it is the injected one (Exists, NoExecute, 300 s)", _is_default_toleration)
PRIORITY_OF_CLASS = Condition(
    "priorityClassName is set, or it is the default (0, PreemptLowerPriority)",
    lambda cut: bool(_spec(cut).get("priorityClassName")) or cut.value in _DEFAULT_PRIORITY,
)
HAS_RUNTIME_CLASS = Condition("runtimeClassName is set", lambda cut: bool(_spec(cut).get("runtimeClassName")))
HAS_ACCOUNT_NAME = Condition("serviceAccountName is set", lambda cut: bool(_spec(cut).get("serviceAccountName")))
BOUND_BY_CONTROLLER = Condition("a controller bound or provisioned the volume", _was_bound_by_controller)
GENERATED_FOR_JOB = Condition(
    "manualSelector is not true, and a job-name label is the Job's name", _is_generated_job_part
)
GENERATED_REFERENCE = Condition(
    "the name is one that a controller makes (<account>-token-xxxxx)", _is_generated_reference
)
CA_IS_INJECTED = Condition(
    "an annotation asks cert-manager or service-ca to fill it in",
    lambda cut: not _CA_INJECTIONS.isdisjoint(annotations_of(cut.manifest)),
)
# Also an empty one: the controller then sees to it that there are no rules.
IS_AGGREGATED = Condition("aggregationRule is set", lambda cut: cut.manifest.get("aggregationRule") is not None)
IS_ACCOUNT_TOKEN = Condition(
    "the type is kubernetes.io/service-account-token",
    lambda cut: cut.manifest.get("type") == "kubernetes.io/service-account-token",
)
