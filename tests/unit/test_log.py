"""What reaches the log, in which shape, and what never does."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer import log
from drsyncer.manifest import ObjectRef


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def leave_logging_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("dr-syncer").setLevel(logging.NOTSET)


def lines(write, *, format="json", verbosity=1, stream=None) -> list:
    stream = stream or io.StringIO()
    log.configure(format=format, verbosity=verbosity, stream=stream)
    write()
    found = stream.getvalue().splitlines()
    return [json.loads(line) for line in found] if format == "json" else found


def test_a_line_for_machines_is_one_json_object():
    ref = ObjectRef("deployments.apps", "shop", "web")
    (line,) = lines(lambda: log.get("importer.apply").bind(run=7).info("applied 100%", object=ref, tries=2, odd=None))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "area": "importer.apply",
        "message": "applied 100%",
        "run": 7,
        "object": "shop/deployments.apps/web",
        "tries": 2,
        "odd": None,
    }


def test_a_line_for_people_says_time_level_area_message_and_the_rest():
    (line,) = lines(
        lambda: log.get("cluster").warning("no answer", host="10.0.0.1", reason="timed out", after=1.5, final=False),
        format="text",
    )
    time, rest = line.split(" ", 1)
    assert len(time) == len("2024-01-01T00:00:00Z")
    assert rest == 'warning cluster no answer host=10.0.0.1 reason="timed out" after=1.5 final=false'


@pytest.mark.parametrize(
    ("verbosity", "levels"),
    [
        (0, ["warning", "error"]),
        (1, ["info", "warning", "error"]),
        (2, ["debug", "info", "warning", "error"]),
        (5, ["debug", "info", "warning", "error"]),
    ],
)
def test_each_v_shows_more(verbosity, levels):
    def write():
        area = log.get("area")
        for say in (area.debug, area.info, area.warning, area.error):
            say("x")

    assert [line["level"] for line in lines(write, verbosity=verbosity)] == levels


@pytest.mark.parametrize("library", ["kubernetes.client.rest", "urllib3.connectionpool", "git.cmd", "anything"])
@pytest.mark.parametrize("verbosity", [0, 1, 2, 3])
def test_libraries_warn_and_never_debug(library, verbosity):
    def write():
        logger = logging.getLogger(library)
        level = logger.level
        logger.setLevel(logging.DEBUG)  # as the kubernetes client does on its own when told to debug
        logger.debug("response body: %s", "hunter2")
        logger.info("talk")
        logger.warning("retry %d", 3)
        logger.setLevel(level)

    found = lines(write, verbosity=verbosity)
    talks = verbosity > 1 and library not in ("kubernetes.client.rest", "git.cmd")
    assert [line["message"] for line in found] == (["talk"] if talks else []) + ["retry 3"]
    assert {line["area"] for line in found} == {library}


def test_configuring_again_replaces_the_first():
    first = io.StringIO()
    log.configure(format="json", verbosity=2, stream=first)
    assert len(lines(lambda: log.get("a").info("x"))) == 1
    assert first.getvalue() == ""


def test_an_exception_comes_with_its_traceback_and_without_local_values():
    def write():
        local = "hunter2"
        try:
            raise RuntimeError(f"cannot read {len(local)} bytes")
        except RuntimeError:
            log.get("a").exception("failed", step="read")

    (line,) = lines(write)
    assert "RuntimeError: cannot read 7 bytes" in line["exception"]
    assert "hunter2" not in line["exception"].replace('local = "hunter2"', "")
    shown = lines(write, format="text")
    assert shown[0].endswith("failed step=read")
    assert shown[-1] == "    RuntimeError: cannot read 7 bytes"


@pytest.mark.parametrize(
    "context",
    [
        {"token": "hunter2"},
        {"apiToken": "hunter2"},
        {"api_key": "hunter2"},
        {"API-KEY": "hunter2"},
        {"Authorization": "hunter2"},
        {"db_password": "hunter2"},
        {"PASSWORDS": ["hunter2"]},
        {"client_secret": "hunter2"},
        {"SSHPrivateKey": "hunter2"},
        {"credentials": {"x": "hunter2"}},
        {"headers": {"authorization": "hunter2", "Set-Cookie": "hunter2"}},
        {"manifest": {"kind": "Secret", "data": {"x": "hunter2"}, "stringData": {"y": "hunter2"}}},
        {"patches": [{"data": {"x": "hunter2"}}]},
        {"url": "https://someone:hunter2@git.example.com/x.git"},
        {"url": "https://hunter2@git.example.com/x.git"},
        {"header": "Bearer hunter2hunter2"},
        {"text": "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n"},
        {"key": "AGE-SECRET-KEY-1HUNTER2"},
        {"raw": b"hunter2"},
        {"error": ValueError("https://a:hunter2@b/ refused")},
    ],
)
@pytest.mark.parametrize("format", ["text", "json"])
def test_secrets_are_masked_wherever_they_stand(context, format):
    stream = io.StringIO()
    lines(lambda: log.get("a").error("x", **context), format=format, stream=stream)
    assert "hunter2" not in stream.getvalue().lower()
    assert len(stream.getvalue().splitlines()) == 1


def test_a_secret_in_a_message_or_traceback_is_masked():
    def write():
        try:
            raise RuntimeError("fatal: https://bot:hunter2@git.example.com/ not found")
        except RuntimeError:
            logging.getLogger("git.cmd").exception("push to %s", "https://bot:hunter2@git.example.com/")

    (line,) = lines(write)
    assert "***@git.example.com" in line["message"]
    assert "bot:hunter2" not in line["exception"].split("RuntimeError:")[1]


def test_what_only_sounds_like_a_secret_stays():
    context = {"token_file": "/var/run/x", "secrets": 3, "password_set": True, "secret_name": "db", "database": "x"}
    (line,) = lines(lambda: log.get("a").error("x", **context, url="https://git.example.com/a@b"))
    assert context.items() <= line.items()
    assert line["url"] == "https://git.example.com/a@b"


@pytest.mark.parametrize("name", ["time", "level", "area", "message", "exc_info", "args", "name", "msg", "event"])
def test_no_key_gets_in_the_way_of_the_lines_own(name):
    (line,) = lines(lambda: log.get("a").error("said", **{name: "mine"}))
    assert line["message"] == "said"
    assert line["level"] == "error"
    assert "mine" in line.values()


@given(st.text(), st.text())
def test_a_name_from_a_cluster_cannot_forge_a_line_or_steer_a_terminal(message, value):
    stream = io.StringIO()
    log.configure(format="text", verbosity=1, stream=stream)
    log.get("a").info(message, name=value)
    assert stream.getvalue().endswith("\n")
    line = stream.getvalue()[:-1]
    assert len((line + "x").splitlines()) == 1
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in line)


def test_a_lone_surrogate_does_not_break_the_line(capfd):
    # pytest's own handlers would keep it for a report, which must be text that can be sent to another process.
    logging.getLogger().handlers.clear()
    log.configure(format="text", verbosity=1, stream=None)
    log.get("a").info("bad \udcff", name="bad \udcff", items=["\udcff"])
    found = capfd.readouterr().err
    assert "bad" in found
    assert "Traceback" not in found


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def write():
        log.get("a").error("x")

    assert "\x1b[31m" in lines(write, format="text", stream=Terminal())[0]
    assert "\x1b" not in lines(write, format="text")[0]
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in lines(write, format="text", stream=Terminal())[0]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in lines(write, format="text", stream=Terminal())[0]


def test_a_command_that_has_nothing_to_say_does_not_pay_for_it():
    program = (
        "import sys; from drsyncer import log\n"
        "log.configure(format='text', verbosity=0); log.get('a').info('quiet')\n"
        "sys.exit('structlog' in sys.modules or 'rich' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
