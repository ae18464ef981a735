"""YAML as the recovery repository holds it: one deterministic writer, one suspicious reader.

What may be written and what will be read are bounded by the same numbers, so an object that
could not be read back at recovery time is refused at export time instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How large one document may be. Bounds memory and time, not taste: real objects stay far below."""

    # etcd takes requests of 1.5 MiB; text of nothing but control characters grows six-fold when escaped.
    max_bytes: int = 10 * 1024 * 1024
    depth: int = 100  # nested mappings and sequences, the document's own mapping counted
    nodes: int = 200_000  # keys, values, mappings and sequences


LIMITS = Limits()
