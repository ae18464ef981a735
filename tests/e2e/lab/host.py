"""What a daemon and the kubelets in its containers change on this machine, and how it comes back.

Not all settings of the kernel are namespaced: a kubelet in a privileged container sets its host's. What was there
before is written down before anything starts, so that it also comes back after a run that was killed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.lab.steps import LabFailed, answer

SYSCTL = Path("/proc/sys")
SETTINGS = (
    # of kubelet
    *("kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
    *("vm/overcommit_memory", "vm/panic_on_oom"),
    # of dockerd
    *("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding"),
    *("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"),
    # of systemd in a node
    *("fs/file-max", "fs/nr_open", "kernel/pid_max", "kernel/sysrq", "kernel/core_uses_pid", "kernel/core_pattern"),
    *("fs/protected_fifos", "fs/protected_hardlinks", "fs/protected_regular", "fs/protected_symlinks"),
)
# Made by dockerd whatever it is told, and left empty.
FOLDERS = ("/run/docker", "/run/containerd", "/opt/containerd")
CGROUPS = Path("/sys/fs/cgroup")
OURS = "dr-syncer-lab"  # the cgroup below which our dockerd has its containers
BRIDGE = "drsyncer0"
# Of what Docker itself takes by default, the end that it takes last.
RANGE = "172.30.0.0/16"
FROZEN = ("FROZEN", "FREEZING")
THAW_SECONDS = 0.3


def remember(notes: Path, *, nft: Path) -> None:
    """Write down how the machine is, unless a run before left its notes: then those are the true ones."""
    if notes.exists():
        return
    before = {
        "settings": {name: (SYSCTL / name).read_text() for name in SETTINGS if (SYSCTL / name).exists()},
        "rules": answer([nft, "list", "ruleset"]),
        "folders": [folder for folder in FOLDERS if Path(folder).exists()],
    }
    part = notes.with_suffix(".part")
    part.write_text(json.dumps(before))
    part.rename(notes)


def restore(notes: Path, *, nft: Path) -> list[str]:
    """Put back what was written down, and forget it. Returns sentences about what could not be."""
    left: list[str] = []
    _remove_bridges()
    left += [sentence for top in (CGROUPS / OURS, *CGROUPS.glob(f"*/{OURS}")) for sentence in _remove_folders(top)]
    if not notes.exists():
        return left
    before: dict[str, Any] = json.loads(notes.read_text())
    if not before["rules"]:
        answer([nft, "flush", "ruleset"])
    elif answer([nft, "list", "ruleset"]) != before["rules"]:
        # Putting the old ones back whole would undo what others have changed meanwhile.
        left.append("this machine has firewall rules of its own, and Docker's empty chains are left beside them")
    for name, value in before["settings"].items():
        file = SYSCTL / name
        try:
            if file.read_text() != value:
                file.write_text(value)
        except OSError as error:
            left.append(f"{file} cannot be put back to {value.strip()}: {error.strerror}")
    left += [sentence for name in FOLDERS if name not in before["folders"] for sentence in _remove_folders(Path(name))]
    notes.unlink()
    return left


@contextlib.contextmanager
def thawing() -> Iterator[None]:
    """Thaw, meanwhile, whatever container of ours is frozen.

    With cgroup v1 runc freezes a container while it sets it up, and one that is killed there leaves it so. A frozen
    task does not die of SIGKILL, and neither does the node that it is in.
    """
    done = threading.Event()

    def thaw() -> None:
        while not done.wait(THAW_SECONDS):
            for folder, _, _ in os.walk(CGROUPS / "freezer" / OURS):  # it overlooks what goes away meanwhile
                state = Path(folder, "freezer.state")
                with contextlib.suppress(OSError):
                    if state.read_text().strip() in FROZEN:
                        state.write_text("THAWED")

    thread = threading.Thread(target=thaw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _remove_bridges() -> None:
    """Remove our bridge, and those of networks that a dockerd which was killed has forgotten, with all in them."""
    network = ipaddress.ip_network(RANGE)
    for link in json.loads(answer(["ip", "-json", "address", "show", "type", "bridge"]) or "[]"):
        addresses = [ipaddress.ip_address(each["local"]) for each in link.get("addr_info", [])]
        if link.get("ifname") != BRIDGE and not any(address in network for address in addresses):
            continue
        for port in json.loads(answer(["ip", "-json", "link", "show", "master", link["ifname"]]) or "[]"):
            answer(["ip", "link", "delete", port["ifname"]])
        answer(["ip", "link", "delete", link["ifname"]])


def _remove_folders(top: Path) -> list[str]:
    """Remove a tree of folders without files, such as cgroups: nobody but dockerd would do so. Says what stays."""
    left = []
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            Path(folder).rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            left.append(f"{folder} cannot be removed: {error.strerror}")
    return left


def nft_program(folder: Path) -> Path:
    """Return the nft among the wrappers of `folder`. Raises `LabFailed` when there is none."""
    program = folder / "nft"
    if not program.exists():
        raise LabFailed(f"{program} is not there")
    return program
