"""A dockerd of our own, from Debian's packages, for machines that have none: its own state, its own socket.

Nothing of it is installed, and nothing is left of it but a cache: `stop` puts the machine back as it was.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from pathlib import Path

from tests.e2e.lab import host
from tests.e2e.lab.debian import Unpacked, unpacked
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.steps import LabFailed, answer, digest, home, kept, wait_until

# Sockets have short names, and a home folder may have a long one.
RUN = Path("/run/dr-syncer-lab")
SOCKET = RUN / "docker.sock"
PID_FILE = RUN / "dockerd.pid"
NOTES = "machine-before.json"
BRIDGE_ADDRESS = "172.31.0.1/24"
NOBODY = "172.31.0.1"  # where no name server listens
RANGE6 = "fc00:f853:ccd:e793::/64"  # kind makes it from the name of its network
STARTING = 60.0  # seconds
STOPPING = 60.0

XTABLES = (
    *("iptables", "iptables-save", "iptables-restore"),
    *("ip6tables", "ip6tables-save", "ip6tables-restore"),
)


def start(*, isolated: bool) -> Docker:
    """Start the daemon, or find the one that runs. Raises `LabFailed` with the end of its log.

    `isolated`: containers have no way to the network around this machine, and names that they ask for do not go there.
    Builds need it. The names belong to the daemon, so that one of the other sort is ended first, with its containers.
    """
    tools = unpacked()
    docker = client(tools)
    pid = _pid()
    if pid is not None and (NOBODY in _arguments(pid)) != isolated:
        _end(pid)
    elif docker.answers():
        return docker
    wrappers = _wrappers(tools)
    RUN.mkdir(mode=0o700, exist_ok=True)
    host.remember(home() / NOTES, nft=host.nft_program(wrappers))
    log = home() / "logs/dockerd.log"
    log.parent.mkdir(exist_ok=True)
    _make_bridge()
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C is for us, who then stop it in order.
        process = subprocess.Popen(
            [*_command(tools), *(["--dns", NOBODY] if isolated else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": _path(tools, wrappers)},
            start_new_session=True,
        )

    def ready() -> bool:
        if process.poll() is not None:
            raise LabFailed(f"dockerd ended with {process.returncode}; {log} ends with\n{_tail(log)}")
        return docker.answers()

    wait_until(ready, what=f"answer of dockerd (its log: {log})", seconds=STARTING)
    if isolated:
        for command in _walls("--insert"):
            answer([wrappers / command[0], *command[1:]])
    return docker


def client(tools: Unpacked) -> Docker:
    """Return the command line for our daemon, running or not."""
    return Docker(tools.docker / "usr/bin/docker", {**os.environ, "DOCKER_HOST": f"unix://{SOCKET}"})


def exists() -> bool:
    """Whether a daemon of ours runs, or left something behind."""
    return RUN.exists() or (home() / NOTES).exists()


def stop() -> list[str]:
    """Stop the daemon and put the machine back. Returns sentences about what is left, for people."""
    tools = unpacked()
    pid = _pid()
    if pid is not None:
        _end(pid)
    left = host.restore(home() / NOTES, nft=host.nft_program(_wrappers(tools)))
    # One that was killed leaves mounts behind: of its containers' networks, and of its own folder onto itself.
    for mount in (*_mounts_below(RUN), *_mounts_below(home() / "docker")):
        subprocess.run(["umount", "--lazy", mount], check=False)
    for path in sorted(RUN.rglob("*"), reverse=True) if RUN.exists() else []:
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
    with contextlib.suppress(FileNotFoundError):
        RUN.rmdir()
    return left


def _walls(action: str) -> list[list[str]]:
    """Rules that keep containers from the network around this machine.

    A node that is only just starting asks for the Service addresses of its cluster, which nothing translates yet. They
    would go out of the machine, to whoever has them there, and who knows what answers.
    """
    return [
        [
            "iptables",
            action,
            "DOCKER-USER",
            "--source",
            host.RANGE,
            "!",
            "--destination",
            host.RANGE,
            "--jump",
            "REJECT",
        ],
        ["ip6tables", action, "FORWARD", "--source", RANGE6, "!", "--destination", RANGE6, "--jump", "REJECT"],
    ]


def _end(pid: int) -> None:
    wrappers = _wrappers(unpacked())
    for command in _walls("--delete"):
        subprocess.run([wrappers / command[0], *command[1:]], capture_output=True, check=False)  # it may not be there
    os.kill(pid, signal.SIGTERM)
    with host.thawing():
        wait_until(lambda: _pid() != pid, what=f"end of dockerd (process {pid})", seconds=STOPPING)


def _arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def _command(tools: Unpacked) -> list[str]:
    state = home() / "docker"
    return [
        str(tools.docker / "usr/sbin/dockerd"),
        *("--host", f"unix://{SOCKET}", "--config-file", "/dev/null", "--pidfile", str(PID_FILE)),
        *("--data-root", str(state), "--exec-root", str(RUN / "exec"), "--storage-driver", "overlay2"),
        *("--userland-proxy-path", str(tools.docker / "usr/sbin/docker-proxy")),
        *("--init-path", str(tools.host / "usr/bin/tini")),
        # systemd need not run here. Its own parent, so that what is ours can be told from anybody else's.
        *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{host.OURS}"),
        *("--bridge", host.BRIDGE, "--default-address-pool", f"base={host.RANGE},size=24"),
    ]


def _make_bridge() -> None:
    """Docker's own would be called docker0, and could be somebody's."""
    if not Path(f"/sys/class/net/{host.BRIDGE}").exists():
        answer(["ip", "link", "add", host.BRIDGE, "type", "bridge"])
    answer(["ip", "address", "replace", BRIDGE_ADDRESS, "dev", host.BRIDGE])
    answer(["ip", "link", "set", host.BRIDGE, "up"])


def _wrappers(tools: Unpacked) -> Path:
    """A folder of programs that need the libraries unpacked beside them, and iptables' extensions."""

    def make(part: Path) -> None:
        libraries = shlex.quote(tools.libraries)
        extensions = shlex.quote(str(next(tools.host.glob("usr/lib/*-linux-gnu*/xtables"))))
        sbin = tools.host / "usr/sbin"
        commands = {"nft": f"{sbin / 'nft'}", **{name: f"{sbin / 'xtables-nft-multi'} {name}" for name in XTABLES}}
        for name, command in commands.items():
            script = part / name
            script.write_text(
                f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} XTABLES_LIBDIR={extensions} exec {command} "$@"\n'
            )
            script.chmod(0o755)
        (part / "runc").symlink_to(sbin / "runc")
        (part / "docker-init").symlink_to(tools.host / "usr/bin/tini")

    return kept(home() / f"wrappers-{digest(str(tools).encode(), Path(__file__).read_bytes())}", make)


def _path(tools: Unpacked, wrappers: Path) -> str:
    ours = [wrappers, tools.docker / "usr/bin", tools.docker / "usr/sbin"]
    return ":".join([*map(str, ours), "/usr/sbin:/usr/bin:/sbin:/bin"])


def _pid() -> int | None:
    """The process id of our dockerd, None when it does not run."""
    try:
        pid = int(PID_FILE.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    return pid if name == "dockerd" else None


def _mounts_below(folder: Path) -> list[str]:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((mount for mount in mounts if Path(mount).is_relative_to(folder)), reverse=True)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
