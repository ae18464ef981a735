"""Environment variables that are other ones in DR.

A variable gets its value where a container states it (`env`, with a value or from a reference), and nowhere else;
one that comes along with a whole ConfigMap or Secret (`envFrom`) is not stated. `add` states it where it is missing.
Values are never reported: they may be secret.
"""

from __future__ import annotations

from typing import Any

from drsyncer.manifest import Manifest
from transforms.containers import each_container
from transforms.entries import EnvEntry, globs, matching
from transforms.pods import POD_SPECS, Ledger, Path, describe
from transforms.settings import Result, Subject

NAME = "env"


def set_env(manifest: Manifest, subject: Subject) -> Result:
    """Set variables of every container; about one variable of one container the first entry decides."""
    entries = list(matching(subject.settings.env, subject.seen(manifest))) if subject.ref.type in POD_SPECS else []
    if not entries:
        return Result(manifest)
    ledger = Ledger(NAME)
    used: dict[str, None] = {}

    def visit(container: dict[str, Any], name: str, at: Path) -> dict[str, Any]:
        values: dict[str, tuple[str, EnvEntry]] = {}
        for entry in entries:
            if globs(entry.containers)(name):
                for variable, value in entry.values.items():
                    values.setdefault(variable, (value, entry))
        found = container.get("env")
        stated = [] if found is None else found
        if not isinstance(stated, list):
            raise ledger.fault((*at, "env"), describe(stated), "a list")
        changed = [_set(item, values, used, ledger, (*at, "env", str(index))) for index, item in enumerate(stated)]
        there = {item["name"] for item in changed if isinstance(item.get("name"), str)}
        for variable, (value, entry) in values.items():
            if entry.add and variable not in there:
                used[entry.label] = None
                ledger.record((*at, "env", str(len(changed))), f"{variable} added")
                changed.append({"name": variable, "value": value})
        return container if changed == stated else {**container, "env": changed}

    changed = each_container(manifest, subject.ref.type, visit, ledger=ledger)
    return Result(changed, ledger.applied, used=tuple(used))


def _set(
    item: Any, values: dict[str, tuple[str, EnvEntry]], used: dict[str, None], ledger: Ledger, at: Path
) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ledger.fault(at, describe(item), "a mapping")
    name = item.get("name")
    if not isinstance(name, str) or name not in values:
        return item
    value, entry = values[name]
    used[entry.label] = None
    new = {**{key: part for key, part in item.items() if key != "valueFrom"}, "value": value}
    if new == item:
        return item
    ledger.record(at, f"{name} set")
    return new
