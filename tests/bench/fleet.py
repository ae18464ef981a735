"""A source cluster with many claims, each used by a pod, and `dr-syncer volumes backup` of all of them, measured."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.stopwatch import ROOT, Run, run, spent
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import PROGRAM, Kubelet, use
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.backups import Backups

TOGETHER = 50  # claims in a namespace
_NODES = tuple(f"node-{number}" for number in range(1, 6))
_USER = "replica-0"  # the dispatcher's own: what it asks is told apart from what the nodes ask
_HANDS = 8  # that fill the cluster
# As large as pods are.
_ABOUT = {"annotations": {"example.com/about": "x" * 4_000}}
# Nodes that nobody hears of are not well after a while: nothing is to come of that.
_SPEC = {"tolerations": [{"operator": "Exists"}]}
_BOUND = 600.0  # seconds, at most


@dataclass(frozen=True, slots=True)
class Dispatched:
    """One run of the dispatcher. `run` is itself, without the movers; `cpu` seconds are of both.

    `start` and `peak` are its memory in KiB; `requests` counts what it asked the API server, by what that was.
    """

    run: Run
    cpu: float
    start: int
    peak: int
    requests: Mapping[str, int]
    volumes: int

    @property
    def requests_each(self) -> float:
        """Requests per volume."""
        return sum(self.requests.values()) / self.volumes

    @property
    def cpu_each(self) -> float:
        """Seconds of processor time per volume, the start of the program among them."""
        return self.run.cpu / self.volumes


@dataclass(frozen=True, slots=True)
class Fleet:
    """A cluster whose claims have their volumes below `folder`; so many are `together` in one namespace."""

    backups: Backups
    folder: Path
    together: int = TOGETHER

    def claims(self, count: int) -> list[tuple[str, str]]:
        """Return the first `count` claims, namespace and name."""
        return [(f"shop-{number // self.together:03}", f"data-{number:05}") for number in range(count)]

    def fill(self, count: int, write: Callable[[Path, int], object]) -> None:
        """Make claims until there are `count`, each bound and used by a pod; `write` puts the data into its volume."""
        cluster, wanted = self.backups.cluster, self.claims(count)
        there = {claim["metadata"]["name"] for claim in self._found()}
        for namespace in sorted({namespace for namespace, _ in wanted}):
            cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])

        def make(number: int) -> None:
            namespace, name = wanted[number]
            write(self.backups.volumes.begin(namespace, name), number)
            node = _NODES[number % len(_NODES)]
            use(cluster, namespace, name, node=node, name=f"web-{number:05}", metadata=_ABOUT, **_SPEC)

        with ThreadPoolExecutor(_HANDS) as pool:
            list(pool.map(make, (number for number, (_, name) in enumerate(wanted) if name not in there)))
        cluster.wait_for(
            lambda: all(claim["status"].get("phase") == "Bound" for claim in self._found()),
            what="claims to be bound",
            timeout=_BOUND,
        )

    def back_up(self, count: int, **mover: Any) -> Dispatched:
        """Run the dispatcher to its end. All `count` volumes have to be whole, or its figures say nothing."""
        cluster, report, output = self.backups.cluster, self.folder / "memory", self.folder / "outcome.json"
        self._dispatch(output, report, "--dry-run", **mover)  # as installed: with its bytecode
        cluster.audit.mark()
        before = spent()
        done = self._dispatch(output, report, **mover)
        cpu = spent() - before
        volumes = json.loads(output.read_bytes())["volumes"]
        states = Counter(volume["state"] for volume in volumes)
        if states["Complete"] != count or len(volumes) != count:
            raise RuntimeError(f"the backup of {count} volumes gave {dict(states)}: its figures say nothing")
        start, peak = map(int, report.read_text().split())
        asked = Counter(f"{one.verb} {one.type or one.uri}" for one in cluster.audit.requests(user=_USER))
        return Dispatched(done, cpu, start, peak, asked, count)

    def _found(self) -> list[dict[str, Any]]:
        return self.backups.cluster.list("/api/v1/persistentvolumeclaims")

    def _dispatch(self, output: Path, report: Path, *arguments: str, **mover: Any) -> Run:
        config = self.backups.config(**{"startTimeout": "10m", **mover})
        config["exporter"]["kubeconfig"] = str(self.backups.cluster.kubeconfig_for(_USER))
        file = self.folder / "dr-syncer.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        words = ["volumes", "backup", "--adopt", "--config", str(file), "-o", "json", *arguments]
        argv = [sys.executable, "-m", "tests.bench.high_water", str(report), *words]
        return run(argv, env=environment(), output=output)


def environment() -> dict[str, str]:
    """Return what programs run in: they find restic and the project, and keep their bytecode."""
    path = f"{find('restic').parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}


@contextmanager
def fleet(folder: Path, *, program: Sequence[str] = PROGRAM, together: int = TOGETHER) -> Iterator[Fleet]:
    """A cluster with nodes that run `program` as movers, and rest-server beside it, both new, below `folder`."""
    own = Path(tempfile.mkdtemp(dir=folder))
    with (
        ControlPlane("source") as plane,
        RestServer(own / "rest") as server,
        Kubelet(plane, _NODES, program=program, environment=environment()) as kubelet,
    ):
        plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dr-syncer"}}])
        yield Fleet(Backups(plane, own, server, kubelet, "dr-syncer"), own, together)
