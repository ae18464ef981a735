"""A mover as a process: what it says after whatever can happen to a backup or a restore, and that it never lies.

"Whole" is what a recovery point may name: exit code 0 and the state Complete or Unchanged.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from tests.cluster.git_servers import SshRemote, key_pair, why_no_sshd
from tests.cluster.restic_servers import RestServer, S3Server
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.cluster.tools import find
from tests.integration.movers import VOLUME, Backend, Mover, Ran, fill, portrait, wait_until
from volumes.result import MOST_BYTES, Reason
from volumes.task import Access

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which takes root")
QUICKLY = ("--patience", "2")
SLOWLY = 100  # KiB/s: a backup of a megabyte takes ten seconds


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository to be copied: making one takes restic seconds."""
    folder = tmp_path_factory.mktemp("repository")
    Mover(folder / "movers", Backend(repository=str(folder / "r"), folder=folder / "r")).init()
    return folder / "r"


@pytest.fixture
def path_backend(tmp_path: Path) -> Backend:
    return Backend(repository=str(tmp_path / "repository"), folder=tmp_path / "repository")


@pytest.fixture
def mover(tmp_path: Path, path_backend: Backend, empty_repository: Path) -> Mover:
    """Movers for a new repository in a folder."""
    shutil.copytree(empty_repository, path_backend.folder)
    return Mover(tmp_path / "movers", path_backend)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with data."""
    (tmp_path / "volume").mkdir()
    return fill(tmp_path / "volume")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Another, empty volume."""
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@contextmanager
def backend(kind: str, folder: Path) -> Iterator[Backend]:
    """A backend of each kind that is tried for real."""
    if kind == "path":
        yield Backend(repository=str(folder / "r"), folder=folder / "r")
    elif kind == "sftp":
        if reason := why_no_sshd():
            pytest.skip(reason)
        with SshRemote(folder / "ssh") as remote:
            place = folder / "r"
            yield Backend(
                repository=f"sftp://{remote.user}@127.0.0.1:{remote.port}/{place}",
                folder=place,
                ssh_key=remote.key_file,
                known_hosts=remote.known_hosts_file,
            )
    elif kind == "s3":
        with S3Server(folder / "s3") as s3:
            yield Backend(repository=s3.url("r"), folder=s3.bucket / "r", environment=s3.environment)
    else:
        with RestServer(folder / "rest", append_only=kind == "rest, append-only") as server:
            yield Backend(
                repository=server.url("r"),
                folder=server.root / "r",
                environment=server.environment,
                ca_file=server.ca_file,
            )


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def assert_not_whole(ran: Ran, state: State, reason: Reason, *, code: int) -> None:
    """Nothing of this result can be taken for a backup or a restore that succeeded."""
    assert (ran.state, ran.reason) == (state, reason), ran.result
    assert ran.code == code != 0
    assert not ran.state.whole
    assert ran.result.message


def assert_no_backup(ran: Ran, state: State, reason: Reason, *, code: int) -> None:
    """As `assert_not_whole`, and no recovery point can name what it made."""
    assert_not_whole(ran, state, reason, code=code)
    assert ran.result.snapshot is None or not ran.result.snapshot.state.whole


def port_of(place: Backend) -> int:
    """The port of a rest-server."""
    return urlsplit(place.repository.removeprefix("rest:")).port or 0


def through_port(place: Backend, port: int) -> str:
    """The repository through another port."""
    return place.repository.replace(f":{port_of(place)}/", f":{port}/")


# --- there and back


@pytest.mark.parametrize("kind", ["path", "sftp", "rest", "rest, append-only", "s3"])
def test_a_volume_goes_there_and_comes_back(kind: str, tmp_path: Path, volume: Path, target: Path) -> None:
    with backend(kind, tmp_path / "backend") as place:
        mover = Mover(tmp_path / "movers", place)
        mover.init()

        first = mover.backup(volume)
        second = mover.backup(volume, previous=first.snapshot, repository_id=first.result.repository)
        back = mover.restore(first.snapshot, target)

        assert (first.code, first.state) == (0, State.COMPLETE), first.log
        assert (second.code, second.state) == (0, State.UNCHANGED), second.log
        assert second.snapshot.tree == first.snapshot.tree
        assert second.snapshot.id != first.snapshot.id
        assert second.result.bytes_added < first.result.bytes_added
        assert (back.code, back.state) == (0, State.COMPLETE), back.log
        assert back.result.verified == "all"
        assert portrait(target) == portrait(volume)
        assert mover.locks() == []
        for ran in (first, second, back):
            assert len(ran.left) <= MOST_BYTES
            for secret in place.secrets:
                assert secret not in ran.log
                assert secret.encode() not in ran.left


def test_a_result_says_what_was_made(mover: Mover, volume: Path) -> None:
    done = mover.backup(volume)

    (made,) = mover.snapshots()
    assert (done.snapshot.id, done.snapshot.tree) == (made["id"], made["tree"])
    assert made["hostname"] == done.snapshot.host == "prod"
    assert set(made["tags"]) == {"pvc=shop/uploads", "run=11111111-2222-3333-4444-555555555555"}
    assert done.snapshot.files == 6
    assert done.snapshot.bytes > 5_000_000
    assert done.snapshot.start <= done.snapshot.end
    (listed,) = mover.manifests()
    assert listed["id"] == done.snapshot.manifest
    assert {f"manifest-of={made['id']}", "state=Complete"} < set(listed["tags"])
    assert done.result.repository == mover.repository_id


def test_what_the_file_system_made_is_no_data_of_the_volume(mover: Mover, volume: Path, target: Path) -> None:
    for folder in (volume, target):
        (folder / "lost+found").mkdir()
        (folder / "lost+found" / "#12").write_text("a fragment")
    (volume / "deep" / "lost+found").mkdir()
    (volume / "deep" / "lost+found" / "mine").write_text("data")

    mover.restore(mover.backup(volume).snapshot, target)

    assert (target / "lost+found" / "#12").exists()
    assert (target / "deep" / "lost+found" / "mine").read_text() == "data"
    assert portrait(target).keys() == portrait(volume).keys()


# --- backups that are not whole


def test_a_wrong_password_is_said(mover: Mover, volume: Path) -> None:
    wrong = Mover(mover.folder, replace(mover.backend, password="not the password"))

    done = wrong.backup(volume)

    assert_no_backup(done, State.FAILED, Reason.WRONG_PASSWORD, code=1)
    assert "not the password" not in done.log


def test_a_missing_repository_is_said_and_not_made(tmp_path: Path, path_backend: Backend, volume: Path) -> None:
    done = Mover(tmp_path / "movers", path_backend).backup(volume)

    assert_no_backup(done, State.FAILED, Reason.NO_REPOSITORY, code=1)
    assert "dr-syncer volumes init" in done.result.message
    assert not path_backend.folder.exists()


def test_another_repository_at_the_same_place_is_no_fresh_start(mover: Mover, volume: Path) -> None:
    done = mover.backup(volume, repository_id="0" * 64)

    assert_no_backup(done, State.FAILED, Reason.OTHER_REPOSITORY, code=1)
    assert mover.snapshots() == []


def test_a_live_lock_is_said(mover: Mover, volume: Path) -> None:
    mover.backup(volume)
    command = [find("restic"), "check", "--read-data", "--limit-download", "10"]
    with subprocess.Popen(command, env=mover.environment, stdout=subprocess.DEVNULL) as somebody:
        try:
            wait_until(mover.locks, what="lock")
            done = mover.backup(volume)
        finally:
            somebody.kill()

    assert_no_backup(done, State.LOCKED, Reason.LOCKED, code=1)
    assert len(mover.snapshots()) == 1


def test_an_unreachable_backend_is_said(tmp_path: Path, volume: Path) -> None:
    nobody = Backend(repository="rest:https://127.0.0.1:9/r/", folder=tmp_path / "r")

    done = Mover(tmp_path / "movers", nobody).backup(volume, options=QUICKLY)

    assert_no_backup(done, State.FAILED, Reason.UNREACHABLE, code=1)
    assert "connection refused" in done.result.message


def test_a_backend_that_does_not_know_us_is_said(tmp_path: Path, volume: Path) -> None:
    with backend("rest", tmp_path / "backend") as place:
        Mover(tmp_path / "movers", place).init()
        stranger = replace(place, environment={**place.environment, "RESTIC_REST_PASSWORD": "not-the-login"})

        done = Mover(tmp_path / "movers", stranger).backup(volume, options=QUICKLY)

    assert_no_backup(done, State.FAILED, Reason.DENIED, code=1)
    assert "not-the-login" not in done.log


def test_an_s3_that_does_not_know_us_or_has_no_bucket_is_said(tmp_path: Path, volume: Path) -> None:
    with backend("s3", tmp_path / "backend") as place:
        keys = {**place.environment, "AWS_SECRET_ACCESS_KEY": "not-the-secret-access-key"}
        elsewhere = place.repository.replace("/recovery/", "/nowhere/")

        stranger = Mover(tmp_path / "movers", replace(place, environment=keys)).backup(volume, options=QUICKLY)
        nowhere = Mover(tmp_path / "movers", replace(place, repository=elsewhere)).backup(volume, options=QUICKLY)

    assert_no_backup(stranger, State.FAILED, Reason.DENIED, code=1)
    assert "not-the-secret-access-key" not in stranger.log
    assert_no_backup(nowhere, State.FAILED, Reason.NO_REPOSITORY, code=1)


def test_a_host_that_ssh_does_not_know_or_that_does_not_know_us_is_said(tmp_path: Path, volume: Path) -> None:
    with backend("sftp", tmp_path / "backend") as place:
        (tmp_path / "other-hosts").write_text("other.example.com ssh-ed25519 AAAA\n")
        key, _ = key_pair(tmp_path / "other-key")

        unknown = Mover(tmp_path / "movers", replace(place, known_hosts=tmp_path / "other-hosts"))
        stranger = Mover(tmp_path / "movers", replace(place, ssh_key=key))
        first, second = (one.backup(volume, options=QUICKLY) for one in (unknown, stranger))

    assert_no_backup(first, State.FAILED, Reason.UNREACHABLE, code=1)
    assert "volumes.restic.auth.knownHostsFile" in first.result.message
    assert_no_backup(second, State.FAILED, Reason.DENIED, code=1)


def test_a_backend_with_a_certificate_of_nobody_is_said(tmp_path: Path, volume: Path) -> None:
    with backend("rest", tmp_path / "backend") as place:
        done = Mover(tmp_path / "movers", replace(place, ca_file=None)).backup(volume, options=QUICKLY)

    assert_no_backup(done, State.FAILED, Reason.UNREACHABLE, code=1)
    assert "volumes.restic.auth.caFile" in done.result.message


def test_a_backend_that_is_cut_off_in_the_middle_gives_no_snapshot(tmp_path: Path, volume: Path) -> None:
    with backend("rest", tmp_path / "backend") as place, TcpFaultProxy(port_of(place)) as proxy:
        mover = Mover(tmp_path / "movers", place)
        mover.init()
        through = Mover(tmp_path / "movers", replace(place, repository=through_port(place, proxy.port)))
        proxy.cut(after=100_000, direction="up", times=None)

        done = through.backup(volume, options=QUICKLY)

        assert_no_backup(done, State.FAILED, Reason.UNREACHABLE, code=1)
        assert mover.snapshots() == []


def test_a_connection_that_is_cut_once_does_no_harm(tmp_path: Path, volume: Path, target: Path) -> None:
    with backend("rest", tmp_path / "backend") as place, TcpFaultProxy(port_of(place)) as proxy:
        mover = Mover(tmp_path / "movers", place)
        mover.init()
        through = Mover(tmp_path / "movers", replace(place, repository=through_port(place, proxy.port)))
        fault = proxy.cut(after=100_000, direction="up", times=2)  # the first question sends less

        done = through.backup(volume)

        assert (done.code, done.state) == (0, State.COMPLETE)
        assert fault.hits == 2
        mover.restore(done.snapshot, target)
        assert portrait(target) == portrait(volume)


@needs_root
@pytest.mark.parametrize("kind", ["path", "rest"])
def test_a_full_repository_is_said(kind: str, tmp_path: Path, volume: Path) -> None:
    (volume / "large").write_bytes(os.urandom(3_000_000))
    with small_disk(tmp_path / "disk", megabytes=2) as disk, backend_on(kind, tmp_path, disk) as place:
        mover = Mover(tmp_path / "movers", place)
        mover.init()

        done = mover.backup(volume, options=QUICKLY)

        assert_no_backup(done, State.FAILED, Reason.DISK_FULL, code=1)
        assert mover.snapshots() == []


@contextmanager
def backend_on(kind: str, folder: Path, disk: Path) -> Iterator[Backend]:
    """A backend whose files are on this disk."""
    if kind == "path":
        yield Backend(repository=str(disk / "r"), folder=disk / "r")
        return
    with RestServer(folder / "rest", root=disk) as server:
        yield Backend(
            repository=server.url("r"),
            folder=server.root / "r",
            environment=server.environment,
            ca_file=server.ca_file,
        )


def test_files_that_could_not_be_read_make_it_partial_and_are_named(mover: Mover, volume: Path) -> None:
    (volume / "deep" / "private").write_text("x")
    (volume / "deep" / "private").chmod(0)
    (volume / "closed").mkdir(mode=0)
    os.chown(volume / "app.conf", os.geteuid(), -1)

    done = mover.backup(volume, before=WITHOUT_CAPABILITIES)

    assert_no_backup(done, State.PARTIAL, Reason.UNREADABLE, code=3)
    assert set(done.result.names) == {"deep/private", "closed"}
    assert done.snapshot.state is State.PARTIAL
    assert "permission denied" in done.result.message


# As in a pod without capabilities: what another user closed is closed, for root too.
WITHOUT_CAPABILITIES = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if os.geteuid() == 0
    else ()
)


def test_files_that_change_while_they_are_read_make_it_partial_and_are_named(mover: Mover, volume: Path) -> None:
    (volume / "large").write_bytes(os.urandom(1_000_000))
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            with (volume / "app.log").open("a") as stream:
                stream.write("one more line\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = mover.backup(volume)
    finally:
        stop.set()
        writer.join()

    assert_no_backup(done, State.PARTIAL, Reason.CHANGED, code=3)
    assert any(name.startswith("app.log (") for name in done.result.names)


def test_a_volume_that_is_not_there_is_said(mover: Mover, tmp_path: Path) -> None:
    done = mover.backup(tmp_path / "nowhere")

    assert_no_backup(done, State.FAILED, Reason.FAILED, code=1)
    assert "not mounted" in done.result.message


@pytest.mark.parametrize("had_data", [False, True])
def test_an_empty_volume_is_refused_until_somebody_confirms_it(
    had_data: bool, mover: Mover, volume: Path, target: Path
) -> None:
    previous = mover.backup(volume).snapshot if had_data else None
    (target / "lost+found").mkdir()

    refused = mover.backup(target, previous=previous)
    confirmed = mover.backup(target, previous=previous, confirmed=True)
    again = mover.backup(target, previous=confirmed.snapshot)

    assert_no_backup(refused, State.EMPTY, Reason.EMPTY, code=ExitCode.REFUSED)
    assert refused.result.snapshot is None
    for ran in (confirmed, again):
        assert (ran.code, ran.state, ran.reason) == (0, State.EMPTY, Reason.NONE)
        assert ran.snapshot.state is State.EMPTY
    assert len(mover.snapshots()) == had_data + 2
    # And what it restores is nothing.
    assert mover.restore(again.snapshot, volume).code == 0
    assert list(volume.iterdir()) == []


def test_a_volume_that_lost_most_of_its_data_is_refused_until_somebody_confirms_it(mover: Mover, volume: Path) -> None:
    previous = mover.backup(volume).snapshot
    for name in ("sparse", "deep"):
        path = volume / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    refused = mover.backup(volume, previous=previous)
    confirmed = mover.backup(volume, previous=previous, confirmed=True)

    assert_no_backup(refused, State.EMPTY, Reason.SHRUNK, code=ExitCode.REFUSED)
    assert "bytes" in refused.result.message
    assert (confirmed.code, confirmed.state) == (0, State.COMPLETE)


def test_a_snapshot_before_that_is_gone_or_another_one_is_no_parent(mover: Mover, volume: Path, target: Path) -> None:
    first = mover.backup(volume).snapshot
    (target / "x").write_text("another volume")
    other = mover.backup(target, volume=msgspec.structs.replace(VOLUME, name="other")).snapshot
    gone = msgspec.structs.replace(first, id="0" * 64)

    without = mover.backup(volume, previous=gone)
    foreign = mover.backup(volume, previous=msgspec.structs.replace(other, files=0, bytes=0))

    assert without.code == foreign.code == 0
    assert "not in the repository any more" in without.result.warnings[0]
    assert "is not what the record says" in foreign.result.warnings[0]


# --- stopped in the middle


def slow(mover: Mover) -> Access:
    """Access that makes a backup take so long that there is a middle."""
    return msgspec.structs.replace(mover.access, upload_limit=SLOWLY)


@pytest.fixture
def large(volume: Path) -> Path:
    """A volume that takes a while when it is backed up slowly."""
    (volume / "large").write_bytes(os.urandom(3_000_000))
    return volume


def test_a_mover_that_is_told_to_stop_leaves_a_result_and_no_lock(mover: Mover, large: Path) -> None:
    with mover.running(mover.backup_task(large, access=slow(mover))) as running:
        wait_until(mover.locks, what="lock")
        running.signal(signal.SIGTERM)
        done = running.wait()

    assert_no_backup(done, State.FAILED, Reason.INTERRUPTED, code=ExitCode.INTERRUPTED)
    assert mover.locks() == []
    assert mover.snapshots() == []


def test_a_mover_that_is_killed_leaves_no_result_and_nothing_that_hinders_the_next_one(
    mover: Mover, large: Path, target: Path
) -> None:
    with mover.running(mover.backup_task(large, access=slow(mover))) as running:
        wait_until(mover.locks, what="lock")
        running.kill()

    assert running.termination_log.read_bytes() == b""
    assert mover.snapshots() == []
    done = mover.backup(large)
    assert (done.code, done.state) == (0, State.COMPLETE)
    mover.restore(done.snapshot, target)
    assert portrait(target) == portrait(large)


def test_a_restic_that_is_killed_is_a_failure_and_its_lock_goes(mover: Mover, large: Path) -> None:
    with mover.running(mover.backup_task(large, access=slow(mover))) as running:
        wait_until(mover.locks, what="lock")
        for pid in running.children():
            os.kill(pid, signal.SIGKILL)
        done = running.wait()

    assert_no_backup(done, State.FAILED, Reason.FAILED, code=1)
    assert "killed by signal 9" in done.result.message
    assert mover.locks() == []


def test_a_restore_that_was_killed_goes_on_where_it_was(mover: Mover, large: Path, target: Path) -> None:
    snapshot = mover.backup(large).snapshot
    task = {"access": msgspec.structs.replace(mover.access, download_limit=SLOWLY)}
    with mover.running(mover.restore_task(snapshot, target, **task)) as running:
        wait_until(lambda: any(target.iterdir()), what="restored file")
        running.kill()
    assert running.termination_log.read_bytes() == b""

    done = mover.restore(snapshot, target)

    assert (done.code, done.state) == (0, State.COMPLETE)
    assert portrait(target) == portrait(large)


# --- restores


def test_a_restore_takes_away_what_the_snapshot_has_not(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    (target / "old").mkdir()
    (target / "old" / "file").write_text("x")
    (target / "app.conf").write_text("something else")

    mover.restore(snapshot, target)

    assert portrait(target) == portrait(volume)


@pytest.mark.parametrize("what", ["unknown", "abbreviated", "of another claim", "of another host", "with another tree"])
def test_a_snapshot_that_is_not_the_one_leaves_the_volume_untouched(
    what: str, mover: Mover, volume: Path, target: Path
) -> None:
    (target / "precious").write_text("x")
    snapshot, theirs = mover.backup(volume).snapshot, VOLUME
    if what == "unknown":
        snapshot = msgspec.structs.replace(snapshot, id="0" * 64)
    elif what == "abbreviated":
        snapshot = msgspec.structs.replace(snapshot, id=snapshot.id[:8])
    elif what == "of another claim":
        theirs = msgspec.structs.replace(VOLUME, name="other")
    elif what == "of another host":
        theirs = msgspec.structs.replace(VOLUME, host="staging")
    else:
        snapshot = msgspec.structs.replace(snapshot, tree="0" * 64)

    done = mover.restore(snapshot, target, volume=theirs)

    assert not done.touched
    unknown = what in ("unknown", "abbreviated")
    assert_not_whole(done, State.FAILED, Reason.NO_SNAPSHOT if unknown else Reason.OTHER_SNAPSHOT, code=1)
    assert [file.name for file in target.iterdir()] == ["precious"]


def test_a_restore_makes_no_repository(tmp_path: Path, mover: Mover, volume: Path, target: Path) -> None:
    snapshot, id_ = mover.backup(volume).snapshot, mover.repository_id
    shutil.rmtree(mover.backend.folder)

    done = mover.restore(snapshot, target, repository_id=id_)

    assert_not_whole(done, State.FAILED, Reason.NO_REPOSITORY, code=1)
    assert not mover.backend.folder.exists()
    assert list(target.iterdir()) == []


def test_a_damaged_repository_is_said_with_what_could_not_be_restored(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    largest = max((mover.backend.folder / "data").rglob("*"), key=lambda file: file.is_file() and file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[1000:60_000] = os.urandom(59_000)
    largest.chmod(0o600)
    largest.write_bytes(content)

    done = mover.restore(snapshot, target)

    assert_not_whole(done, State.PARTIAL, Reason.DAMAGED, code=3)
    assert "deep/er/data.bin" in done.result.names


@needs_root
def test_a_volume_that_is_too_small_is_refused_before_anything_is_written(
    mover: Mover, volume: Path, tmp_path: Path
) -> None:
    (volume / "large").write_bytes(os.urandom(3_000_000))
    snapshot = mover.backup(volume).snapshot
    with small_disk(tmp_path / "small", megabytes=2) as target:
        done = mover.restore(snapshot, target)

        assert_not_whole(done, State.FAILED, Reason.TARGET_FULL, code=1)
        assert not done.touched
        assert list(target.iterdir()) == []


@needs_root
def test_a_file_with_holes_fits_where_its_data_does(mover: Mover, volume: Path, tmp_path: Path) -> None:
    snapshot = mover.backup(volume).snapshot  # 5 MB, of which nearly all is a hole
    with small_disk(tmp_path / "small", megabytes=2) as target:
        done = mover.restore(snapshot, target)

        assert (done.code, done.state) == (0, State.COMPLETE), done.log
        assert portrait(target) == portrait(volume)


@pytest.mark.parametrize("path", ["deep/er", "deep/er/data.bin", "app.conf", "deep/link"])
def test_a_single_path_comes_back_and_nothing_else_changes(path: str, mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    (target / "mine").write_text("x")
    before = portrait(target)

    done = mover.restore(snapshot, target, path=path)

    assert (done.code, done.state) == (0, State.COMPLETE), done.log
    after, wanted = portrait(target), portrait(volume)
    inside = {name for name in wanted if name == f"/{path}".encode() or name.startswith(f"/{path}/".encode())}
    for name in inside:
        assert after[name][:5] == wanted[name][:5]
    assert {name: after[name] for name in before} == before
    # The folders above are as they were, too, but for their times.
    if path.startswith("deep/"):
        assert after[b"/deep"][:3] == wanted[b"/deep"][:3]


@pytest.mark.parametrize("path", ["nothing/here", "../outside", "link/x"])
def test_a_path_that_is_not_there_or_leads_out_is_refused(
    path: str, mover: Mover, volume: Path, target: Path, tmp_path: Path
) -> None:
    (volume / "link").mkdir()
    (volume / "link" / "x").write_text("x")
    snapshot = mover.backup(volume).snapshot
    (tmp_path / "elsewhere").mkdir()
    (target / "link").symlink_to(tmp_path / "elsewhere")

    done = mover.restore(snapshot, target, path=path)

    assert_not_whole(done, State.FAILED, Reason.NO_SNAPSHOT, code=1)
    assert not done.touched
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [file.name for file in target.iterdir()] == ["link"]


@pytest.mark.parametrize("verify", ["metadata", "all"])
def test_a_restore_that_is_not_what_the_manifest_says_is_partial(
    verify: str, mover: Mover, volume: Path, target: Path
) -> None:
    snapshot = mover.backup(volume).snapshot
    (volume / "app.conf").chmod(0o600)
    (volume / "more").write_text("x")
    later = mover.backup(volume).snapshot
    # The manifest of another state than that of the data: as if restic had not given back what it read.
    forged = mover.forge_manifest(of=snapshot, like=later)

    done = mover.restore(msgspec.structs.replace(snapshot, manifest=forged), target, verify=verify)

    assert_not_whole(done, State.PARTIAL, Reason.DIFFERS, code=3)
    assert done.touched
    assert "app.conf: mode: expected 0600, found 0640" in done.result.names
    assert "more: missing" in done.result.names


def test_a_restore_that_cannot_be_compared_is_not_called_complete(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    mover.restic("forget", snapshot.manifest)

    done = mover.restore(snapshot, target)
    unasked = mover.restore(snapshot, target, verify="none")

    assert_not_whole(done, State.PARTIAL, Reason.NO_SNAPSHOT, code=3)
    assert portrait(target) == portrait(volume)
    assert (unasked.code, unasked.state) == (0, State.COMPLETE)
    assert done.result.verified == unasked.result.verified == ""


def test_the_volumes_own_folder_gets_its_mode_and_owner_back(mover: Mover, volume: Path, target: Path) -> None:
    volume.chmod(0o2771)
    os.setxattr(volume, "user.note", b"mine")
    if os.geteuid() == 0:
        os.chown(volume, 1234, 5678)

    mover.restore(mover.backup(volume).snapshot, target)

    found, wanted = target.stat(), volume.stat()
    assert (found.st_mode, found.st_uid, found.st_gid) == (wanted.st_mode, wanted.st_uid, wanted.st_gid)
    assert os.getxattr(target, "user.note") == b"mine"


@pytest.mark.parametrize(
    ("path", "there"),
    [("", ["deep", "file"]), ("deep", ["x"]), ("deep/x", ["deep/x"]), ("deep/y", []), ("new/y", [])],
)
def test_a_look_says_what_a_restore_would_take_away_and_changes_nothing(
    path: str, there: list[str], mover: Mover, volume: Path, target: Path
) -> None:
    snapshot = mover.backup(volume).snapshot
    (target / "deep").mkdir()
    (target / "deep" / "x").write_text("x")
    (target / "file").write_text("x")
    (target / "lost+found").mkdir()
    before = portrait(target)
    shutil.rmtree(mover.backend.folder)  # nobody asks it

    done = mover.restore(snapshot, target, path=path, look=True, repository_id="0" * 64)

    assert (done.state, done.reason) == ((State.FAILED, Reason.NOT_EMPTY) if there else (State.EMPTY, Reason.NONE))
    assert list(done.result.names) == there
    assert done.code == bool(there)
    assert not done.touched
    assert portrait(target) == before


# --- secrets, and faults of our own


def test_no_process_list_shows_a_secret_or_the_repository(tmp_path: Path, large: Path) -> None:
    with backend("rest", tmp_path / "backend") as place:
        mover = Mover(tmp_path / "movers", place)
        mover.init()
        with mover.running(mover.backup_task(large, access=slow(mover))) as running:
            wait_until(mover.locks, what="lock")
            seen = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (running.process.pid, *running.children())]

    assert len(seen) == 2
    for words in seen:
        for secret in (*place.secrets, place.repository):
            assert secret.encode() not in words


@pytest.mark.parametrize("content", [None, b"{", b'{"kind": "dance"}'])
def test_a_task_that_is_none_is_a_result_too(content: bytes | None, mover: Mover, volume: Path) -> None:
    with mover.running(mover.backup_task(volume)) as running:
        running.kill()
    file = running.folder / "secret" / "task.json"
    file.unlink() if content is None else file.write_bytes(content)

    done = running.again().wait()

    assert_not_whole(done, State.FAILED, Reason.FAILED, code=1)
    assert "task" in done.result.message


def test_a_result_that_cannot_be_written_is_no_success(mover: Mover, volume: Path, tmp_path: Path) -> None:
    done = mover.backup(volume, options=("--termination-log", str(tmp_path / "no" / "such" / "folder")))

    assert done.code == 1
    assert "the result can't be written" in done.log
