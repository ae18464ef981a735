"""Backups that meet a lock in the restic repository: one of a dead pod stops none, and no other lock is touched."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from drsyncer.cluster import connect
from drsyncer.config.schema import Config
from drsyncer.errors import ExitCode
from tests.cluster.cheap_key import add_lock
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.backups import PASSWORD, ROOT, Backups
from volumes import endings, unlocking
from volumes.supplies import restic_of

MakeNamespace = Callable[..., str]
VERIFY = "dr-syncer-exporter-verify-29384720-abcde"


@pytest.fixture
def backups(
    source: ControlPlane, make_namespace: MakeNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backups]:
    """A repository that lets nothing be deleted but locks, as that of careful people."""
    path = f"{find('restic').parent}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    environment = {"PYTHONPATH": str(ROOT), "PATH": path}
    node = f"node-{uuid.uuid4().hex[:6]}"
    with (
        RestServer(tmp_path / "rest", append_only=True) as server,
        Kubelet(source, (node,), environment=environment) as kubelet,
    ):
        made = Backups(source, tmp_path, server, kubelet, make_namespace(source, "dr-syncer"))
        made.init()
        made.section["restic"] = {**made.config()["volumes"]["restic"], "retryLock": "1s"}
        yield made


@pytest.fixture
def shop(source: ControlPlane, make_namespace: MakeNamespace, backups: Backups) -> str:
    namespace = make_namespace(source, "shop")
    for name in ("data", "more"):
        (backups.volumes.make(namespace, name) / "order").write_text("1 bicycle")
    return namespace


def _leave_lock(backups: Backups, *, hostname: str = VERIFY, minutes: float = 31) -> None:
    """Leave a lock as a `restic check` does that was killed so long ago."""
    repository = backups.server.root / backups.repository
    add_lock(repository, PASSWORD, hostname=hostname, age=timedelta(minutes=minutes), exclusive=True)


def _locks(backups: Backups) -> int:
    return len(list((backups.server.root / backups.repository / "locks").iterdir()))


def test_the_lock_of_a_dead_pod_is_removed_and_the_volume_tried_again(backups: Backups, shop: str) -> None:
    _leave_lock(backups)

    ran = backups.run(namespaces=[shop])

    assert (ran.code, ran.states()) == (ExitCode.DONE, {"data": "Complete", "more": "Complete"}), ran.data
    (unlocked,) = ran.data["unlocked"]
    assert unlocked.startswith(f"exclusive lock of {VERIFY}, ")
    for name in ("data", "more"):
        assert backups.whole(shop, name).files == 1
        for reason, message in backups.events(shop, name):
            assert (reason, message.startswith("Locked: ")) == ("BackupLocked", True)
    assert any(unlocked in message for name in ("data", "more") for _, message in backups.events(shop, name))
    assert _locks(backups) == 0
    assert backups.left(shop) == []


def test_a_lock_that_is_nearly_old_enough_is_waited_for(backups: Backups, shop: str) -> None:
    """As that of a verification that was killed a moment before the backup began."""
    backups.section["restic"]["retryLock"] = "20s"
    _leave_lock(backups, minutes=29.5)

    ran = backups.run(claims=[(shop, "data")])

    assert (ran.code, ran.states(), len(ran.data["unlocked"])) == (ExitCode.DONE, {"data": "Complete"}, 1), ran.data
    assert _locks(backups) == 0


def test_a_lock_that_was_waited_for_in_vain_is_not_waited_for_by_one_mover_after_the_other(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a verification of another cluster, which goes on for hours."""
    monkeypatch.setattr(unlocking, "_A_LITTLE", -600.0)  # the wait is over at once, and the lock as good as refreshed
    section = Config.model_validate(backups.config()).volumes
    assert section is not None
    cluster = connect(kubeconfig=str(backups.cluster.kubeconfig))
    of_run = unlocking.Unlocking(lambda _: restic_of(section), cluster, patience=60.0)
    _leave_lock(backups, minutes=25)
    asked = 0  # whether the run goes on, by who waits

    def goes_on() -> bool:
        nonlocal asked
        asked += 1
        return True

    first, waited = of_run.look(goes_on), asked
    many_later = [of_run.look(goes_on) for _ in range(3)]

    assert waited > 0
    assert asked == waited
    for found in (first, *many_later):
        assert (found.again, "it may be of another cluster" in found.words) == (False, True)
    for lock in (backups.server.root / backups.repository / "locks").iterdir():
        lock.unlink()
    _leave_lock(backups)
    assert of_run.look(goes_on).again  # what can go at once goes all the same
    cluster.close()


def _stays(backups: Backups, shop: str, words: str, *, later: bool = False) -> None:
    """Check that a backup leaves the lock where it is, and says why everywhere."""
    ran = backups.run(claims=[(shop, "data")])

    assert (ran.code, ran.states(), ran.data["unlocked"]) == (ExitCode.FAILED, {"data": "Locked"}, []), ran.data
    message = ran.volume("data")["message"]
    assert words in message
    assert ("A later run removes" in message) == later
    record = backups.record(shop, "data")
    assert record is not None
    assert record.attempt is not None
    assert (record.complete, record.attempt.reason, record.attempt.message) == (False, "Locked", message)
    assert backups.events(shop, "data") == [("BackupLocked", f"Locked: {message}"[:1000])]
    assert len(backups.kubelet.seen) == 1
    assert _locks(backups) == 1


def test_a_lock_that_may_be_of_another_cluster_stays(backups: Backups, shop: str) -> None:
    _leave_lock(backups, minutes=20)

    _stays(backups, shop, "it may be of another cluster that uses the repository, and was refreshed 20 min", later=True)


def test_a_lock_of_who_is_none_of_ours_stays(backups: Backups, shop: str) -> None:
    _leave_lock(backups, hostname="laptop")

    _stays(backups, shop, "that is no pod of DR-Syncer, so nobody here can tell whether it lives")


def _pod(source: ControlPlane, namespace: str) -> str:
    """Make the pod of a verification, on a node that never says anything of it; return its name."""
    spec = {"containers": [{"name": "verify", "image": "none"}], "nodeName": "nowhere"}
    meta = {"name": f"{VERIFY[:-5]}{uuid.uuid4().hex[:5]}", "namespace": namespace}
    source.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}])
    return meta["name"]


def test_a_lock_of_a_pod_that_lives_stays(backups: Backups, shop: str, source: ControlPlane) -> None:
    _leave_lock(backups, hostname=_pod(source, backups.namespace))

    _stays(backups, shop, "UTC: its pod lives", later=True)


def test_a_lock_of_a_pod_that_a_silent_node_keeps_stays_until_somebody_says_that_it_is_dead(
    backups: Backups, shop: str, source: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "_OVERDUE", -60.0)  # nobody waits for that here
    name = _pod(source, backups.namespace)
    source.delete(f"/api/v1/namespaces/{backups.namespace}/pods/{name}", wait=False)
    _leave_lock(backups, hostname=name)

    words = (
        "UTC: its pod is being deleted, and its node nowhere does not say that it ended. Once that node is certainly "
        f"dead, `kubectl -n {backups.namespace} delete pod {name} --force`, or delete the Node."
    )
    _stays(backups, shop, words, later=True)


def test_a_backend_that_lets_no_lock_be_deleted(backups: Backups, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _leave_lock(backups)
    wrapped = backups.folder / "refusing" / "restic"
    wrapped.parent.mkdir()
    refused = 'case " $* " in *" unlock "*) export RESTIC_REST_PASSWORD=wrong;; esac'
    wrapped.write_text(f'#!/bin/sh\n{refused}\nexec {find("restic")} "$@"\n')
    wrapped.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapped.parent}:{os.environ['PATH']}")

    _stays(backups, shop, "remove the locks of dead pods")


def test_a_dispatcher_without_restic(backups: Backups, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _leave_lock(backups)
    folder = backups.folder / "bin"
    folder.mkdir()
    for program in ("git", "sh"):
        (folder / program).symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", str(folder))

    _stays(backups, shop, "Install restic")
