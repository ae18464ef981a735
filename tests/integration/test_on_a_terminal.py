"""The commands as a person sees them: on a terminal of 80 columns, with live progress."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

from drsyncer.errors import ExitCode
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace

COLUMNS = 80
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def seen(argv: list[str], *, cwd: Path) -> tuple[int, str]:
    """Run `argv` with a terminal for everything; return its exit code and what stays to be read, without colours."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(argv, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says EIO when the other end is closed
                break
            parts.append(part)
        os.close(ours)
    text = b"".join(parts).decode().replace("\r\n", "\n")
    # What the progress drew and wiped out again ends in a return to the first column.
    lines = [CONTROL.sub("", line.rpartition("\r")[2]).rstrip() for line in text.split("\n")]
    return process.returncode, "\n".join(lines)


def test_every_command_shows_its_progress_and_its_result(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), deployment("shop", "web")])

    def run(*args: str, cluster: ControlPlane | None = None) -> tuple[int, str]:
        code, text = seen(recovery.argv(*args, cluster=cluster), cwd=recovery.folder)
        assert "internal error" not in text
        assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
        return code, text

    assert run("export", cluster=clean_source)[0] == ExitCode.DONE
    assert run("import", "--plan", cluster=clean_dr)[0] == ExitCode.DONE
    code, text = run("import", cluster=clean_dr)
    assert (code, "create" in text) == (ExitCode.DONE, True)
    assert run("import", cluster=clean_dr)[0] == ExitCode.DONE

    # What was changed in DR is read once more, late in the preparation.
    clean_dr.kubectl("scale", "deployment/web", "-n", "shop", "--replicas=3")
    code, text = run("diff", cluster=clean_dr)
    assert (code, "spec.replicas was changed by kubectl" in " ".join(text.split())) == (1, True)
    code, text = run("import", "--explain", "shop/deploy/web", cluster=clean_dr)
    assert (code, "update: spec.replicas was changed by kubectl" in " ".join(text.split())) == (ExitCode.DONE, True)
    code, text = run("import", cluster=clean_dr)
    assert (code, "spec.replicas was changed by kubectl" in " ".join(text.split())) == (ExitCode.DONE, True)
    assert run("export", "--explain", "shop/deploy/web", cluster=clean_source)[0] == ExitCode.DONE
    assert run("log")[0] == ExitCode.DONE
    code, text = run("import", "--revision", "nowhere", cluster=clean_dr)
    assert (code, "nowhere" in text) == (ExitCode.USAGE, True)
