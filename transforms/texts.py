"""Every text in a part of an object, changed by one function.

Unlike `transforms.pods.rewrite` this asks for no order: what is not there or not as it should be stays as it is, since
whoever reads texts only looks for something in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transforms.pods import EACH, Path

Change = Callable[[str, Path], str]


def changed_texts(node: Any, path: Path, change: Change, *, holding: str = "", at: Path = ()) -> Any:
    """Return `node` with each text at or below `path` that holds `holding` replaced by `change(text, its path)`.

    The same node comes back when `change` gave back what it got. Keys are not texts.
    """
    if not path:
        return _below(node, change, holding, at)
    if path[0] == EACH:
        if not isinstance(node, list):
            return node
        items = [
            changed_texts(item, path[1:], change, holding=holding, at=(*at, str(index)))
            for index, item in enumerate(node)
        ]
        return node if all(new is old for new, old in zip(items, node, strict=True)) else items
    child = node.get(path[0]) if isinstance(node, dict) else None
    if child is None:
        return node
    changed = changed_texts(child, path[1:], change, holding=holding, at=(*at, path[0]))
    return node if changed is child else {**node, path[0]: changed}


def _below(node: Any, change: Change, holding: str, at: Path) -> Any:
    if isinstance(node, str):
        return change(node, at) if holding in node else node
    if isinstance(node, dict):
        changed = {
            key: new for key, value in node.items() if (new := _part(value, key, change, holding, at)) is not value
        }
        return {**node, **changed} if changed else node
    if isinstance(node, list):
        items = [_part(value, index, change, holding, at) for index, value in enumerate(node)]
        return node if all(new is old for new, old in zip(items, node, strict=True)) else items
    return node


def _part(value: Any, key: object, change: Change, holding: str, at: Path) -> Any:
    # Most texts hold nothing of interest, and a path for each would cost more than the search.
    if isinstance(value, str):
        return change(value, (*at, str(key))) if holding in value else value
    return _below(value, change, holding, (*at, str(key))) if isinstance(value, (dict, list)) else value
