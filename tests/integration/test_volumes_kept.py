"""The commands around backups: the repository is made once, looked at, verified, and pruned of nothing that matters."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from drsyncer.errors import ExitCode
from drsyncer.recovery import heartbeat
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.snapshot import Attempt, Record, Snapshot, State
from drsyncer.yaml.emit import emit
from tests.cluster.cheap_key import add_lock, make_cheap
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.git_servers import HttpsRemote, git
from tests.cluster.tools import find
from tests.integration.recovery import Recovery, namespace
from tests.integration.restic_backends import as_host
from tests.integration.test_volume_records import note, pvc
from volumes.inspecting import entries
from volumes.manifest import Writer
from volumes.remembering import remember
from volumes.result import Reason, Result

PASSWORD = "correct horse battery staple"
NOW = datetime.now(UTC)


@dataclass
class Keeping:
    """A source cluster with a claim, its recovery repository, and a restic repository in a folder."""

    source: ControlPlane
    recovery: Recovery
    folder: Path
    capsys: pytest.CaptureFixture[str]
    volumes: dict[str, Any] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    @property
    def repository(self) -> Path:
        return self.folder / "restic"

    def config(self, **section: Any) -> Path:
        password = self.folder / "password"
        password.write_text(section.pop("password", PASSWORD) + "\n")
        restic = {"repository": str(self.repository), "auth": {"passwordFile": str(password)}, "retryLock": "1s"}
        path = self.folder / "dr-syncer.yaml"
        path.write_bytes(emit({**self.recovery.config(), "volumes": {"restic": restic, **self.volumes, **section}}))
        return path

    def cli(
        self, *words: str, cluster: bool = False, kubeconfig: Path | None = None, **section: Any
    ) -> tuple[int, str, str]:
        """Run `dr-syncer volumes …`; return its exit code and what it printed."""
        self.capsys.readouterr()
        where = ["--kubeconfig", str(kubeconfig or self.source.kubeconfig)] if cluster or kubeconfig else []
        code = run(["volumes", words[0], "-c", str(self.config(**section)), *where, *words[1:]])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def data(self, *words: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Run it with `-o json`; return its exit code and the result."""
        code, out, err = self.cli(*words, "-o", "json", **more)
        assert out, err
        return code, json.loads(out)

    def restic(self, *words: str, cwd: Path | None = None, stdin: bytes = b"") -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "RESTIC_PASSWORD": PASSWORD}
        command = ["restic", "--repo", str(self.repository), "--no-cache", "--quiet", *words]
        done = subprocess.run(command, cwd=cwd, input=stdin, env=environment, check=True, capture_output=True)
        return done.stdout.decode()

    def snapshot(
        self, content: str, *, days: float = 0.0, name: str = "data", manifest: bool = True, host: str = "prod"
    ) -> Snapshot:
        """Make a snapshot as a mover does, so many days ago, and what lists its files."""
        volume = self.folder / f"volume-{name}"
        volume.mkdir(exist_ok=True)
        (volume / "file").write_text(content)
        time = NOW - timedelta(days=days)
        labels = ["--host", host, "--time", f"{time:%Y-%m-%d %H:%M:%S}"]
        for tag in (f"pvc=shop/{name}", "run=1"):
            labels += ["--tag", tag]
        self.restic("backup", ".", *labels, cwd=volume)
        made = self._newest()
        listing = ""
        if manifest:
            words = ("backup", "--stdin", "--stdin-filename", "manifest.jsonl", *labels)
            self.restic(*words, "--tag", f"manifest-of={made['id']}", stdin=_listing(volume))
            listing = self._newest()["id"]
        return Snapshot(
            id=made["id"],
            tree=made["tree"],
            manifest=listing,
            host=host,
            state=State.COMPLETE,
            start=time,
            end=time,
            files=1,
            bytes=len(content),
        )

    def _newest(self) -> dict[str, Any]:
        """Return the one snapshot that was not there before."""
        (made,) = (one for one in json.loads(self.restic("snapshots", "--json")) if one["id"] not in self.known)
        self.known.add(made["id"])
        return dict(made)

    @property
    def id(self) -> str:
        found: str = json.loads(self.restic("cat", "config"))["id"]
        return found

    def export(self, snapshot: Snapshot | None, *, attempt: Attempt | None = None, name: str = "data") -> None:
        """Leave a record on the claim, and export."""
        note(self.source, Record(repository=self.id, snapshot=snapshot, attempt=attempt), name=name)
        assert self.recovery.export(self.source).exit_code is ExitCode.DONE

    def known_verdict(self) -> tuple[str, int, str]:
        """Return what `dr-syncer status` knows of verifications: the last verdict, the share read, and what is damaged.

        No service runs here.
        """
        self.capsys.readouterr()
        words = ["-c", str(self.config()), "--source-kubeconfig", str(self.source.kubeconfig), "-o", "json"]
        run(["status", *words])
        exporter = json.loads(self.capsys.readouterr().out)["exporter"]
        assert exporter["status"] is None
        known = exporter["verification"]
        return known["verdict"], known["read"], (known["damage"] or {"text": ""})["text"]

    def stored(self) -> set[str]:
        return {one["id"] for one in json.loads(self.restic("snapshots", "--json"))}


WHO = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
KEEP_LITTLE = {"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0, "recoveryPointDays": 0}


@pytest.fixture
def keeping(
    clean_source: ControlPlane,
    recovery: Recovery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Keeping:
    monkeypatch.setenv("PATH", f"{find('restic').parent}{os.pathsep}{os.environ['PATH']}")
    clean_source.apply([namespace("shop"), pvc()])
    clean_source.settle()
    return Keeping(clean_source, recovery, tmp_path, capsys)


@pytest.fixture
def kept(keeping: Keeping) -> Keeping:
    """With a restic repository."""
    keeping.restic("init")
    make_cheap(keeping.repository, PASSWORD)
    return keeping


def test_a_repository_is_made_once_and_found_from_then_on(keeping: Keeping) -> None:
    code, made = keeping.data("init")
    assert (code, made["created"], made["repository"]) == (ExitCode.DONE, True, keeping.id)
    before = sorted(keeping.repository.rglob("*"))

    code, again = keeping.data("init")
    assert (code, again["created"], again["repository"]) == (ExitCode.DONE, False, made["repository"])
    assert sorted(keeping.repository.rglob("*")) == before


def test_nothing_is_made_over_what_cannot_be_opened(kept: Keeping) -> None:
    code, _, said = kept.cli("init", password="another one")
    assert (code, "wrong password" in said) == (ExitCode.FAILED, True)

    (kept.repository / "config").rename(kept.folder / "config")
    code, _, said = kept.cli("init")
    assert (code, "not empty either" in said) == (ExitCode.REFUSED, True)
    assert not (kept.repository / "config").exists()


def test_who_waits_for_a_repository_that_does_not_answer_is_told_for_what(keeping: Keeping) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and nobody listens
        config = keeping.config()
        away = f"rest:http://127.0.0.1:{silent.getsockname()[1]}/"
        config.write_text(config.read_text().replace(str(keeping.repository), away))
        command = [sys.executable, "-m", "cli.main", "volumes", "init", "-c", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            first = process.stderr.readline()
            process.terminate()

    assert "the repository did not answer, trying again" in first
    assert "connection refused" in first


def test_list_shows_what_is_there_and_ends_in_3_when_it_is_not(kept: Keeping) -> None:
    kept.export(kept.snapshot("one"))
    code, out, _ = kept.cli("list")
    assert code == ExitCode.DONE, out
    assert "shop/data" in out
    assert "yes" in out
    assert max(map(len, out.splitlines())) <= 80

    code, found = kept.data("list")
    (volume,) = found["volumes"]
    assert (volume["claim"], volume["stored"], volume["problems"]) == ("shop/data", True, [])
    assert 0 <= volume["rpoSeconds"] < 3600

    kept.restic("forget", volume["snapshot"])
    code, found = kept.data("list")
    (volume,) = found["volumes"]
    assert (code, volume["stored"], volume["rpoSeconds"]) == (ExitCode.PARTIAL, False, None)
    code, found = kept.data("list", "--offline")
    assert (code, found["volumes"][0]["stored"], found["resticAsked"]) == (ExitCode.DONE, None, False)


def test_list_shows_what_the_importer_is_pinned_to_and_says_so(kept: Keeping) -> None:
    old, new = kept.snapshot("one", days=3), kept.snapshot("two")
    kept.export(old)
    kept.recovery.git("tag", "v1.0.0", "main")
    pinned = kept.recovery.git("rev-parse", "main")
    kept.export(new)

    def shown(*words: str, **revision: str) -> tuple[str, str, str]:
        kept.recovery.importer = {"revision": revision}
        _, found = kept.data("list", "--offline", *words)
        return found["volumes"][0]["snapshot"], found["chosenBy"], " ".join(found["warnings"])

    assert shown() == (new.id, "newest", "")
    for revision in ({"tag": "v1.0.0"}, {"semver": ">=1.0"}, {"commit": pinned}):
        snapshot, by, said = shown(**revision)
        assert (snapshot, by) == (old.id, f"importer.revision: {next(iter(revision.values()))}")
        assert "`--revision main` shows it" in said
    assert shown("--revision", "main", tag="v1.0.0") == (new.id, "--revision", "")
    out = kept.cli("list", "--offline")[1]
    assert "(importer.revision: v1.0.0)" in out.replace("\n", " ")


def test_list_complains_of_what_is_old_and_of_what_was_never_backed_up(kept: Keeping) -> None:
    kept.source.apply([pvc("logs"), pvc("cache", **{"dr-syncer.io/backup": "false"})])
    kept.export(kept.snapshot("one", days=3))
    code, found = kept.data("list", maxAge="2d")
    assert code == ExitCode.PARTIAL
    assert [(one["claim"], one["problems"]) for one in found["volumes"]] == [
        ("shop/data", ["its newest whole snapshot is 3 days old; volumes.maxAge is 2 days"]),
        ("shop/logs", ["was never backed up"]),
    ]
    code, _ = kept.data("list", maxAge="4d", select={"exclude": [{"names": ["logs"]}]})
    assert code == ExitCode.DONE


def test_list_says_what_is_wrong_with_the_repository(kept: Keeping) -> None:
    kept.export(kept.snapshot("one"))
    code, _, said = kept.cli("list", password="another one")
    assert (code, "wrong password" in said) == (ExitCode.FAILED, True)
    kept.repository.rename(kept.folder / "elsewhere")
    code, _, said = kept.cli("list")
    assert (code, "volumes init" in said) == (ExitCode.FAILED, True)
    assert not kept.repository.exists()


def test_prune_forgets_what_nothing_needs_and_never_what_a_kept_recovery_point_names(kept: Keeping) -> None:
    old, tagged, before, newest = (kept.snapshot(f"{age}", days=age) for age in (90, 60, 30, 1))
    partial = kept.snapshot("half", days=20, manifest=False)
    foreign = kept.snapshot("theirs", days=900, host="elsewhere")
    for one in (old, tagged, before):
        kept.export(one)
        if one is tagged:
            kept.recovery.git("tag", "before-upgrade", "main")
    kept.export(newest)
    stored = kept.stored()

    policy = {**KEEP_LITTLE, "recoveryPoints": 1}
    code, planned = kept.data("prune", "--dry-run", cluster=True, retention=policy)
    assert code == ExitCode.DONE
    assert kept.stored() == stored
    code, done = kept.data("prune", cluster=True, retention=policy)

    gone = {old.id, old.manifest, before.id, before.manifest, partial.id}
    assert code == ExitCode.DONE
    assert {one["snapshot"] for one in done["forgotten"]} == gone
    assert [one["snapshot"] for one in planned["forgotten"]] == [one["snapshot"] for one in done["forgotten"]]
    assert kept.stored() == stored - gone
    assert foreign.id in kept.stored()
    kept.restic("check", "--read-data")
    code, again = kept.data("prune", cluster=True, retention=policy)
    assert (code, again["forgotten"]) == (ExitCode.DONE, [])


def test_prune_forgets_nothing_of_a_volume_that_came_out_empty_whatever_came_after(kept: Keeping) -> None:
    first, second = kept.snapshot("one", days=9), kept.snapshot("two", days=8)
    kept.export(first)
    record: Record | None = Record(repository=kept.id, snapshot=second)
    for state, reason in ((State.EMPTY, Reason.EMPTY), (State.FAILED, Reason.UNREACHABLE)):
        ended = datetime.now(UTC)
        record = remember(record, Result(state=state, start=ended, end=ended, reason=reason, message="so"), now=ended)
        note(kept.source, record)
        assert kept.recovery.export(kept.source).exit_code is ExitCode.DONE
    stored = kept.stored()

    code, out, _ = kept.cli("prune", cluster=True, retention={**KEEP_LITTLE, "recoveryPoints": 1})
    _, listed, _ = kept.cli("list")

    assert code == ExitCode.PARTIAL
    assert "nothing of it is forgotten" in listed
    assert "shop/data: nothing is forgotten: its backup of" in out
    assert "Empty: nobody confirmed that" in out
    assert kept.stored() == stored


def test_prune_forgets_nothing_while_git_is_not_understood(kept: Keeping) -> None:
    kept.export(kept.snapshot("one", days=9))
    kept.export(kept.snapshot("two", days=1))
    stored = kept.stored()
    policy = {**KEEP_LITTLE, "recoveryPoints": 5}

    kept.recovery.commit({"volumes/shop/data.yaml": "kind: VolumeRecord\nversion: 2\n"})
    code, _, said = kept.cli("prune", cluster=True, retention=policy)
    assert (code, "cannot be read" in said) == (ExitCode.REFUSED, True)

    kept.recovery.remote.rename(kept.folder / "away")
    code, _, said = kept.cli("prune", cluster=True, retention=policy)
    assert code == ExitCode.FAILED, said
    assert kept.stored() == stored


def test_prune_waits_for_an_exporter_that_has_not_been_heard_of_for_long(kept: Keeping) -> None:
    old, new = kept.snapshot("one", days=9), kept.snapshot("two", days=1)
    kept.export(old)
    kept.export(new)
    stored, policy = kept.stored(), {**KEEP_LITTLE, "recoveryPoints": 1}

    def beats(days: float) -> None:
        time = datetime.now(UTC) - timedelta(days=days)
        told = heartbeat.emit(Heartbeat(time, kept.recovery.head(), True, "uid"))
        made = kept.recovery.git(*WHO, "commit-tree", "-m", told, "main^{tree}").strip()
        kept.recovery.git("update-ref", heartbeat.REF, made)

    # Backups go on meanwhile, and one of them may have found a volume empty: its claim alone says so.
    beats(1.1)
    code, _, said = kept.cli("prune", cluster=True, retention=policy)
    assert (code, "what Git knows of volumes may be behind" in said) == (ExitCode.REFUSED, True), said
    assert kept.stored() == stored
    code, planned = kept.data("prune", "--dry-run", cluster=True, retention=policy)
    assert (code, {one["snapshot"] for one in planned["forgotten"]}) == (ExitCode.DONE, {old.id, old.manifest})
    assert "a prune is refused" in planned["warnings"][0]
    assert kept.cli("verify", cluster=True)[0] == ExitCode.DONE

    beats(0.5)
    code, done = kept.data("prune", cluster=True, retention=policy)
    assert (code, {one["snapshot"] for one in done["forgotten"]}) == (ExitCode.DONE, {old.id, old.manifest})


def test_prune_goes_by_no_other_history_than_the_last_one_until_somebody_means_it(kept: Keeping) -> None:
    old, new = kept.snapshot("one", days=9), kept.snapshot("two", days=1)
    kept.export(old)
    kept.export(new)

    def prune(*words: str, days: int = 90) -> tuple[int, str]:
        shutil.rmtree(kept.recovery.folder / "cache")  # as in a pod: nobody remembers the branch
        policy = {**KEEP_LITTLE, "recoveryPoints": 1, "recoveryPointDays": days}
        code, _, said = kept.cli("prune", *words, cluster=True, retention=policy)
        return code, " ".join(said.split())

    assert prune("--dry-run")[0] == ExitCode.DONE
    assert prune()[0] == ExitCode.DONE
    kept.recovery.commit({"README.md": "of somebody else"})
    third = kept.snapshot("three", days=0.5)
    kept.export(third)
    stored = kept.stored()
    assert prune()[0] == ExitCode.DONE, "the branch went on"
    assert kept.stored() == stored

    squashed = kept.recovery.git(*WHO, "commit-tree", "-m", "squashed", "main^{tree}").strip()
    kept.recovery.git("update-ref", "refs/heads/main", squashed)
    kept.export(kept.snapshot("four"))
    code, said = prune("--dry-run", days=0)
    assert (code, "the branch was rewritten" in said) == (ExitCode.DONE, True), said
    for _ in range(2):
        code, said = prune(days=0)
        assert (code, "the branch was rewritten, or is another one" in said) == (ExitCode.REFUSED, True), said
    assert stored < kept.stored()

    assert prune("--rewritten", days=0)[0] == ExitCode.DONE
    assert stored - kept.stored() == {old.id, old.manifest, third.id, third.manifest}, "the second is too young"
    assert prune(days=0)[0] == ExitCode.DONE


def test_prune_and_verify_work_with_a_git_key_that_cannot_push(kept: Keeping, https_remote: HttpsRemote) -> None:
    first, second = kept.snapshot("one", days=9), kept.snapshot("two", days=1)
    kept.export(first)
    kept.export(second)
    kept.recovery.git("push", "--quiet", "--mirror", str(https_remote.path))
    git("-C", https_remote.path, "config", "http.receivepack", "false")
    token = kept.folder / "token"
    token.write_text(https_remote.token)
    (kept.folder / "user").write_text(https_remote.user)
    auth = {"tokenFile": str(token), "usernameFile": str(kept.folder / "user"), "caFile": str(https_remote.ca_file)}
    kept.recovery.repository = {"url": https_remote.url, "auth": auth}
    url = https_remote.url_with_credentials
    with pytest.raises(RuntimeError, match="403"):
        git("-C", kept.recovery.remote, "push", url, "main:refs/heads/other", env=https_remote.git_env)
    before = len(https_remote.requests)

    assert kept.cli("verify", cluster=True)[0] == ExitCode.DONE
    code, done = kept.data("prune", cluster=True, retention={**KEEP_LITTLE, "recoveryPoints": 1})

    assert (code, {one["snapshot"] for one in done["forgotten"]}) == (ExitCode.DONE, {first.id, first.manifest})
    asked = https_remote.requests[before:]
    assert asked
    assert [one.path for one in asked if "receive-pack" in one.path] == []


def test_prune_removes_the_lock_of_a_dead_mover_and_waits_for_a_living_one(
    kept: Keeping, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    kept.export(kept.snapshot("one"))
    _lock(kept, "dr-syncer-backup-data-0123456789-abcde")
    # A lock is nobody's only when the API server says so: without its answer, it stays.
    proxy = fault_proxy(kept.source)
    proxy.status(403, method="GET", path=r"^/api/v1/pods", times=None)
    code, _, said = kept.cli("verify", "--compare", "0", kubeconfig=proxy.kubeconfig)
    assert (code, "look for pod" in said) == (ExitCode.FAILED, True), said
    assert len(_locks(kept)) == 1
    # Nor while it may be of another cluster, which may be at its first backup.
    code, _, said = kept.cli("prune", cluster=True)
    assert (code, "another cluster" in said) == (ExitCode.FAILED, True), said
    assert len(_locks(kept)) == 1
    kept.restic("unlock", "--remove-all")
    _old_lock(kept, "dr-syncer-backup-data-0123456789-abcde")
    assert kept.cli("verify", "--compare", "0", cluster=True)[0] == ExitCode.DONE
    assert _locks(kept) == set()
    _old_lock(kept, "dr-syncer-backup-data-0123456789-abcde")
    code, done = kept.data("prune", cluster=True)
    assert code == ExitCode.DONE
    assert len(done["unlocked"]) == 1

    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "dr-syncer-backup-data-0123456789-fghij", "namespace": "shop"},
        "spec": {"containers": [{"name": "mover", "image": "none"}], "nodeName": "nowhere"},
    }
    kept.source.apply([pod])
    _old_lock(kept, "dr-syncer-backup-data-0123456789-fghij")
    code, _, said = kept.cli("prune", cluster=True)
    assert (code, "lock" in said) == (ExitCode.FAILED, True)
    assert len(_locks(kept)) == 1


def test_verify_finds_damaged_data_and_missing_snapshots(kept: Keeping) -> None:
    first = kept.snapshot("one" * 100_000)
    kept.export(first)
    code, found = kept.data("verify", "--read-data", "100%", cluster=True)
    assert (code, found["errors"], found["named"]) == (ExitCode.DONE, [], 2)
    assert [(one["snapshot"], one["entries"], one["differences"]) for one in found["compared"]] == [(first.id, 1, [])]

    assert kept.known_verdict() == ("whole", 100, "")

    kept.restic("forget", first.manifest)
    code, found = kept.data("verify", cluster=True)
    assert (code, found["missing"]) == (ExitCode.FAILED, {"shop/data": [first.manifest]})
    assert found["unlisted"] == {"shop/data": [first.id]}

    pack = max((kept.repository / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[len(content) // 3] ^= 0xFF
    pack.write_bytes(content)
    code, found = kept.data("verify", "--read-data", "100%", cluster=True)
    assert code == ExitCode.FAILED
    assert any(pack.name in error for error in found["errors"]), found["errors"]
    told = [event for event in kept.source.list("/api/v1/events") if event["reason"] == "BackupsDamaged"]
    assert [event["type"] for event in told] == ["Warning"] * 2  # of the missing list, and of this
    assert all("shop/data" in event["message"] for event in told)
    assert any(pack.name in event["message"] for event in told)
    verdict, read, damage = kept.known_verdict()
    assert (verdict, read, pack.name in damage) == ("damaged", 100, True)

    kept.cli("verify", cluster=True, password="another one")
    assert kept.known_verdict() == ("failed", 100, damage)


def test_verify_finds_that_a_snapshot_is_not_what_the_source_had(kept: Keeping) -> None:
    volume = kept.folder / "volume-data"
    volume.mkdir()
    (volume / "odd\udcff\nname").write_text("x")
    (volume / "folder").mkdir()
    (volume / "folder" / "link").symlink_to("../file")
    kept.export(kept.snapshot("one"))
    code, found = kept.data("verify", "--compare", "all", cluster=True)
    assert (code, found["compared"][0]["differences"]) == (ExitCode.DONE, []), found

    # The list of one snapshot with the data of another: as if restic had lost and mixed up files.
    second = kept.snapshot("two", manifest=False)
    words = ("backup", "--stdin", "--stdin-filename", "manifest.jsonl", "--host", "prod", "--tag", "pvc=shop/data")
    (volume / "file").write_text("three")
    (volume / "lost").write_text("")
    kept.restic(*words, "--tag", "run=1", "--tag", f"manifest-of={second.id}", stdin=_listing(volume))
    kept.export(second)
    code, out, _ = kept.cli("verify", "--compare", "all", cluster=True)
    assert code == ExitCode.FAILED
    assert f"shop/data, {second.id[:8]}: file: size: expected 5 bytes, found 3 bytes" in out
    assert f"shop/data, {second.id[:8]}: lost: missing" in out


def _listing(root: Path) -> bytes:
    """Return the manifest of a folder."""
    paper = io.BytesIO()
    writer = Writer(paper, content=True, start=0)
    _, found = entries(root, content=True, missed=lambda path, error: pytest.fail(str(error)))
    for entry in found:
        writer.add(entry)
    writer.close()
    return paper.getvalue()


def _lock(kept: Keeping, hostname: str) -> None:
    """Leave a lock in the repository as a restic that was killed in a pod of this name does."""
    command = as_host(hostname, "restic backup --stdin --stdin-filename x --host other")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(kept.folder),
        "RESTIC_PASSWORD": PASSWORD,
        "RESTIC_REPOSITORY": str(kept.repository),
    }
    before = _locks(kept)
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        kept.source.wait_for(lambda: _locks(kept) - before, what="the lock")
        os.killpg(process.pid, 9)


def _old_lock(kept: Keeping, hostname: str) -> None:
    """Leave a lock as it is once a restic that was killed in a pod of this name has not refreshed it for long."""
    add_lock(kept.repository, PASSWORD, hostname=hostname, age=timedelta(minutes=31))


def _locks(kept: Keeping) -> set[str]:
    """Return the names of the locks; a file that is being written has a longer one."""
    return {path.name for path in (kept.repository / "locks").iterdir() if len(path.name) == 64}
