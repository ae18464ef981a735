"""A full disk under the local clone: said clearly, harmless, and forgotten once there is space again."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, namespace

SMALL, LARGE = 1_500, 60_000  # KiB


def noise(kilobytes: int, *, seed: int) -> str:
    """Text that no compression makes much smaller."""
    return random.Random(seed).randbytes(kilobytes * 500).hex()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own for the cache; `remount` makes it larger."""
    folder = tmp_path / "cache"
    folder.mkdir()
    if os.geteuid() != 0 or not _mount("-t", "tmpfs", "-o", f"size={SMALL}k", "tmpfs", str(folder)):
        pytest.skip("no tmpfs can be mounted here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_disk_is_named_and_the_next_run_with_space_is_whole(
    tiny_disk: Path, clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b")])
    assert recovery.export(clean_source).exit_code is ExitCode.DONE
    before = recovery.head()
    clean_source.apply([configmap("shop", f"large-{index}", a=noise(800, seed=index)) for index in range(4)])

    said = recovery.cli("export", "-o", "json", cluster=clean_source)

    assert (said.returncode, said.stdout) == (ExitCode.FAILED, "")
    assert "Out of diskspace" in said.stderr or "No space left on device" in said.stderr
    assert "repository.cacheDir" in said.stderr
    assert "Traceback" not in said.stderr
    assert "internal error" not in said.stderr
    assert recovery.head() == before

    # An import on the same full disk: the recovery point that is here already can still be had.
    assert recovery.import_into(clean_dr).exit_code is ExitCode.DONE

    assert _mount("-o", f"remount,size={LARGE}k", str(tiny_disk))
    outcome = recovery.export(clean_source)
    assert (outcome.exit_code, outcome.push_error, len(outcome.changes)) == (ExitCode.DONE, None, 4)
    recovery.git("fsck", "--strict")
    assert recovery.import_into(clean_dr).exit_code is ExitCode.DONE


def test_a_disk_that_is_full_while_fetching_is_named(
    tiny_disk: Path, clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([configmap("default", f"large-{index}", a=noise(800, seed=index)) for index in range(4)])
    elsewhere = Recovery(
        remote=recovery.remote,
        folder=recovery.folder,
        repository={"cacheDir": str(recovery.folder / "elsewhere")},
    )
    assert elsewhere.export(clean_source).exit_code is ExitCode.DONE
    clean_dr.audit.mark()

    said = recovery.cli("import", "-o", "json", cluster=clean_dr)

    assert (said.returncode, said.stdout) == (ExitCode.FAILED, "")
    assert "No space left on device" in said.stderr
    assert "internal error" not in said.stderr
    assert clean_dr.audit.writes() == []

    assert _mount("-o", f"remount,size={LARGE}k", str(tiny_disk))
    assert recovery.import_into(clean_dr).exit_code is ExitCode.DONE


def test_a_limit_on_the_size_of_files_is_an_error_like_a_full_disk(
    clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([configmap("default", f"large-{index}", a=noise(800, seed=index)) for index in range(3)])

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    argv: list[Any] = recovery.argv("export", cluster=clean_source)
    said = subprocess.run(
        argv, cwd=recovery.folder, preexec_fn=limited, capture_output=True, text=True, check=False, timeout=120
    )

    assert (said.returncode, said.stdout) == (ExitCode.FAILED, ""), said.stderr
    assert "recovery.git" in said.stderr
    assert "internal error" not in said.stderr
    assert recovery.head() == ""
    assert recovery.export(clean_source).exit_code is ExitCode.DONE
