"""Backups that are not whole: each has its state and its reason, and nothing of it can be taken for a success."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from tests.cluster.git_servers import key_pair
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.cluster.tools import find
from tests.integration.movers import (
    QUICKLY,
    VOLUME,
    WITHOUT_CAPABILITIES,
    Mover,
    assert_no_backup,
    portrait,
    wait_until,
)
from tests.integration.restic_backends import Backend, backend, backend_on, port_of, small_disk, through_port
from volumes.result import Reason

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which takes root")


def test_a_wrong_password_is_said(mover: Mover, volume: Path) -> None:
    wrong = Mover(mover.folder, replace(mover.backend, password="not the password"))

    done = wrong.backup(volume)

    assert_no_backup(done, State.FAILED, Reason.WRONG_PASSWORD, code=1)
    assert "not the password" not in done.log


def test_a_missing_repository_is_said_and_not_made(tmp_path: Path, mover_backend: Backend, volume: Path) -> None:
    done = Mover(tmp_path / "movers", mover_backend).backup(volume)

    assert_no_backup(done, State.FAILED, Reason.NO_REPOSITORY, code=1)
    assert "dr-syncer volumes init" in done.result.message
    assert not mover_backend.folder.exists()


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


def test_a_claim_that_was_made_anew_is_compared_with_the_newest_whole_snapshot_of_its_name(
    mover: Mover, volume: Path, target: Path
) -> None:
    """Its claim remembers nothing; that the database in it begins anew must not look like a backup of the old one."""
    old = mover.backup(volume).snapshot
    other = mover.backup(target, volume=msgspec.structs.replace(VOLUME, name="other"), confirmed=True)
    empty = mover.backup(target)
    (target / "ibdata").write_text("anew")
    shrunk = [mover.backup(target), mover.backup(target)]  # what came of the first is no measure for the second
    confirmed = mover.backup(target, confirmed=True)
    then = mover.backup(target)

    assert other.code == 0
    name = f"the last whole snapshot of a claim of this name before ({old.id[:8]} of {old.start:%Y-%m-%d %H:%M} UTC)"
    assert_no_backup(empty, State.EMPTY, Reason.EMPTY, code=ExitCode.REFUSED)
    assert f"there is nothing in the volume, and {name} has {old.files} files. No" in empty.result.message
    for ran in shrunk:
        assert_no_backup(ran, State.EMPTY, Reason.SHRUNK, code=ExitCode.REFUSED)
        assert ran.result.loss == f"the volume has 4 bytes, and {old.bytes:,} in {name}"
        assert "--confirm shop/uploads`" in ran.result.message
    assert [ran.state for ran in (confirmed, then)] == [State.COMPLETE] * 2


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
