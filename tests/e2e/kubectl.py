"""One cluster of the story, through kubectl and helm: what a person types is what is tried."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.tools import find
from tests.e2e.lab.clusters import kubectl_program
from tests.e2e.lab.steps import LabFailed, answer

Object = dict[str, Any]
MANAGER = "e2e"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster; `cache` is a folder for what kubectl and helm remember, so that it is not the user's."""

    name: str
    kubeconfig: Path
    cache: Path

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 120.0) -> str:
        """Run kubectl and return what it printed. Raises `LabFailed` with its words."""
        base = [
            str(kubectl_program()),
            "--kubeconfig",
            str(self.kubeconfig),
            "--cache-dir",
            str(self.cache / "kubectl"),
        ]
        if not stdin:
            return answer([*base, *arguments], timeout=timeout)
        done = subprocess.run(
            [*base, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise LabFailed(f"kubectl {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}".strip())
        return done.stdout.strip()

    def helm(self, *arguments: str, timeout: float = 300.0) -> str:
        """Run helm and return what it printed. Raises `LabFailed` with its words."""
        homes = {f"HELM_{kind.upper()}_HOME": str(self.cache / f"helm-{kind}") for kind in ("cache", "config", "data")}
        env = {**homes, "PATH": "/usr/bin:/bin", "HOME": str(self.cache)}
        return answer([find("helm"), "--kubeconfig", self.kubeconfig, *arguments], env=env, timeout=timeout)

    def apply(self, objects: Sequence[Object]) -> None:
        """Apply manifests."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", f"--field-manager={MANAGER}", "-f", "-", stdin=json.dumps(listed))

    def apply_file(self, text: str) -> None:
        """Apply manifests as YAML."""
        self("apply", "--server-side", f"--field-manager={MANAGER}", "-f", "-", stdin=text)

    def get(self, type_: str, name: str, *, namespace: str) -> Object | None:
        """Return an object, None when it is not there."""
        printed = self("get", type_, name, "--namespace", namespace, "--ignore-not-found", "--output", "json")
        return dict(json.loads(printed)) if printed else None

    def list(self, type_: str, *, namespace: str, labels: str = "") -> Sequence[Object]:
        """Return objects."""
        selector = ["--selector", labels] if labels else []
        printed = self("get", type_, "--namespace", namespace, *selector, "--output", "json")
        return [dict(item) for item in json.loads(printed)["items"]]

    def ready_pods(self, *, namespace: str, labels: str) -> Sequence[str]:
        """The names of the pods that are ready."""
        pods = self.list("pods", namespace=namespace, labels=labels)
        return [pod["metadata"]["name"] for pod in pods if _is_ready(pod)]

    def said(self, *, namespace: str, labels: str) -> str:
        """The logs of the pods."""
        return self("logs", "--namespace", namespace, "--selector", labels, "--tail=-1", "--prefix", timeout=60)


def secret(name: str, namespace: str, values: Mapping[str, str], *, type_: str = "Opaque") -> Object:
    """Return a Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": type_,
        "stringData": dict(values),
    }


def _is_ready(pod: Object) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
