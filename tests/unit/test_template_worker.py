"""The process that renders: replaced when it fails, never waited for without end, and never left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import DrSyncerError
from drsyncer.templates import TemplateFailed
from drsyncer.templates import renderer as edge
from drsyncer.templates.renderer import Renderer

BUSY = "{{ values.big | split('a') | length }}" * 80
BIG: dict[str, Any] = {"values": {"big": "a" * 4_000_000}}
HELLO = "{{ values.a }}"


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    with Renderer() as made:
        yield made


def hello(renderer: Renderer) -> str:
    return renderer.render(HELLO, {"values": {"a": "hello"}})


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def soon(condition: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def test_no_process_is_started_before_there_is_a_template() -> None:
    with Renderer() as renderer:
        assert renderer.pid is None


def test_one_process_renders_all_and_ends_with_the_block() -> None:
    with Renderer() as renderer:
        assert hello(renderer) == "hello"
        first = renderer.pid
        assert hello(renderer) == "hello"
        assert renderer.pid == first
        assert first
        assert alive(first)
    assert renderer.pid is None
    assert not alive(first)


def test_one_that_is_started_after_the_block_ends_with_its_renderer() -> None:
    with Renderer() as renderer:
        hello(renderer)
    hello(renderer)
    pid = renderer.pid
    assert pid
    assert alive(pid)

    del renderer

    assert not alive(pid)


def test_a_template_that_takes_too_long_fails_and_the_next_gets_another_process(renderer: Renderer) -> None:
    hello(renderer)
    before = renderer.pid

    with pytest.raises(TemplateFailed, match="time than a template may have"):
        renderer.render(BUSY, BIG)

    assert before
    assert not alive(before)
    assert hello(renderer) == "hello"
    assert renderer.pid != before


def test_a_template_that_always_takes_too_long_is_not_tried_for_ever(renderer: Renderer) -> None:
    for _ in range(3):
        with pytest.raises(TemplateFailed, match="time than a template may have"):
            renderer.render(BUSY, BIG)
    begun = time.monotonic()

    with pytest.raises(TemplateFailed, match="not tried again"):
        renderer.render(BUSY, BIG)

    assert time.monotonic() - begun < 1
    assert hello(renderer) == "hello"


def test_a_process_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "_GRACE", 0.2)
    with Renderer(clock=0.3) as renderer:
        hello(renderer)
        assert renderer.pid
        stopped = renderer.pid
        os.kill(stopped, signal.SIGSTOP)

        with pytest.raises(TemplateFailed, match=r"no end of it within 0\.5 s"):
            renderer.render("{{ values.big | length }}", BIG)  # larger than the pipe: writing must not wait either

        assert not alive(stopped)
        assert hello(renderer) == "hello"


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_that_was_killed_between_two_templates_is_replaced(renderer: Renderer, sign: signal.Signals) -> None:
    hello(renderer)
    assert renderer.pid
    os.kill(renderer.pid, sign)
    time.sleep(0.1)

    assert hello(renderer) == "hello"


def test_a_process_that_is_killed_while_it_renders_is_a_failure_of_that_object(renderer: Renderer) -> None:
    hello(renderer)
    assert renderer.pid
    threading.Timer(0.3, os.kill, (renderer.pid, signal.SIGKILL)).start()

    with pytest.raises(TemplateFailed, match="ended by status -9"):
        renderer.render(BUSY, BIG)

    assert hello(renderer) == "hello"


def test_several_threads_may_share_it(renderer: Renderer) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda number=number: found.extend(
                renderer.render("{{ values.n }}", {"values": {"n": number}}) for _ in range(50)
            )
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(str(number) for number in range(4) for _ in range(50))


def test_it_gets_no_variables_and_no_open_files(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "hunter2")
    hello(renderer)
    process = Path(f"/proc/{renderer.pid}")
    assert b"hunter2" not in (process / "environ").read_bytes()
    assert {entry.name for entry in (process / "fd").iterdir()} == {"0", "1", "2"}
    limits = (process / "limits").read_text()
    assert "Max address space         268435456" in limits
    assert "Max file size             0 " in limits
    assert "Max open files            3 " in limits
    assert re.search(r"Max cpu time +[1-9] ", limits)


def test_a_process_that_cannot_be_started_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Renderer() as renderer, pytest.raises(DrSyncerError, match="cannot be started: No such file"):
        hello(renderer)


def test_a_process_that_does_not_come_up_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with Renderer() as renderer, pytest.raises(DrSyncerError, match="cannot be started"):
        hello(renderer)


PARENT = """
import sys, threading
from drsyncer.templates.renderer import Renderer
renderer = Renderer()
renderer.render("{{ values.a }}", {"values": {"a": 1}})
print(renderer.pid, flush=True)
if sys.argv[1] == "busy":
    renderer.render(%r, {"values": {"big": "a" * 4_000_000}})
elif sys.argv[1] == "idle":
    threading.Event().wait()
"""


@pytest.mark.parametrize("doing", ["busy", "idle", "ending"])
def test_nothing_is_left_of_it_when_its_parent_is_killed_or_ends(doing: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT % BUSY, doing], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    if doing == "ending":
        assert parent.wait(20) == 0
    else:
        assert alive(pid)
        time.sleep(0.3)
        parent.kill()
        parent.wait()
    parent.stdout.close()

    assert soon(lambda: not alive(pid))
