"""A gate keeps its reader waiting until everything is prepared, and for no longer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path

import pytest

from volumes.gate import Gate

SOON = 10.0  # seconds


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def assert_soon(event: threading.Event) -> None:
    assert event.wait(SOON)


def test_a_reader_waits_until_all_is_prepared_and_reads_nothing(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    prepared = threading.Event()

    with Gate(tmp_path / "gate", lambda: assert_soon(prepared)) as gate:
        reading = pool.submit(gate.pipe.read_bytes)
        with pytest.raises(TimeoutError):
            reading.result(0.1)
        prepared.set()
        assert reading.result(SOON) == b""
        assert pool.submit(gate.pipe.read_bytes).result(SOON) == b""  # whoever reads twice does not wait for ever

    assert not gate.pipe.exists()


def test_a_reader_that_comes_late_need_not_wait(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with Gate(tmp_path / "gate", lambda: None) as gate:
        gate._thread.join(0.1)
        assert pool.submit(gate.pipe.read_bytes).result(SOON) == b""


def test_what_fails_keeps_it_closed_until_the_reader_was_told_to_stop(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    def fail() -> None:
        raise OSError("the volume is gone")

    with Gate(tmp_path / "gate", fail) as gate:
        assert not gate.let_through()  # nobody is there
        reading = pool.submit(gate.pipe.read_bytes)
        with pytest.raises(TimeoutError):
            reading.result(0.1)
        assert gate.let_through()
        assert reading.result(SOON) == b""

    assert str(gate.error) == "the volume is gone"


def test_nothing_is_left_where_no_reader_ever_came(tmp_path: Path) -> None:
    with Gate(tmp_path / "gate", lambda: None) as gate:
        pass

    assert not gate._thread.is_alive()
    assert list(tmp_path.iterdir()) == []
