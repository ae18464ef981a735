"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from tests.cluster import tools


def describe() -> dict[str, str]:
    """Return cores, processor, memory, how busy the machine is with other things, and versions."""
    return {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{_memory():.0f} GiB",
        "load": f"{os.getloadavg()[0]:.2f} in the last minute, before the start",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "git": _first_line("git", "version").removeprefix("git version "),
        "restic": _first_line(str(tools.find("restic")), "version").removeprefix("restic ").split()[0],
        "Kubernetes": f"{tools.kubernetes_version()} (kube-apiserver, kube-controller-manager, kubectl)",
        "etcd": _first_line(str(tools.find("etcd")), "--version").removeprefix("etcd Version: ") + ", without fsync",
    }


def _processor() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory() -> float:
    """Gibibytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _first_line(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.partition("\n")[0]
