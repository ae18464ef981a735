"""The raw/clean pairs: written by a capture, compared by the tests."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from drsyncer.manifest import Manifest, ObjectRef, ResourceType, metadata, split_api_version
from drsyncer.match import Subject
from drsyncer.yaml.emit import emit
from drsyncer.yaml.read import read
from tests.capture.scene import PLACES
from tests.cluster.api import Object
from tests.cluster.tools import kubernetes_version
from transforms.clean import Cleaned, Cleaner

FOLDER = Path(__file__).parents[1] / "unit" / "golden" / "captured"
_PLURALS = {case: path.split("/")[-2] for case, path in PLACES.items()}
_PLURALS |= {"namespace": "namespaces", "generated-name": "configmaps"}


def cases() -> list[str]:
    """The cases that were captured."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def load(case: str, which: str) -> Manifest:
    """Return `raw` or `clean` of a case."""
    file = FOLDER / case / f"{which}.yaml"
    return read(file.read_bytes(), file=str(file))


def cleaned(case: str, raw: Manifest) -> Cleaned:
    """Return what the built-in rules leave of a raw object."""
    group, version = split_api_version(raw["apiVersion"])
    meta = metadata(raw)
    namespace = str(meta.get("namespace", ""))
    type_ = ResourceType(group, version, _PLURALS[case], raw["kind"], bool(namespace))
    return Cleaner().clean(Subject(ObjectRef(type_.key, namespace, str(meta["name"])), type_, raw))


def write(found: Mapping[str, Object]) -> None:
    """Write every pair anew, and which Kubernetes it was captured from."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for case, raw in found.items():
        (FOLDER / case).mkdir(parents=True)
        (FOLDER / case / "raw.yaml").write_bytes(emit(raw))
        (FOLDER / case / "clean.yaml").write_bytes(emit(cleaned(case, raw).manifest))
    (FOLDER / "VERSION").write_text(kubernetes_version() + "\n")
