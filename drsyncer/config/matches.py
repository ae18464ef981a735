"""From the configuration's match entries to the values that the engines work with."""

from __future__ import annotations

from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.rules import Select
from drsyncer.match import Match, match


def to_match(spec: MatchSpec) -> Match:
    """Return the Match that a configuration entry describes; its selectors were checked when it was loaded."""
    return match(
        types=spec.types,
        namespaces=spec.namespaces,
        names=spec.names,
        labels=spec.labels,
        namespace_labels=spec.namespace_labels,
        annotations=spec.annotations,
    )


def asks_for_namespace_labels(select: Select) -> bool:
    """Return whether a rule looks at the labels of an object's namespace."""
    return any(spec.namespace_labels for spec in (*select.include, *select.exclude))
