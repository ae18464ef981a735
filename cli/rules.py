"""What may be wrong with the rules of a configuration although its schema is content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from drsyncer import paths

if TYPE_CHECKING:
    from drsyncer.config.schema import CleanRule, Config, Select
    from drsyncer.config.section import Loc
    from drsyncer.paths import Path
    from transforms.select_checks import Check


def faults(config: Config) -> Iterator[tuple[Loc, str]]:
    """Yield the place of each fault and a sentence about it."""
    from transforms.clean import forbidden_keep, forbidden_strip
    from transforms.select_checks import BUILT_IN, IMPORT

    if config.exporter is not None:
        yield from _switches(config.exporter.select, BUILT_IN, "exporter")
        clean = config.exporter.clean
        for word, rules, forbidden in (
            ("keep", clean.keep, forbidden_keep),
            ("strip", clean.strip, forbidden_strip),
        ):
            yield from _paths(rules, forbidden, ("exporter", "clean", word))
    if config.importer is not None:
        yield from _switches(config.importer.select, IMPORT, "importer")
        if config.volumes is not None and config.volumes.restore.follow and not config.importer.standby.enabled:
            yield (
                ("volumes", "restore", "follow"),
                "volumes can follow only where nothing runs on them: importer.standby.enabled is false",
            )


def _switches(select: Select, checks: Sequence[Check], side: str) -> Iterator[tuple[Loc, str]]:
    from transforms.select import why_not_switchable

    for index, name in enumerate(select.disable):
        objection = why_not_switchable(name, checks)
        if objection:
            yield (side, "select", "disable", index), objection


def _paths(
    rules: Sequence[CleanRule], forbidden: Callable[[Path], str], at: tuple[str, ...]
) -> Iterator[tuple[Loc, str]]:
    for index, rule in enumerate(rules):
        for number, text in enumerate(rule.paths):
            objection = forbidden(paths.parse(text))
            if objection:
                yield (*at, index, "paths", number), objection
