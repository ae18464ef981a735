"""Images without a daemon: a folder becomes the archive that `docker load` and `ctr images import` read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image of one layer: its name with a tag, what its layer holds, and what a container of it runs."""

    name: str
    root: Path
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()


def write_archive(recipe: Recipe, archive: Path, *, architecture: str) -> None:
    """Write the image to `archive`, in the format of `docker save`."""
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as packed:
        for entry in sorted(recipe.root.iterdir()):
            packed.add(entry, arcname=entry.name)
    with layer.open("rb") as stream:
        layer_digest = hashlib.file_digest(stream, "sha256").hexdigest()
    config = json.dumps(image_config(recipe, layer_digest=layer_digest, architecture=architecture)).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [recipe.name], "Layers": [layer_name]}]
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as whole:
        _add(whole, config_name, config)
        whole.add(layer, arcname=layer_name)
        _add(whole, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()


def image_config(recipe: Recipe, *, layer_digest: str, architecture: str) -> dict[str, Any]:
    """Return the image's configuration. It holds no time: the same files give the same image."""
    runs = {"Entrypoint": list(recipe.entrypoint), "Cmd": list(recipe.command)}
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": [PATH], **{key: value for key, value in runs.items() if value}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created_by": "the lab of dr-syncer"}],
    }


def _add(whole: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    whole.addfile(entry, io.BytesIO(content))
