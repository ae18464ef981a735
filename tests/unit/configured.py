"""Transforms as a person configures them: from `importer.transforms` through validation to the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drsyncer.config.rules import Transforms
from drsyncer.manifest import Manifest, ObjectRef
from importer.rules import settings_of
from transforms.pipeline import Transformed, transform
from transforms.settings import Settings, Standby

AWAKE = None
ASLEEP = Standby()


def settings(standby: Standby | None = AWAKE, **transforms: Any) -> Settings:
    """Return the settings for keys of `importer.transforms`, in their YAML spelling."""
    return settings_of(Transforms.model_validate(transforms), standby=standby)


def transformed(
    type_key: str,
    manifest: Mapping[str, Any],
    *,
    standby: Standby | None = AWAKE,
    known: Iterable[str] = (),
    services: Iterable[tuple[str, str]] = (),
    scale_path: str | None = None,
    **transforms: Any,
) -> Transformed:
    """Return what the pipeline makes of an object of the namespace `shop` (or the one it names)."""
    meta: Any = manifest.get("metadata", {})
    full: Manifest = {**manifest, "metadata": {"name": "web", "namespace": "shop", **meta}}
    ref = ObjectRef(type_key, full["metadata"]["namespace"], full["metadata"]["name"])
    return transform(
        full,
        ref,
        settings=settings(standby, **transforms),
        known_namespaces=frozenset(known),
        known_services=frozenset(services),
        scale_path=scale_path,
    )


def pod_template(pod: Mapping[str, Any]) -> Manifest:
    """Return the spec of a workload around a PodSpec."""
    return {"spec": {"template": {"spec": dict(pod)}}}


def pod_of(done: Transformed) -> Any:
    """Return the PodSpec of what came out."""
    return done.manifest["spec"]["template"]["spec"]
