"""Bring the lab up, and take it down again with everything that it left on the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.claims import lock_file
from tests.cluster.tools.build import build_missing
from tests.e2e.lab import daemon
from tests.e2e.lab.clusters import DR, NETWORK, SOURCE, Kind, kind_program
from tests.e2e.lab.debian import unpacked, why_not
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.host import thawing
from tests.e2e.lab.node import build_node_image, node_image, outdated_images
from tests.e2e.lab.programs import IMAGE_PROGRAMS
from tests.e2e.lab.steps import LabFailed, LabImpossible, home

# What kind v0.33.0 takes by default; without the digest, `docker image ls` and kind name it alike.
STOCK_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
CLUSTERS = "clusters"  # the folder of the kubeconfigs, below `home()`
MARK = "network-is-ours"  # a file in it: kind's network was not there before

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Lab:
    """What runs. `own`: the daemon is ours, and ends with the lab."""

    docker: Docker
    kind: Kind
    own: bool

    @property
    def source(self) -> Path:
        """The kubeconfig of the source cluster."""
        return self.kind.kubeconfig(SOURCE)

    @property
    def dr(self) -> Path:
        """The kubeconfig of the DR cluster."""
        return self.kind.kubeconfig(DR)


def claim() -> None:
    """Have the lab for this process alone, until it ends. Raises `LabFailed` when another one has it."""
    if lock_file(home() / ".lock") is None:
        raise LabFailed("another process is at work with the lab on this machine; wait for its end")


def find_docker() -> tuple[Docker, bool]:
    """Return a Docker that answers, and whether it is our own. Raises `LabImpossible`."""
    chosen = os.environ.get("DOCKER_HOST", "")
    ours = chosen == f"unix://{daemon.SOCKET}"  # in a shell that was told where a kept lab is
    program = shutil.which("docker")
    if program is not None and not ours:
        docker = Docker(Path(program))
        if docker.answers():
            return docker, False
    if chosen and not ours:
        raise LabImpossible(f"DOCKER_HOST is {chosen}, and no Docker answers there")
    reason = why_not()
    if reason:
        raise LabImpossible(f"no Docker answers, and one of our own is for root on Debian only: {reason}")
    return daemon.start(isolated=False), True


def up(docker: Docker, *, own: bool, say: Say) -> Lab:
    """Create both clusters, from whatever was left of them. Raises `LabImpossible` or `LabFailed`."""
    node = _node_image(docker, own=own, say=say)
    if own:
        docker = daemon.start(isolated=True)
    kind = Kind(kind_program(), docker, home() / CLUSTERS, node)
    ours = (kind.folder / MARK).exists() or not _has_network(docker)
    if kind.running():
        say("deleting what an earlier run left")
        kind.delete()
    # Other people's Docker is not tidied up.
    for outdated in outdated_images(docker) if own else []:
        say(f"removing {outdated}, which nothing uses any more")
        docker("image", "rm", outdated)
    kind.folder.mkdir(parents=True, exist_ok=True)
    if ours:
        (kind.folder / MARK).touch()
    say(f"creating {SOURCE} and {DR} of {kind.node_image or STOCK_IMAGE}")
    kind.create(logs=home() / "logs/clusters")
    return Lab(docker, kind, own)


def down(say: Say) -> list[str]:
    """Delete the clusters and end our daemon, in whatever state they are. Returns sentences about what is left."""
    docker, own = running_docker()
    if docker is not None:
        kind = Kind(kind_program(), docker, home() / CLUSTERS, "")
        ours = own or (kind.folder / MARK).exists()
        say("deleting the clusters")
        with thawing():
            kind.delete()
        if ours and _has_network(docker):
            docker("network", "rm", NETWORK)
    if own:
        say("stopping our dockerd")
        return daemon.stop()
    return []


def running_docker() -> tuple[Docker | None, bool]:
    """Return the Docker with what an earlier run left, None when it does not answer, and whether it is our own."""
    if daemon.exists():
        docker = daemon.client(unpacked())
        # One that died left its containers behind, and only Docker knows how to end them.
        return (docker if docker.answers() else daemon.start(isolated=True)), True
    program = shutil.which("docker")
    theirs = Docker(Path(program)) if program else None
    return (theirs if theirs and theirs.answers() else None), False


def _has_network(docker: Docker) -> bool:
    return bool(docker("network", "ls", "--quiet", "--filter", f"name=^{NETWORK}$"))


def _node_image(docker: Docker, *, own: bool, say: Say) -> str:
    """Return "" for the stock image, else the name of the one that was built here, and is there."""
    # A daemon of our own asks nobody outside: where it is needed, there hardly is a registry.
    if not own and docker.can_pull(STOCK_IMAGE):
        return ""
    reason = why_not()
    if reason:
        raise LabImpossible(f"{STOCK_IMAGE} cannot be pulled, and building one is for root on Debian only: {reason}")
    build_missing(IMAGE_PROGRAMS)
    name = node_image()
    if not docker.has_image(name):
        say(f"building {name}")
        build_node_image(docker)
    return name
