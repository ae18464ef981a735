"""The charts in tests: rendered by the real helm, with values that stand in `tests/integration/charts/`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import tools

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent
SIDES = ("exporter", "importer")
SETTINGS = ("minimal", "everything")
RELEASE, NAMESPACE = "dr", "dr-syncer"
FULLNAME = f"{RELEASE}-dr-syncer-{{}}"

Object = dict[str, Any]


def chart(side: str) -> Path:
    """Return the folder of a chart."""
    return ROOT / "charts" / f"dr-syncer-{side}"


def values_file(side: str, setting: str) -> Path:
    """Return the file with values of one of `SETTINGS`."""
    return FOLDER / f"{side}-{setting}.values.yaml"


def golden_file(side: str, setting: str) -> Path:
    """Return the file with what these values give."""
    return FOLDER / f"{side}-{setting}.golden.yaml"


def values(side: str, setting: str = "minimal") -> Object:
    """Return the values of one of `SETTINGS`."""
    found: Object = yaml.safe_load(values_file(side, setting).read_text())
    return found


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Object:
    """Return `base` with `over` in it, mappings merged."""
    result = dict(base)
    for key, value in over.items():
        there = result.get(key)
        result[key] = merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return result


def helm(*args: str, check: bool = True, input: str | None = None, kubeconfig: Path | None = None) -> str:
    """Run helm; return what it prints on stdout, and on stderr when it fails and `check` is false."""
    command = [str(tools.find("helm")), *args]
    if kubeconfig:
        command += ["--kubeconfig", str(kubeconfig)]
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"helm {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if done.returncode == 0 else done.stderr


def text(side: str, given: Mapping[str, Any], *, namespace: str = NAMESPACE) -> str:
    """Return what the chart of `side` gives with values, as helm prints it."""
    return helm(
        "template",
        RELEASE,
        str(chart(side)),
        "--namespace",
        namespace,
        "--values",
        "-",
        input=yaml.safe_dump(dict(given)),
    )


def rendered(side: str, given: Mapping[str, Any], *, namespace: str = NAMESPACE) -> list[Object]:
    """Return the objects that the chart of `side` gives with values."""
    return [found for found in yaml.safe_load_all(text(side, given, namespace=namespace)) if found]


def refusal(side: str, given: Mapping[str, Any]) -> str:
    """Return what helm says of values that it refuses; fail when it does not."""
    command = [str(tools.find("helm")), "template", RELEASE, str(chart(side)), "--values", "-"]
    done = subprocess.run(command, input=yaml.safe_dump(dict(given)), capture_output=True, text=True, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def one(objects: list[Object], kind: str, name: str = "") -> Object:
    """Return the only object of a kind (and name)."""
    found = [each for each in objects if each["kind"] == kind and name in ("", each["metadata"]["name"])]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


def pod_of(workload: Object) -> Object:
    """Return the spec of the pods of a Deployment or CronJob."""
    spec = workload["spec"]
    template = spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]
    found: Object = template["spec"]
    return found


def write_configuration(objects: list[Object], folder: Path, *, cron_job: str = "") -> Path:
    """Lay the configuration out as the pods of the Deployment, or of a CronJob, see it; return the path of its file."""
    workload = one(objects, "CronJob", cron_job) if cron_job else one(objects, "Deployment")
    sources = next(
        volume["projected"]["sources"] for volume in pod_of(workload)["volumes"] if volume["name"] == "config"
    )
    for source in sources:
        kind = "configMap" if "configMap" in source else "secret"
        for item in source[kind]["items"]:
            file = folder / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            text = "0123456789abcdef\n"
            if kind == "configMap":
                text = one(objects, "ConfigMap", source[kind]["name"])["data"][item["key"]]
            file.write_text(text)
    return folder / "dr-syncer.yaml"


def dr_syncer(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a pod does, on a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *args], capture_output=True, text=True, check=False, timeout=180
    )
