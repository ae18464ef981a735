"""The Job that moves the data of one claim, and its Secret: manifests, and nothing that talks to a cluster.

What a mover may do is as little as the data allows: no ServiceAccount token, a read-only root file system, no
capability but those that reading (or writing back) other people's files takes. A user other than 0 makes it fit Pod
Security's level `restricted` (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from drsyncer import own
from drsyncer.config.volumes import Mover
from drsyncer.manifest import Manifest, ResourceType, labels, metadata
from drsyncer.match import annotations_of
from volumes import task as tasks
from volumes.task import Task

JOBS: Final = ResourceType("batch", "v1", "jobs", "Job", namespaced=True)
PODS: Final = ResourceType("", "v1", "pods", "Pod", namespaced=True)
SECRETS: Final = ResourceType("", "v1", "secrets", "Secret", namespaced=True)

OPERATION: Final = own.PREFIX + "operation"  # label of Jobs and pods: `backup`, `restore`, …
RUN: Final = own.PREFIX + "run"  # label: the run that made the Job
CLAIM: Final = own.PREFIX + "claim"  # annotation: names are longer than labels
CLAIM_UID: Final = own.PREFIX + "claim-uid"  # annotation: a new claim of the same name has another volume
PRESENCE: Final = own.PREFIX + "presence"  # annotation: the Lease of who made the Job, as namespace/name
HELD: Final = own.PREFIX + "held"  # annotation, "true": hooks may hold the workload still, and it is to be let go
COMMAND: Final = "dr-syncer-mover"
CONTAINER: Final = "mover"

# Seconds. A mover that is told to end unlocks the repository and writes its result.
GRACE: Final = 60
# What a dispatcher that died did not write down is still there when the next night's begins.
_KEPT: Final = 2 * 24 * 3600

# Read-only, root needs one capability. Pod Security's level `baseline` allows the mightier DAC_OVERRIDE and not this
# one; with the volume mounted read-only, both can do the same.
_READING: Final = (("DAC_READ_SEARCH",), ("DAC_OVERRIDE",))
# What giving back owners, modes, set-id bits, devices and file capabilities takes; all of it allowed by `baseline`.
_WRITING: Final = (("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"),)

# The scheduler knows the nodes of the movers in all namespaces at the moment that counts. A wish: a mover that has to
# wait for a free node would be given up after volumes.mover.startTimeout.
_APART: Final[Manifest] = {
    "preferredDuringSchedulingIgnoredDuringExecution": [
        {
            "weight": 100,
            "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "namespaceSelector": {},
                "labelSelector": {
                    "matchLabels": {own.PART_OF: own.OWN_NAME},
                    "matchExpressions": [{"key": OPERATION, "operator": "Exists"}],
                },
            },
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a mover may run: on `node` only, or wherever its volume can be mounted.

    `node` is the Node's name; `counted` the node that its run is counted on where that is known without being asked
    for; `tolerations` are those of the pods that use the volume. `apart`: where there is a choice, rather on a node on
    which no other mover is.
    """

    node: str = ""
    tolerations: tuple[Manifest, ...] = field(default=(), hash=False)
    counted: str = ""
    apart: bool = True

    @property
    def where(self) -> str:
        """The node whose movers this one is one of, "" while nobody knows."""
        return self.node or self.counted


@dataclass(frozen=True, slots=True)
class Move:
    """One mover: its task, and the claim in its namespace that it is about.

    Of one operation (`backup`, `restore`), a claim has one Job at a time. `mounts` is another claim to mount in its
    place: a temporary copy. `groups` are those by which the pods that use the volume reach its files: they let a mover
    read them that does not run as root. `uid` is the claim's, "" where it was not looked at.
    """

    task: Task
    namespace: str
    claim: str
    read_only: bool = True
    mounts: str = ""
    groups: tuple[int, ...] = ()
    placement: Placement = field(default_factory=Placement)
    uid: str = ""

    @property
    def operation(self) -> str:
        """The kind of its task."""
        return str(type(self.task).__struct_config__.tag)

    @property
    def name(self) -> str:
        """The name of its Job and Secret, always the same for this operation on this claim: it is the lock."""
        digest = hashlib.sha256(f"{self.operation}\0{self.namespace}\0{self.claim}".encode()).hexdigest()[:10]
        words = re.sub(r"[^a-z0-9-]", "-", self.claim)[:28].strip("-")
        return "-".join(part for part in (own.OWN_NAME, self.operation, words, digest) if part)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.claim}"


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Who makes Jobs: a run (a UUID), and the Lease by which others see that it lives, as namespace/name."""

    run: str
    presence: str


def job(move: Move, mover: Mover, by: Dispatcher, *, capabilities: tuple[str, ...] = ()) -> Manifest:
    """Return the Job of a move, suspended: its pod must not start before the Secret is there."""
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": move.name,
            "namespace": move.namespace,
            "labels": _labels(move, by),
            "annotations": {
                CLAIM: move.claim,
                PRESENCE: by.presence,
                **({CLAIM_UID: move.uid} if move.uid else {}),
            },
        },
        "spec": {
            "suspend": True,
            "backoffLimit": 0,  # whether and when to try again is the dispatcher's to say
            "completions": 1,
            "parallelism": 1,
            # The dispatcher ends what takes too long; this ends it when there is no dispatcher any more.
            "activeDeadlineSeconds": round(mover.start_timeout + mover.timeout) + GRACE,
            "ttlSecondsAfterFinished": _KEPT,
            "template": _template(move, mover, by, capabilities),
        },
    }


def pod(move: Move, mover: Mover, by: Dispatcher, *, capabilities: tuple[str, ...] = ()) -> Manifest:
    """Return a pod like the one that the Job will have, to ask the API server whether it would be let in."""
    template = _template(move, mover, by, capabilities)
    meta = {**template["metadata"], "name": f"{move.name}-try", "namespace": move.namespace}
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, "metadata": meta, "spec": template["spec"]}


def secret(move: Move, credentials: Mapping[str, bytes], by: Dispatcher, *, owner: Manifest) -> Manifest:
    """Return the Secret with the task and the `credentials`; it goes with its `owner`, the Job as it was made."""
    files = {**credentials, tasks.TASK: tasks.encode(move.task)}
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "type": "Opaque",
        "immutable": True,
        "metadata": {
            "name": move.name,
            "namespace": move.namespace,
            "labels": _labels(move, by),
            "ownerReferences": [owner_reference(owner)],
        },
        "data": {name: base64.b64encode(data).decode() for name, data in files.items()},
    }


def owner_reference(owner: Manifest) -> Manifest:
    """Return what makes an object go with the Job `owner`.

    Without blockOwnerDeletion: where that is enforced, it takes a right to Jobs' finalizers that nothing else needs.
    """
    meta = metadata(owner)
    return {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "name": meta["name"], "uid": meta["uid"]}


def anywhere(move: Move) -> Move:
    """Return the move without a wish for a node where no other mover is."""
    return replace(move, placement=replace(move.placement, apart=False))


def capability_sets(move: Move, mover: Mover) -> tuple[tuple[str, ...], ...]:
    """Return the sets of capabilities with which the mover can do its work, the smallest first."""
    if mover.user:
        return ((),)
    return _READING if move.read_only else _WRITING


def run_of(manifest: Manifest) -> str:
    """Return the run that made a Job, "" for one that is none of ours."""
    return labels(manifest).get(RUN, "")


def presence_of(manifest: Manifest) -> str:
    """Return the Lease of whoever made a Job, as namespace/name."""
    return annotations_of(manifest).get(PRESENCE, "")


def held(manifest: Manifest) -> bool:
    """Return whether a Job says that hooks may hold the workload of its volume still."""
    return annotations_of(manifest).get(HELD) == "true"


def claim_of(manifest: Manifest) -> tuple[str, str]:
    """Return namespace and name of the claim that a Job is about."""
    return str(metadata(manifest).get("namespace", "")), annotations_of(manifest).get(CLAIM, "")


def claim_uid_of(manifest: Manifest) -> str:
    """Return the UID of the claim that a Job is about, "" where it does not say."""
    return annotations_of(manifest).get(CLAIM_UID, "")


def _labels(move: Move, by: Dispatcher) -> dict[str, str]:
    return {own.PART_OF: own.OWN_NAME, OPERATION: move.operation, RUN: by.run}


def _template(move: Move, mover: Mover, by: Dispatcher, capabilities: tuple[str, ...]) -> Manifest:
    # A service mesh's container would outlive the mover, and it has nothing to say to anybody in the mesh.
    meta = {
        "labels": {**_labels(move, by), "sidecar.istio.io/inject": "false"},
        "annotations": {
            CLAIM: move.claim,
            "linkerd.io/inject": "disabled",
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        },
    }
    return {"metadata": meta, "spec": _pod_spec(move, mover, capabilities)}


def _pod_spec(move: Move, mover: Mover, capabilities: tuple[str, ...]) -> Manifest:
    volumes: list[Manifest] = [
        # Readable for the one user that there is: whoever else enters the pod is nobody.
        {"name": "task", "secret": {"secretName": move.name, "defaultMode": 0o444}},
        {"name": "tmp", "emptyDir": {}},
    ]
    claim = move.mounts or move.claim
    if claim:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        # Never an fsGroup: it would change the owner of every file in the volume.
        "securityContext": _pod_security(move, mover),
        "containers": [_container(move, mover, capabilities, mounts_data=bool(claim))],
        "volumes": volumes,
    }
    if mover.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in mover.pull_secrets]
    if move.placement.node:
        spec["affinity"] = {"nodeAffinity": _only(move.placement.node)}
    elif not move.placement.counted:
        if move.placement.apart:
            spec["affinity"] = {"podAntiAffinity": _APART}
        if mover.node_selector:
            spec["nodeSelector"] = dict(mover.node_selector)
    if tolerations := _tolerations(move, mover):
        spec["tolerations"] = tolerations
    return spec


def _tolerations(move: Move, mover: Mover) -> list[Manifest]:
    """Return the tolerations of the pods that use the volume and those that are configured, each once."""
    found = [dict(one) for one in move.placement.tolerations]
    return found + [one.in_pod for one in mover.tolerations if one.in_pod not in found]


def _container(move: Move, mover: Mover, capabilities: tuple[str, ...], *, mounts_data: bool) -> Manifest:
    mounts: list[Manifest] = [
        {"name": "task", "mountPath": tasks.FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of its own
    ]
    if mounts_data:
        mounts.append({"name": "data", "mountPath": tasks.DATA, "readOnly": move.read_only})
    resources = {"requests": dict(mover.resources.requests), "limits": dict(mover.resources.limits)}
    return {
        "name": CONTAINER,
        "image": mover.image,
        "imagePullPolicy": mover.pull_policy,
        "command": [COMMAND],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108
        "resources": {key: value for key, value in resources.items() if value},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], **({"add": list(capabilities)} if capabilities else {})},
        },
        "terminationMessagePolicy": "File",  # the log is not for the API
        "volumeMounts": mounts,
    }


def _pod_security(move: Move, mover: Mover) -> Manifest:
    context: dict[str, Any] = {
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": mover.user,
        "runAsGroup": mover.user,
        "runAsNonRoot": mover.user != 0,
    }
    return context | ({"supplementalGroups": list(move.groups)} if move.groups and mover.user else {})


def _only(node: str) -> Manifest:
    """Return the affinity to one node. Unlike nodeName it leaves taints and room to the scheduler."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as the JSON that is sent."""
    return msgspec.json.encode(manifest)
