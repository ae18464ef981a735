"""Packages of Debian, unpacked into the cache: nothing is installed on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.tools import debian
from tests.cluster.tools.debian import KEYRING
from tests.e2e.lab.steps import LabFailed, LabImpossible, answer, digest, home, kept, watched

OS_RELEASE = Path("/etc/os-release")

# The node's system. bookworm's systemd is the last that boots where there is only cgroup v1, and its runc, iptables and
# their libraries run on every newer Debian, too: they are also what our dockerd gets.
NODE_SUITE = "bookworm"
HOST_PACKAGES = (
    *("busybox-static", "debootstrap", "runc", "tini"),
    *("iptables", "libxtables12", "libip4tc2", "libip6tc2", "libnftnl11", "libmnl0", "libnfnetlink0"),
    *("libnetfilter-conntrack3", "nftables", "libnftables1", "libedit2", "libjansson4", "libbsd0", "libmd0"),
)
# Docker of a stable release, so that it does not change under us; its programs run on bookworm, its runc does not.
DOCKER_SUITE = "trixie"
DOCKER_PACKAGES = ("containerd", "docker-cli", "docker.io")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Folders with the files of packages, as they would lie in `/`."""

    docker: Path
    host: Path

    @property
    def libraries(self) -> str:
        """Where the libraries of `host` are, for LD_LIBRARY_PATH."""
        return ":".join(
            str(path) for path in (*self.host.glob("usr/lib/*-linux-gnu*"), *self.host.glob("lib/*-linux-gnu*"))
        )


def why_not() -> str:
    """Why packages cannot be had on this machine; "" when they can."""
    if not OS_RELEASE.is_file() or not re.search(r"^ID=debian$", OS_RELEASE.read_text(), re.MULTILINE):
        return "this is no Debian"
    if os.geteuid() != 0:
        return "this is not root"
    return "" if KEYRING.is_file() else f"there is no {KEYRING} (package debian-archive-keyring)"


def architecture() -> str:
    """What Debian, Go and images call this machine: amd64 or arm64."""
    return answer(["dpkg", "--print-architecture"])


def mirror() -> str:
    """Return the mirror that this machine's own apt uses for Debian. Raises `LabImpossible` when it uses none."""
    found = debian.mirror()
    if found is None:
        raise LabImpossible("apt on this machine names no mirror of Debian")
    return found


def unpacked() -> Unpacked:
    """Download and unpack what the host side of the lab needs, once."""
    return Unpacked(docker=_unpack(DOCKER_SUITE, DOCKER_PACKAGES), host=_unpack(NODE_SUITE, HOST_PACKAGES))


def _unpack(suite: str, packages: Sequence[str]) -> Path:
    folder = home() / f"{suite}-{digest(architecture().encode(), *(name.encode() for name in packages))}"

    def make(part: Path) -> None:
        for package in _download(suite, packages, part / "packages"):
            answer(["dpkg", "--extract", package, part])
            package.unlink()

    return kept(folder, make)


def _download(suite: str, packages: Sequence[str], folder: Path) -> list[Path]:
    """Let the machine's own apt fetch and verify packages of another suite; its own lists stay as they are."""
    apt = debian.apt(folder / "apt", suite=suite, mirror=mirror())
    log = home() / "logs"
    watched([*apt, "update"], title=f"packages of {suite}", log=log / f"apt-{suite}.log", doing="listing")
    script = 'cd "$1"; shift; exec "$@"'  # apt downloads to where it stands
    watched(
        ["sh", "-c", script, "sh", folder, *apt, "download", *packages],
        title=f"packages of {suite}",
        log=log / f"apt-{suite}.log",
        doing="downloading",
    )
    found = sorted(folder.glob("*.deb"))
    if len(found) < len(packages):
        raise LabFailed(f"apt downloaded {len(found)} of {len(packages)} packages of {suite}")
    return found


def bootstrap(root: Path, *, suite: str, packages: Sequence[str], tools: Unpacked, log: Path) -> None:
    """Make a minimal Debian in the empty folder `root`. It must be on a file system that allows devices and setuid."""
    watched(
        [
            *("sh", tools.host / "usr/sbin/debootstrap", f"--keyring={KEYRING}", "--force-check-gpg"),
            *("--variant=minbase", f"--include={','.join(packages)}", suite, root, mirror()),
        ],
        title=f"a Debian {suite}",
        log=log,
        env={**os.environ, "DEBOOTSTRAP_DIR": str(tools.host / "usr/share/debootstrap")},
        doing="bootstrapping",
    )
