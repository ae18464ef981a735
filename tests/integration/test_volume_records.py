"""What backups leave on claims comes to the recovery repository with the objects, and goes nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from drsyncer import own, snapshot
from drsyncer.errors import ExitCode
from drsyncer.recovery import volumes
from drsyncer.snapshot import Record, State
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.follower import Follower
from tests.integration.recovery import Recovery, changed, configmap, namespace
from tests.unit.volume_records import claim, failed, left_out, whole

MakeProxy = Callable[[ControlPlane], FaultProxy]
DATA = "volumes/shop/data.yaml"
DATA_CLAIM = "namespaces/shop/persistentvolumeclaims/data.yaml"
CLAIMS = "/api/v1/namespaces/shop/persistentvolumeclaims"


def pvc(name: str = "data", **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations or None},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "none",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def note(source: ControlPlane, record: Record | str | None, *, name: str = "data") -> None:
    """Leave a record on a claim as a dispatcher of backups does; None takes it away."""
    text = snapshot.encode(record) if isinstance(record, Record) else record
    source.kubectl(
        *("annotate", "--overwrite", "-n", "shop", "pvc", name),
        own.BACKUP_RESULT + ("-" if text is None else f"={text}"),
    )


def recorded(recovery: Recovery, path: str = DATA) -> Record | None:
    at = recovery.head()  # both questions of one commit: a service may make the next one between them
    if path not in recovery.paths(at):
        return None
    return volumes.read(recovery.file(path, at).encode(), file=path)[1]


def subject(recovery: Recovery) -> str:
    return recovery.git("log", "-1", "--format=%s", "main").strip()


@pytest.fixture
def shop(clean_source: ControlPlane) -> ControlPlane:
    clean_source.apply([namespace("shop"), pvc(), configmap("shop", "app", a="b")])
    clean_source.settle()
    return clean_source


def test_a_record_is_in_the_same_commit_as_the_objects_and_in_no_object(shop: ControlPlane, recovery: Recovery) -> None:
    note(shop, whole())
    outcome = recovery.export(shop)

    assert recorded(recovery) == whole()
    assert recovery.git("rev-list", "--count", "main").strip() == "1"
    assert own.PREFIX not in recovery.file(DATA_CLAIM)
    assert "volume shop/data backed up: Complete, 3 files, 1.2 MiB" in recovery.git("log", "-1", "--format=%b", "main")
    assert subject(recovery).startswith("prod: first export: ")
    assert ", 1 volume backed up in shop" in subject(recovery)
    assert outcome.to_data()["volumes"] == [
        {"claim": "shop/data", "fate": "backed up", "said": "Complete, 3 files, 1.2 MiB"}
    ]
    again = recovery.export(shop)
    assert (again.commit, again.volumes, again.incomplete) == ("", (), {})


def test_a_new_record_changes_its_file_alone(shop: ControlPlane, recovery: Recovery) -> None:
    note(shop, whole(1))
    recovery.export(shop)
    note(shop, failed(1))
    outcome = recovery.export(shop)

    assert recorded(recovery) == failed(1)
    assert subject(recovery) == "prod: 1 volume not backed up in shop"
    assert recovery.git("show", "--name-only", "--format=", "main").split() == [DATA]
    assert (list(changed(outcome)), outcome.exit_code) == ([], ExitCode.DONE)


def test_a_claim_that_is_not_to_be_backed_up_any_more_makes_no_recovery_point_incomplete(
    shop: ControlPlane, recovery: Recovery
) -> None:
    note(shop, failed(None))
    recovery.export(shop)
    shop.kubectl("annotate", "-n", "shop", "pvc", "data", f"{own.BACKUP}=false")
    recovery.export(shop)

    assert recorded(recovery) == left_out(failed(None))
    assert f'{own.BACKUP}: "false"' in recovery.file(DATA_CLAIM)
    shop.kubectl("annotate", "-n", "shop", "pvc", "data", f"{own.BACKUP}-")
    recovery.export(shop)
    assert recorded(recovery) == failed(None)


def test_a_record_goes_with_its_claim(shop: ControlPlane, recovery: Recovery) -> None:
    shop.apply([pvc("logs")])
    for name in ("data", "logs"):
        note(shop, whole(), name=name)
    recovery.export(shop)
    shop.delete(f"{CLAIMS}/data")
    shop.kubectl("annotate", "-n", "shop", "pvc", "logs", f"{own.IGNORE}=true")
    recovery.export(shop)

    assert not [path for path in recovery.paths() if path.startswith("volumes/")]
    assert subject(recovery) == "prod: 2 deleted, 2 volumes no longer recorded in shop"
    assert recovery.export(shop).commit == ""


def test_a_record_that_came_with_a_copy_of_its_claim_counts_for_nothing(shop: ControlPlane, recovery: Recovery) -> None:
    uid = json.loads(shop.kubectl("get", "pvc", "-n", "shop", "data", "-o", "json").stdout)["metadata"]["uid"]
    text = snapshot.encode(msgspec.structs.replace(whole(), claim=uid))
    note(shop, text)
    shop.apply([pvc("copy", **{own.BACKUP_RESULT: text})])
    recovery.export(shop)

    assert recorded(recovery) == whole()
    assert "volumes/shop/copy.yaml" not in recovery.paths()
    # Made anew, as it was told: what is in Git is of the volume that went with the one before.
    shop.delete(f"{CLAIMS}/data")
    shop.apply([pvc(**{own.BACKUP_RESULT: text})])
    outcome = recovery.export(shop)

    assert recorded(recovery) is None
    assert DATA_CLAIM in recovery.paths()
    assert outcome.incomplete == {}


def test_a_record_goes_when_its_claim_bears_none_any_more(shop: ControlPlane, recovery: Recovery) -> None:
    note(shop, whole())
    recovery.export(shop)
    note(shop, None)
    recovery.export(shop)

    assert recorded(recovery) is None
    assert DATA_CLAIM in recovery.paths()
    assert subject(recovery) == "prod: 1 volume no longer recorded in shop"


def test_a_record_stays_while_nobody_knows_of_its_claim(
    shop: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    note(shop, whole())
    recovery.export(shop)
    proxy = fault_proxy(shop)
    proxy.status(500, path=r"^/api/v1/persistentvolumeclaims", times=None)
    outcome = recovery.export(shop, kubeconfig=proxy.kubeconfig)

    assert "persistentvolumeclaims" in outcome.incomplete
    assert recorded(recovery) == whole()


@pytest.mark.parametrize(
    ("nonsense", "why"),
    [("whatever", "is no record of a backup"), ('{"version": 2}', "is of version 2, and this program knows versions")],
)
def test_nonsense_makes_the_export_incomplete_and_the_old_record_stays(
    shop: ControlPlane, recovery: Recovery, nonsense: str, why: str
) -> None:
    note(shop, whole())
    recovery.export(shop)
    note(shop, nonsense)
    shop.apply([configmap("shop", "app", a="c")])
    outcome = recovery.export(shop)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert list(outcome.incomplete) == [DATA]
    assert (
        f"shop/persistentvolumeclaims/data: its annotation dr-syncer.io/backup-result {why}" in outcome.incomplete[DATA]
    )
    assert recorded(recovery) == whole()
    assert "a: c" in recovery.file("namespaces/shop/configmaps/app.yaml")
    assert own.PREFIX not in recovery.file(DATA_CLAIM)


def test_a_record_that_somebody_changed_in_git_is_put_right(shop: ControlPlane, recovery: Recovery) -> None:
    note(shop, whole())
    recovery.export(shop)
    forged = volumes.emit(whole(666), claim()).decode()
    orphan = volumes.emit(whole(667), claim("nothing")).decode()
    recovery.commit({DATA: forged, "volumes/shop/nothing.yaml": orphan, "volumes/README.md": "hello\n"})
    recovery.export(shop)

    assert recorded(recovery) == whole()
    assert [path for path in recovery.paths() if path.startswith("volumes/")] == ["volumes/README.md", DATA]


def test_explain_shows_what_becomes_of_a_record(shop: ControlPlane, recovery: Recovery) -> None:
    note(shop, whole())
    name = "shop/persistentvolumeclaims/data"
    said = recovery.cli("export", "--explain", name, "-o", "json", kubeconfig=shop.kubeconfig)
    assert json.loads(said.stdout)["volumeRecord"] == {
        "path": DATA,
        "says": "Complete, 3 files, 1.2 MiB",
        "fault": None,
    }
    note(shop, "nonsense")
    said = recovery.cli("export", "--explain", name, kubeconfig=shop.kubeconfig)
    assert f"volume: {DATA} stays as it is" in said.stdout


def test_records_follow_by_themselves(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop) as follower:
        follower.ready()
        note(shop, whole(1))
        follower.wait_for(lambda: recorded(recovery) == whole(1), what="the record")
        assert subject(recovery) == "prod: 1 volume backed up in shop"
        note(shop, failed(1, State.LOCKED, reason="Locked"))
        follower.wait_for(lambda: recorded(recovery) == failed(1, State.LOCKED, reason="Locked"), what="the failure")

        head = recovery.head()
        note(shop, "nonsense")
        follower.wait_for(lambda: DATA in follower.following._incomplete(), what="the fault to be known")
        assert recovery.head() == head

        note(shop, whole(2))
        follower.wait_for(lambda: recorded(recovery) == whole(2), what="the next record")
        assert DATA not in follower.following._incomplete()
        recovery.commit({DATA: volumes.emit(whole(666), claim()).decode()})
        shop.apply([configmap("shop", "app", a="c")])  # with its commit, it sees what somebody did
        follower.wait_for(lambda: recorded(recovery) == whole(2), what="the forged record to be put right")

        shop.delete(f"{CLAIMS}/data")
        follower.wait_for(lambda: recorded(recovery) is None, what="the record to go with its claim")
        assert DATA_CLAIM not in recovery.paths()
    outcome = recovery.export(shop)
    assert (outcome.commit, outcome.incomplete) == ("", {})


def test_the_other_cluster_never_sees_them(shop: ControlPlane, clean_dr: ControlPlane, recovery: Recovery) -> None:
    note(shop, whole())
    recovery.export(shop)
    # As an older exporter, or a person, might have left it.
    notes = {own.BACKUP_RESULT: snapshot.encode(whole()), own.RESTORED: "{}", own.BACKUP: "true"}
    recovery.commit({DATA_CLAIM: json.dumps(pvc(**notes))})
    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.DONE
    found = json.loads(clean_dr.kubectl("get", "pvc", "-n", "shop", "data", "-o", "json").stdout)
    assert set(found["metadata"]["annotations"]) & set(notes) == {own.BACKUP}
    assert not [warning for warning in outcome.warnings if "volumes/" in warning]
