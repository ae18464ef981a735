"""How a restic is run that does not do what it should: programs that behave as badly as restic can."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from volumes import commands
from volumes.credentials import Credentials
from volumes.failure import Interrupted, RepositoryUnreachable, ResticError, ResticMissing
from volumes.restic import Restic
from volumes.task import Access


@pytest.fixture
def restic(tmp_path: Path) -> Callable[..., Restic]:
    """A factory: `restic("exit 1")` is one whose program is this shell script."""

    def make(
        script: str, *, patience: float = 60.0, grace: float = 0.3, goes_on: Callable[[], bool] = lambda: True
    ) -> Restic:
        if script:
            program = tmp_path / "restic"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        (tmp_path / "password").write_text("correct horse")
        return Restic(
            Access(repository=str(tmp_path / "r")),
            Credentials(password_file=tmp_path / "password", secrets=("correct horse",)),
            goes_on=goes_on,
            patience=patience,
            grace=grace,
            inherited={"PATH": f"{tmp_path}:{os.environ['PATH']}" if script else str(tmp_path)},
        )

    return make


def test_one_that_does_not_listen_to_sigterm_is_killed(restic: Callable[..., Restic], tmp_path: Path) -> None:
    begun = time.monotonic()
    running = restic(
        f"trap '' TERM; touch {tmp_path}/begun; while :; do sleep 0.05; done",
        goes_on=lambda: not (tmp_path / "begun").exists(),
    )

    with running as it, pytest.raises(Interrupted):
        it.run(commands.version(), doing="hang")

    # Nor does it take longer when nobody answers about the lock that it may have left.
    assert time.monotonic() - begun < 30


def test_one_that_says_much_before_it_ends_comes_to_its_end(restic: Callable[..., Restic], tmp_path: Path) -> None:
    """A full pipe would keep it from that, and from removing its lock."""
    last_words = f"head -c 1000000 /dev/zero; touch {tmp_path}/ended; exit 130"
    running = restic(
        f"trap '{last_words}' TERM; touch {tmp_path}/begun; while :; do sleep 0.05; done",
        grace=30.0,
        goes_on=lambda: not (tmp_path / "begun").exists(),
    )

    with running as it, pytest.raises(Interrupted):
        it.run(commands.version(), doing="talk")

    assert (tmp_path / "ended").exists()


def test_one_that_answers_nothing_is_given_up(restic: Callable[..., Restic]) -> None:
    with restic("exec sleep 60") as it, pytest.raises(RepositoryUnreachable, match="given up"):
        it.ask(commands.version(), doing="ask", limit=0.3)


def test_one_that_tries_again_and_again_is_given_up(restic: Callable[..., Restic]) -> None:
    script = (
        "while :; do echo 'Save(<data/1>) returned error, retrying after 1s: connection refused' >&2; sleep 0.1; done"
    )

    with restic(script, patience=0.3) as it, pytest.raises(RepositoryUnreachable, match="connection refused"):
        it.run(commands.version(), doing="save")


def test_one_whose_next_try_helps_goes_on(restic: Callable[..., Restic]) -> None:
    script = (
        "echo 'Save(<data/1>) returned error, retrying after 1s: connection refused' >&2\n"
        "echo 'Save(<data/1>) operation successful after 1 retries' >&2\nsleep 0.6"
    )

    with restic(script, patience=0.2) as it:
        assert it.run(commands.version(), doing="save").status == 0


def test_one_that_was_killed_is_a_failure(restic: Callable[..., Restic]) -> None:
    with restic("kill -9 $$") as it, pytest.raises(ResticError, match="killed by signal 9"):
        it.ask(commands.version(), doing="ask")


def test_none_at_all_is_said(restic: Callable[..., Restic]) -> None:
    with restic("") as it, pytest.raises(ResticMissing, match="can't be run"):
        it.version()


@pytest.mark.parametrize(
    ("version", "fits"), [("0.18.0", True), ("0.19.1-dev", True), ("0.17.3", False), ("no", False)]
)
def test_an_old_one_is_refused(restic: Callable[..., Restic], version: str, fits: bool) -> None:
    with restic(f"""echo '{{"message_type":"version","version":"{version}"}}'""") as it:
        if fits:
            assert it.version() >= (0, 18)
        else:
            with pytest.raises(ResticMissing, match="too old"):
                it.version()


def test_nothing_is_left_of_its_temporary_files(restic: Callable[..., Restic]) -> None:
    with restic("touch $TMPDIR/pack; env > $TMPDIR/env") as it:
        it.ask(commands.version(), doing="ask")
        scratch = it.scratch
        assert (scratch / "pack").exists()
        assert "correct horse" not in (scratch / "env").read_text()

    assert not scratch.exists()
