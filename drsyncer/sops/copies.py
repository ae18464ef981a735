"""Annotations in which tools keep a copy of the whole object: what is encrypted of it is readable there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from drsyncer.manifest import Manifest, metadata

# kubectl and what follows its example; kapp; Rancher's objectset, which compresses; Banzai Cloud's operators, too.
_NAMES = re.compile(r"last-applied|^kapp\.k14s\.io/original|^objectset\.rio\.cattle\.io/applied$")
_DEEPEST = 50  # levels of such a copy that are looked at; one that goes deeper counts as one


def is_copy(name: str, text: object, hidden: Callable[[str], bool]) -> bool:
    """Return whether an annotation holds, or may hold, what stands below a `hidden` key of its object."""
    if _NAMES.search(name):
        return True
    if not isinstance(text, str) or not text.lstrip().startswith(("{", "[")):
        return False
    try:
        return _holds(json.loads(text), hidden, _DEEPEST)
    except RecursionError:
        return True
    except ValueError:
        return False


def without_copies(manifest: Manifest, hidden: Callable[[str], bool]) -> Manifest:
    """Return a confidential object without the annotations that repeat it; the very same when there are none."""
    meta = metadata(manifest)
    found = meta.get("annotations")
    if not isinstance(found, dict):
        return manifest
    kept = {name: text for name, text in found.items() if not is_copy(name, text, hidden)}
    if len(kept) == len(found):
        return manifest
    rest = {key: value for key, value in meta.items() if key != "annotations"}
    return {**manifest, "metadata": {**rest, **({"annotations": kept} if kept else {})}}


def _holds(value: Any, hidden: Callable[[str], bool], left: int) -> bool:
    if left == 0:
        return True
    if isinstance(value, dict):
        return any(hidden(key) or _holds(item, hidden, left - 1) for key, item in value.items())
    return isinstance(value, list) and any(_holds(item, hidden, left - 1) for item in value)
