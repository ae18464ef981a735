"""`dr-syncer status`: both sides at a glance, whatever of them can be reached."""

from __future__ import annotations

import json
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from drsyncer.snapshot import Record, State
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.services import Services, until
from tests.integration.test_on_a_terminal import COLUMNS, seen
from tests.integration.test_volume_records import note, pvc
from tests.unit.volume_records import REPOSITORY, attempt, failed, snapshot, whole

RUNS = 'dr_syncer_runs_total{result="done"}'


class Desk:
    """A machine with a configuration of both sides."""

    def __init__(self, recovery: Recovery, source: ControlPlane, dr: ControlPlane) -> None:
        self.recovery = recovery
        self.sides = {
            "exporter": {"kubeconfig": str(source.kubeconfig)},
            "importer": {"kubeconfig": str(dr.kubeconfig)},
        }

        self.volumes: dict[str, Any] = {}  # the section

    def argv(self, *args: str) -> list[str]:
        found = self.recovery.argv("status", *args, **self.sides)
        if self.volumes:
            file = self.recovery.folder / "dr-syncer.yaml"
            file.write_text(f"{file.read_text()}volumes: {json.dumps(self.volumes)}\n")
        return found

    def asks(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*args), capture_output=True, text=True, check=False, cwd=self.recovery.folder)

    def learns(self) -> tuple[int, dict[str, Any]]:
        done = self.asks("-o", "json")
        return done.returncode, json.loads(done.stdout)

    def loses(self, side: str, folder: Path) -> None:
        """Let nobody answer where the cluster of a side was."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        dead = folder / f"dead-{side}"
        text = Path(self.sides[side]["kubeconfig"]).read_text()
        address = text.split("https://127.0.0.1:")[1].split('"')[0].split("\n")[0].strip()
        dead.write_text(text.replace(f"127.0.0.1:{address}", f"127.0.0.1:{port}"))
        self.sides[side] = {"kubeconfig": str(dead)}


@pytest.fixture
def desk(clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery) -> Desk:
    for cluster in (clean_source, clean_dr):
        cluster.apply([namespace("dr-syncer")])
    clean_source.apply([namespace("shop"), configmap("shop", "app", colour="red"), deployment("shop", "web")])
    return Desk(recovery, clean_source, clean_dr)


def concerns(found: dict[str, Any]) -> list[str]:
    return [f"{one['about']}: {one['text']}" for one in found["concerns"]]


def test_with_both_services_at_work_all_is_well_and_what_is_lost_is_told(
    desk: Desk, clean_source: ControlPlane, clean_dr: ControlPlane, services: Services, tmp_path: Path
) -> None:
    exporter = services.start("exporter", clean_source, quietPeriod="500ms")
    until(desk.recovery.head, "the first export")
    importer = services.start("importer", clean_dr, interval="1s")
    until(lambda: importer.metric(RUNS) > 0 and exporter.metric(RUNS) > 0, "the first runs")
    until(lambda: desk.learns()[0] == ExitCode.DONE, lambda: str(concerns(desk.learns()[1])))

    _, found = desk.learns()
    head = desk.recovery.head()
    assert (found["version"], found["verdict"], found["behind"]) == (1, "well", 0)
    assert found["repository"]["head"] == found["importer"]["status"]["head"] == head
    assert found["repository"]["commits"][0]["subject"].startswith("prod: first export")
    assert found["importer"]["inventory"]["head"] == head
    assert found["exporter"]["status"]["protected"]["types"]["most"]["deployments.apps"] == 1
    assert found["importer"]["status"]["state"] == "working"
    code, text = seen(desk.recovery.argv("status", **desk.sides), cwd=desk.recovery.folder)
    assert code == ExitCode.DONE
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    assert text.lstrip().startswith("All is well")
    assert "Behind Git" in text

    # The source is gone: what Git and DR know is still told.
    desk.loses("exporter", tmp_path)
    code, found = desk.learns()
    assert (code, found["verdict"]) == (ExitCode.PARTIAL, "attention")
    assert [one.partition(":")[0] for one in concerns(found)] == ["exporter"]
    assert "The source cluster cannot be asked" in concerns(found)[0]
    assert found["exporter"]["status"] is None
    assert (found["repository"]["head"], found["behind"]) == (head, 0)
    said = desk.asks()
    assert "SOURCE  prod\n  not known: the cluster cannot be asked" in said.stdout

    # And so is Git: what was fetched is told, and as of when.
    desk.recovery.remote.rename(f"{desk.recovery.remote}.away")
    code, found = desk.learns()
    assert code == ExitCode.PARTIAL
    assert "as of the last fetch" in concerns(found)[0]
    assert found["repository"]["head"] == head


def test_without_services_it_tells_what_git_and_the_inventory_say(
    desk: Desk, clean_source: ControlPlane, clean_dr: ControlPlane, tmp_path: Path
) -> None:
    code, found = desk.learns()
    assert code == ExitCode.PARTIAL
    assert "repository: There is no recovery point in the branch main." in concerns(found)

    desk.recovery.export(clean_source)
    code, found = desk.learns()
    assert code == ExitCode.PARTIAL
    assert concerns(found) == ["importer: DR has no recovery point yet, as far as its inventory says."]

    # A configuration that says nothing of DR's cluster would have the source asked for it.
    one = {**desk.sides, "importer": desk.sides["exporter"]}
    confused = desk.recovery.cli("status", **one)
    assert confused.returncode == ExitCode.PARTIAL
    assert "--dr-context" in confused.stdout

    desk.recovery.import_into(clean_dr)
    code, found = desk.learns()
    assert (code, concerns(found)) == (ExitCode.DONE, [])
    assert found["exporter"]["status"] is None
    assert found["recoveryPoint"] == found["repository"]["heartbeat"]["time"]
    assert "No service has told its status" in desk.asks().stdout

    # A person blocks an object: no service tells of it, and the inventory does.
    clean_dr.limit("shop", "none", hard={"count/configmaps": "0"})
    clean_source.apply([configmap("shop", "more", colour="red")])
    desk.recovery.export(clean_source)
    assert desk.recovery.import_into(clean_dr).exit_code is ExitCode.PARTIAL
    code, found = desk.learns()
    assert code == ExitCode.PARTIAL
    assert "did not bring everything" in concerns(found)[0]

    for side in ("exporter", "importer"):
        desk.loses(side, tmp_path)
    desk.recovery.remote.rename(f"{desk.recovery.remote}.away")
    for cache in desk.recovery.folder.glob("cache*"):
        cache.rename(f"{cache}.away")
    code, found = desk.learns()
    assert (code, found["verdict"]) == (ExitCode.FAILED, "unknown")
    assert len(found["concerns"]) == 3


def test_how_the_backups_of_volumes_are_is_told_by_git_where_no_service_does(
    desk: Desk, clean_source: ControlPlane, clean_dr: ControlPlane
) -> None:
    now = datetime.now(UTC)
    clean_source.apply([pvc(name) for name in ("data", "logs", "old", "shrunk", "none")])
    note(clean_source, whole(1, start=now - timedelta(hours=5)))
    for at, name in enumerate(("data", "logs"), 1):
        note(clean_source, whole(at, start=now - timedelta(hours=5 * at)), name=name)
    note(clean_source, failed(None, start=now - timedelta(hours=2)), name="none")
    emptied = attempt(State.EMPTY, start=now - timedelta(hours=2), reason="Shrunk")
    young = snapshot(3, start=now - timedelta(hours=26))
    note(clean_source, Record(repository=REPOSITORY, snapshot=young, attempt=emptied), name="shrunk")
    note(clean_source, whole(4, start=now - timedelta(days=40)), name="old")
    desk.recovery.export(clean_source)
    desk.recovery.import_into(clean_dr)

    code, found = desk.learns()
    told = found["backups"]
    assert (code, told["by"], told["asked"], told["maxAge"]) == (ExitCode.PARTIAL, "git", False, 0)
    assert told["states"] == {"Complete": 3, "Empty": 1, "Failed": 1}
    assert told["lacks"] == {"neverWhole": 1, "notWhole": 1, "suspicious": 1}

    # With a section `volumes` it is known how old they may be, and which claims should have one.
    clean_source.apply([pvc("new")])
    desk.recovery.export(clean_source)
    desk.recovery.import_into(clean_dr)
    desk.volumes = {"restic": {"repository": "/nowhere"}, "maxAge": "30h"}
    code, found = desk.learns()
    told = found["backups"]
    assert (code, told["volumes"]) == (ExitCode.PARTIAL, 6)
    assert told["states"] == {"Complete": 3, "Empty": 1, "Failed": 1, "Waiting": 1}
    assert told["lacks"] == {"neverWhole": 1, "notWhole": 1, "old": 1, "suspicious": 1}
    assert [item["what"] for item in told["lacking"]["items"]] == ["shop/none", "shop/old", "shop/shrunk"]
    assert {one["about"] for one in found["concerns"]} == {"repository"}
    assert "The newest whole backup of 1 volume is too old: volumes.maxAge is 1 day 6 hours." in str(concerns(found))
    code, text = seen(desk.argv(), cwd=desk.recovery.folder)
    assert code == ExitCode.PARTIAL
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    assert "Backups that are not as they should be" in text
    assert "3 Complete, 1 Empty, 1 Failed, 1 Waiting" in " ".join(text.split())
    assert "volumes.maxAge is 1 day 6 hours" in " ".join(text.split())

    # None is late, and what waits for its first night is no reason to wake anybody.
    for name in ("none", "old", "shrunk"):
        clean_source.delete(f"/api/v1/namespaces/shop/persistentvolumeclaims/{name}")
    clean_source.settle()
    desk.recovery.export(clean_source)
    desk.recovery.import_into(clean_dr)
    assert desk.learns()[1]["backups"]["states"] == {"Complete": 2, "Waiting": 1}
    assert desk.learns()[0] == ExitCode.DONE, concerns(desk.learns()[1])


def test_a_side_without_a_section_is_not_asked_and_flags_name_the_clusters(
    desk: Desk, clean_source: ControlPlane, tmp_path: Path
) -> None:
    desk.recovery.export(clean_source)
    text = json.dumps(
        {
            "apiVersion": "dr-syncer.io/v1",
            "repository": {"url": str(desk.recovery.remote), "cacheDir": str(tmp_path / "other-cache")},
            "exporter": {"cluster": "prod", "secrets": {"mode": "plaintext"}, "kubeconfig": "/nowhere"},
        }
    )
    file = tmp_path / "only.yaml"
    file.write_text(text)
    argv = desk.recovery.argv("status", **desk.sides)[:4]
    flags = ["--config", str(file), "--source-kubeconfig", str(clean_source.kubeconfig)]
    done = subprocess.run([*argv, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert "not asked: the configuration has no section importer" in done.stdout
    bad = subprocess.run([*argv, *flags, "--source-context", "none"], capture_output=True, text=True, check=False)
    assert bad.returncode == ExitCode.PARTIAL
    assert "none" in bad.stdout
