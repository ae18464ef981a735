"""The image registry map: where DR pulls from.

A key names a registry (`registry.prod.example.com/`), a folder (`docker.io/library/`) or a repository,
and matches only at a boundary: `reg.io/app` is not a prefix of `reg.io/apple`. References are compared
in full, so `docker.io/` catches a bare `nginx:1`. The longest prefix wins, once. Tags and digests stay.
An image that no key matches stays exactly as it was written.

Not looked into: custom resources, whose fields no one can know to be images.
"""

from __future__ import annotations

from typing import Any

from drsyncer.manifest import Manifest
from transforms.pods import CONTAINERS, EACH, POD_SPECS, Ledger, Path, replace, rewrite
from transforms.settings import Result, Settings, Subject, full_image

NAME = "images"

# Below a PodSpec. Image volumes: KEP-4639.
REFERENCES: tuple[Path, ...] = (
    *((containers, EACH, "image") for containers in CONTAINERS),
    ("volumes", EACH, "image", "reference"),
)


def image_in_dr(image: str, settings: Settings) -> str:
    """Return the reference that DR pulls, `image` itself when no prefix matches."""
    full = full_image(image)
    for prefix, target in settings.image_prefixes:
        if not full.startswith(prefix):
            continue
        rest = full[len(prefix) :]
        # After a registry a colon is a port, which makes it another registry; after a repository it is a tag.
        boundary = ("/", ":", "@") if "/" in prefix else ("/",)
        if rest.startswith(boundary) or (not rest and "/" in prefix):
            return target + rest
    return image


def map_images(manifest: Manifest, subject: Subject) -> Result:
    """Rewrite the images of all containers and image volumes of a type that holds a pod template."""
    pod_spec = POD_SPECS.get(subject.ref.type)
    if pod_spec is None or not subject.settings.image_prefixes:
        return Result(manifest)
    ledger = Ledger(NAME)

    def visit(pod: Any, at: Path) -> Any:
        for path in REFERENCES:
            pod = replace(pod, path, lambda image: image_in_dr(image, subject.settings), ledger=ledger, at=at)
        return pod

    return Result(rewrite(manifest, pod_spec, visit, ledger=ledger), ledger.applied)
