"""With the rights that its chart gives it, each side does all of its work with volumes; it has no others, and uses each
of them."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drsyncer.cluster import Cluster, connect
from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from drsyncer.yaml.emit import emit
from tests.cluster.cheap_key import add_lock
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet, use
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.backups import PASSWORD, ROOT, Backups
from tests.integration.charts import FULLNAME, NAMESPACE, dr_syncer, merged, rendered, values
from tests.integration.charts.rights import Account, Grant, granted, unused
from tests.integration.movers import Backend, Mover
from tests.integration.recovery import IMPATIENT, Recovery, namespace
from tests.integration.restores import DATA, Scene, endings

BACKUP = f"dr-syncer-{FULLNAME.format('exporter')}-backup"
VOLUMES = {
    "config": {"volumes": {"restic": {"repository": "s3:https://s3.example.com/backups"}, "copyMethod": "direct"}},
    "restic": {"existingSecret": "restic"},
}
HOOKS = {"dr-syncer.io/pre-backup": '{"command": ["true"], "onError": "continue"}'}


def nodes(cluster: ControlPlane) -> Kubelet:
    """Nodes whose movers find restic."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": f"{find('restic').parent}:{os.environ['PATH']}"}
    return Kubelet(cluster, (f"node-{uuid.uuid4().hex[:6]}",), environment=environment)


@dataclass
class AsAccount(Backups):
    """Backups as a service account."""

    account: Account | None = None

    def config(self, **mover: Any) -> dict[str, Any]:
        """See `Backups`."""
        made = super().config(**mover)
        assert self.account is not None
        made["exporter"]["kubeconfig"] = str(self.account.kubeconfig)
        return made


@pytest.fixture
def backups(clean_source: ControlPlane, tmp_path: Path) -> Iterator[AsAccount]:
    clean_source.apply([namespace(NAMESPACE), namespace("shop"), namespace("other")])
    with RestServer(tmp_path / "rest") as server, nodes(clean_source) as kubelet:
        made = AsAccount(clean_source, tmp_path, server, kubelet, NAMESPACE, section={"copyMethod": "direct"})
        made.init()
        yield made


def test_a_backup_can_do_its_work_and_uses_all_that_it_may(backups: AsAccount) -> None:
    objects = rendered("exporter", merged(values("exporter"), VOLUMES))
    account = backups.account = Account(backups.cluster, objects, cron_job=BACKUP)
    (backups.volumes.make("shop", "data", annotations=HOOKS) / "order").write_text("1 bicycle")
    use(backups.cluster, "shop", "data", node=backups.kubelet.nodes[0])
    (backups.volumes.make("other", "stuck") / "file").write_text("never read")
    backups.cluster.apply([small("shop")])
    backups.kubelet.holds = lambda claim: claim == "other/stuck"

    ran = backups.run(startTimeout="5s")

    assert ran.code == ExitCode.PARTIAL, ran.stderr
    assert ran.states() == {"data": str(State.COMPLETE), "stuck": str(State.FAILED)}
    assert [reason for reason, _ in backups.events("other", "stuck")] == ["BackupFailed"]
    assert account.refused() == []
    assert unused(account.granted, account.requests()) == []
    for where in (NAMESPACE, "shop"):
        assert account.may(where) == {here(grant) for grant in account.granted if grant.namespace in ("", where)}


def test_a_backup_of_some_namespaces_can_work_in_no_other(backups: AsAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it need to, to find out that the pod is dead whose lock it meets, wherever that was."""
    monkeypatch.setenv("PATH", f"{find('restic').parent}:{os.environ['PATH']}")
    given = {"backup": {"namespaces": ["shop"], "hooks": False}}
    objects = rendered("exporter", merged(merged(values("exporter"), VOLUMES), given))
    account = backups.account = Account(backups.cluster, objects, cron_job=BACKUP)
    backups.section["select"] = {"include": [{"namespaces": ["shop"]}]}  # as the chart fills it in
    (backups.volumes.make("shop", "data") / "order").write_text("1 bicycle")
    (backups.volumes.make("other", "data") / "order").write_text("1 tandem")
    leave_lock(backups, exclusive=True)

    ran = backups.run()

    assert ran.code == ExitCode.DONE, ran.stderr
    assert (ran.data["selected"], len(ran.data["unlocked"])) == (1, 1)
    assert account.refused() == []
    for where in ("other", "kube-system"):
        assert {grant.verb for grant in account.may(where)} == {"list"}
    assert not [grant for grant in account.may("shop") if grant.resource == "pods/exec"]


def small(where: str) -> dict[str, Any]:
    """A namespace's bounds that no mover fits as it is configured."""
    limit = {"type": "Container", "max": {"memory": "128Mi"}}
    meta = {"name": "small", "namespace": where}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": meta, "spec": {"limits": [limit]}}


def here(grant: Grant) -> Grant:
    """The grant as a review in a namespace tells it."""
    return Grant("", grant.group, grant.resource, grant.verb, grant.names)


def test_a_check_and_a_prune_can_do_their_work_and_next_to_nothing_else(
    backups: AsAccount, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = rendered("exporter", merged(merged(values("exporter"), VOLUMES), {"prune": {"enabled": True}}))
    backups.account = Account(backups.cluster, objects, cron_job=BACKUP)
    (backups.volumes.make("shop", "data") / "order").write_text("1 bicycle")
    assert backups.run().code == ExitCode.DONE
    recovery.export(backups.cluster)
    monkeypatch.setenv("PATH", f"{find('restic').parent}:{os.environ['PATH']}")

    for what in ("prune", "verify"):
        account = backups.account = Account(backups.cluster, objects, cron_job=BACKUP.replace("backup", what))
        file = backups.folder / "dr-syncer.yaml"
        file.write_bytes(emit({**backups.config(), "repository": recovery.config()["repository"]}))
        backups.cluster.apply([lease_of_a_dead_run()])
        leave_lock(backups)

        ran = dr_syncer("volumes", what, "-c", str(file), "-o", "json")

        assert ran.returncode == ExitCode.DONE, f"{ran.stdout}{ran.stderr}"
        if what == "verify":
            backups.restic("forget", backups.whole("shop", "data").manifest)
            ran = dr_syncer("volumes", what, "-c", str(file), "--compare", "0")
            assert (ran.returncode, ran.stderr) == (ExitCode.FAILED, "")
            told = backups.cluster.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/dr-syncer-exporter-prod")
            assert list(told["data"]) == ["verification.json"]
        # Outside of a pod it looks for a service in other namespaces, too, where it finds none in its own.
        assert [one for one in account.refused() if not one.startswith("list /api/v1/configmaps?")] == []
        assert unused(account.granted, account.requests()) == []
        assert account.may(NAMESPACE) == {here(grant) for grant in account.granted}
        assert {(grant.verb, grant.resource) for grant in account.may("shop")} <= {("list", "pods")}


def lease_of_a_dead_run() -> dict[str, Any]:
    """The Lease of a backup that died long ago."""
    meeting = hashlib.sha256(b"prod").hexdigest()[:10]
    meta = {"name": f"dr-syncer-restic-{meeting}-dead", "namespace": NAMESPACE}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": {}}


def leave_lock(backups: AsAccount, *, exclusive: bool = False) -> None:
    """Leave a lock in the repository, as a restic that was killed in a mover's pod some time ago does."""
    repository = backups.server.root / backups.repository
    add_lock(
        repository, PASSWORD, hostname="dr-syncer-backup-data-gone", age=timedelta(minutes=31), exclusive=exclusive
    )


@dataclass
class RestoresAsAccount(Scene):
    """Restores as a service account."""

    account: Account | None = None

    def config(self, **volumes: Any) -> dict[str, Any]:
        """See `Scene`."""
        made = super().config(**volumes)
        selected = {"types": ["persistentvolumeclaims"], "namespaces": ["shop"]}  # as the chart fills it in
        made["importer"] |= {"stateNamespace": NAMESPACE, "select": {"include": [selected]}}
        return made

    def cluster(self) -> Cluster:
        """See `Scene`."""
        assert self.account is not None
        return connect(kubeconfig=str(self.account.kubeconfig), connections=20, schedule=IMPATIENT)


@pytest.fixture
def restores(clean_dr: ControlPlane, recovery: Recovery, tmp_path: Path) -> Iterator[RestoresAsAccount]:
    folder = tmp_path / "scene"
    folder.mkdir()
    mover = Mover(folder / "movers", Backend(repository=str(folder / "repository"), folder=folder / "repository"))
    mover.init()
    clean_dr.apply([namespace(NAMESPACE), namespace("other")])
    with nodes(clean_dr) as kubelet:
        yield RestoresAsAccount(clean_dr, recovery, kubelet, mover, folder)


def test_a_restore_can_do_its_work_and_uses_all_that_it_may(restores: RestoresAsAccount, tmp_path: Path) -> None:
    given = {"rbac": {"namespaces": ["shop"], "types": ["persistentvolumeclaims"], "restores": True}}
    objects = rendered("importer", merged(merged(values("importer"), VOLUMES), given))
    (tmp_path / "origin").mkdir()
    (tmp_path / "origin" / "order").write_text("1 bicycle")
    volume = restores.volume()
    copy = restores.available("copy", where="shop", storage_class="none")
    restores.point({DATA: restores.record(restores.backup(tmp_path / "origin"))})
    account = restores.account = Account(restores.dr, objects)
    imports = rendered("importer", merged(merged(values("importer"), given), {"rbac": {"restores": False}}))
    added = account.granted - granted(imports, account.name)
    restores.dr.apply([small("shop")])

    first = restores.restore()
    assert endings(first) == {"shop/data": ("restored", "Unknown")}, [one.text for one in first.volumes]
    assert endings(restores.restore(claims=(DATA,), to_claim="copy")) == {"shop/data": ("restored", "Empty")}
    restores.kubelet.holds = lambda _: True
    stuck = restores.restore(claims=(DATA,), again=True, mover={"startTimeout": "5s"})

    assert (volume / "order").read_text() == (copy / "order").read_text() == "1 bicycle"
    assert endings(stuck)["shop/data"][1] == "NotStarted"
    assert "did not start" in stuck.volumes[0].text
    assert account.refused() == []
    assert unused(added, account.requests()) == []
    writes = {grant.resource for grant in account.may("other") if grant.verb not in ("get", "list")}
    assert writes == {"namespaces"}  # the imports': of the one that they are for
