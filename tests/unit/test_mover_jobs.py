"""The manifests of movers: as few rights as the data allows, placed where the volume is, and found again by name."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import Manifest
from tests.unit.movers import BY, backup, mover, restore
from volumes import task as tasks
from volumes.jobs import Move, Placement, anywhere, capability_sets, job, pod, secret

OWNER = {"metadata": {"name": "dr-syncer-backup-data", "uid": "u-1"}}


def _container(manifest: Manifest) -> Manifest:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return container  # type: ignore[no-any-return]


def test_a_mover_has_no_token_no_writable_root_and_one_capability() -> None:
    move = backup()

    made = job(move, mover(), BY, capabilities=capability_sets(move, mover())[0])

    spec, container = made["spec"]["template"]["spec"], _container(made)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "fsGroup" not in spec["securityContext"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]},
    }


def test_a_mover_with_a_user_of_its_own_fits_the_restricted_level() -> None:
    move, settings = backup(groups=(2000,)), mover(user=1000)

    made = job(move, settings, BY, capabilities=capability_sets(move, settings)[0])

    context = made["spec"]["template"]["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsNonRoot"]) == (1000, True)
    assert context["supplementalGroups"] == [2000]
    assert _container(made)["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_backup_cannot_write_to_the_volume_and_a_restore_can() -> None:
    def mounted(move: Move) -> bool:
        mounts = {one["name"]: one for one in _container(job(move, mover(), BY))["volumeMounts"]}
        assert mounts["data"]["mountPath"] == tasks.DATA
        return not mounts["data"]["readOnly"]

    assert not mounted(backup())
    assert mounted(restore())


def test_a_job_waits_for_its_secret_runs_once_and_ends_by_itself_when_nobody_does_it() -> None:
    made = job(backup(), mover(startTimeout="10m", timeout="1h"), BY)["spec"]

    assert (made["suspend"], made["backoffLimit"]) == (True, 0)
    assert made["activeDeadlineSeconds"] >= 4200
    assert made["ttlSecondsAfterFinished"] > 24 * 3600


def test_the_secret_has_the_task_and_the_credentials_and_goes_with_the_job() -> None:
    move = backup()

    made = secret(move, {"password": b"pass"}, BY, owner=OWNER)

    data = {name: base64.b64decode(value) for name, value in made["data"].items()}
    assert data["password"] == b"pass"
    assert tasks.decode(data["task.json"]) == move.task
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", "u-1")
    assert "blockOwnerDeletion" not in owner


def test_nothing_of_a_mover_is_ever_exported() -> None:
    move = backup()
    for made in (job(move, mover(), BY), pod(move, mover(), BY), secret(move, {}, BY, owner=OWNER)):
        assert made["metadata"]["labels"]["app.kubernetes.io/part-of"] == "dr-syncer"


def test_a_mover_is_placed_by_the_scheduler_on_the_one_node() -> None:
    tolerations = ({"key": "gpu", "operator": "Exists"},)
    move = Move(backup().task, "shop", "data", placement=Placement("node-1", tolerations))

    spec = job(move, mover(), BY)["spec"]["template"]["spec"]

    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
    assert spec["tolerations"] == list(tolerations)
    assert "nodeName" not in spec


@pytest.mark.parametrize("move", [backup(), restore()], ids=["backup", "restore"])
def test_movers_of_both_directions_bear_the_taints_and_keep_to_the_nodes_that_are_configured(move: Move) -> None:
    settings = mover(tolerations=[{"key": "dedicated", "value": "dr"}], nodeSelector={"example.com/pool": "storage"})

    spec = job(move, settings, BY)["spec"]["template"]["spec"]

    assert spec["tolerations"] == [{"key": "dedicated", "operator": "Equal", "value": "dr"}]
    assert spec["nodeSelector"] == {"example.com/pool": "storage"}


def test_a_toleration_that_the_volumes_pods_have_too_is_there_once() -> None:
    gpu = {"key": "gpu", "operator": "Exists"}
    move = Move(backup().task, "shop", "data", placement=Placement("", (gpu,)))

    spec = job(move, mover(tolerations=[gpu, {"operator": "Exists"}]), BY)["spec"]["template"]["spec"]

    assert spec["tolerations"] == [gpu, {"operator": "Exists"}]


@pytest.mark.parametrize("placement", [Placement("node-1"), Placement(counted="node-1")], ids=["in use", "bound"])
def test_a_volume_that_is_on_one_node_goes_before_the_configured_nodes(placement: Placement) -> None:
    move = Move(backup().task, "shop", "data", placement=placement)

    spec = job(move, mover(nodeSelector={"example.com/pool": "storage"}), BY)["spec"]["template"]["spec"]

    assert "nodeSelector" not in spec


@pytest.mark.parametrize("move", [backup(), restore()], ids=["backup", "restore"])
def test_a_mover_that_may_run_on_many_nodes_rather_goes_where_no_other_one_is(move: Move) -> None:
    template = job(move, mover(), BY)["spec"]["template"]

    (wish,) = template["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    term = wish["podAffinityTerm"]
    assert (term["topologyKey"], term["namespaceSelector"]) == ("kubernetes.io/hostname", {})
    assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert [one["key"] for one in term["labelSelector"]["matchExpressions"]] == ["dr-syncer.io/operation"]
    assert "dr-syncer.io/operation" in template["metadata"]["labels"]
    assert "affinity" not in job(anywhere(move), mover(), BY)["spec"]["template"]["spec"]


@pytest.mark.parametrize("placement", [Placement("node-1"), Placement(counted="node-1")], ids=["in use", "bound"])
def test_a_mover_whose_node_is_given_has_no_wish(placement: Placement) -> None:
    spec = job(Move(backup().task, "shop", "data", placement=placement), mover(), BY)["spec"]["template"]["spec"]

    assert "podAntiAffinity" not in spec.get("affinity", {})


def test_a_mover_has_neither_where_nothing_is_configured() -> None:
    spec = job(restore(), mover(), BY)["spec"]["template"]["spec"]

    assert {"tolerations", "nodeSelector"}.isdisjoint(spec)


def test_the_pod_that_is_asked_for_is_the_pod_of_the_job() -> None:
    move = backup(node="node-1")

    asked = pod(move, mover(), BY, capabilities=("DAC_OVERRIDE",))

    assert asked["spec"] == job(move, mover(), BY, capabilities=("DAC_OVERRIDE",))["spec"]["template"]["spec"]


def test_a_copy_is_mounted_in_place_of_the_claim_and_the_job_is_the_claims() -> None:
    move = backup(mounts="copy")

    volumes = {one["name"]: one for one in job(move, mover(), BY)["spec"]["template"]["spec"]["volumes"]}

    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "copy"
    assert move.name == backup().name


names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", fullmatch=True)


@given(names, names)
def test_every_claim_has_a_job_name_of_its_own_that_kubernetes_takes(one: str, other: str) -> None:
    first, second = backup(one).name, backup(other).name

    assert len(first) <= 63
    assert first.replace("-", "").isalnum()
    assert not first.endswith("-")
    assert (first == second) == (one == other)
    assert first not in (restore(one).name, backup(one, namespace="elsewhere").name)
