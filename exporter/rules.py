"""The exporter's rules out of its configuration."""

from __future__ import annotations

from drsyncer import paths
from drsyncer.config.matches import asks_for_namespace_labels, to_match
from drsyncer.config.schema import Clean, Exporter, Select
from transforms.clean import Cleaner, UserRule
from transforms.select import Selection

_GLOB = set("*?[")


def selection_of(select: Select) -> Selection:
    """Return the selection that the configuration describes. Raises ValueError for an unknown check in `disable`."""
    return Selection(
        include=[to_match(spec) for spec in select.include],
        exclude=[to_match(spec) for spec in select.exclude],
        disable=select.disable,
    )


def cleaner_of(clean: Clean) -> Cleaner:
    """Return the cleaner with the user's own `keep` and `strip` beside the built-in rules."""
    return Cleaner(
        keep=[UserRule(to_match(rule.match), tuple(paths.parse(path) for path in rule.paths)) for rule in clean.keep],
        strip=[UserRule(to_match(rule.match), tuple(paths.parse(path) for path in rule.paths)) for rule in clean.strip],
    )


def asks_for_labels(config: Exporter) -> bool:
    """Return whether any rule looks at the labels of namespaces: then nothing is decided without them."""
    return asks_for_namespace_labels(config.select, *(entry.match for entry in config.secrets.also_encrypt))


def named_namespaces(select: Select) -> list[str]:
    """Return the namespaces that `include` names in full, for credentials that cannot list the whole cluster."""
    return sorted({name for spec in select.include for name in spec.namespaces if not _GLOB & set(name)})


def is_confined(select: Select) -> bool:
    """Return whether nothing outside `named_namespaces` can be selected, nor anything cluster-scoped but themselves."""
    return bool(select.include) and all(
        spec.namespaces and not any(_GLOB & set(name) for name in spec.namespaces) for spec in select.include
    )
