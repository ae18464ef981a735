"""Which volumes are restored, and which are to be left alone, and why: the configuration's rules, and annotations.

In the order of a backup's selection (`volumes.selecting`): what is ignored, never; what was asked for by its name,
always; then the annotation "false", the rules that exclude, the annotation "true", the rules that include.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drsyncer import own
from drsyncer.config.matches import to_match
from drsyncer.config.volumes import RestoreSelect
from drsyncer.manifest import Manifest, ObjectRef
from drsyncer.match import Subject
from transforms.select import Selection, Verdict
from volumes import claims
from volumes.claims import CLAIMS

INCLUDED: Final = Verdict(True, "include", "no rule leaves it out")


class Selecting:
    """The verdicts of the rules of one configuration on claims, as Git has them."""

    def __init__(self, select: RestoreSelect) -> None:
        self._rules = Selection(
            include=[to_match(spec) for spec in select.include],
            exclude=[to_match(spec) for spec in select.exclude],
            checks=(),
        )
        self._decided: set[str] = set()
        self.has_rules = bool(select.include or select.exclude)
        self.asks_for_namespaces = any(spec.namespace_labels for spec in (*select.include, *select.exclude))

    def verdict(self, ref: ObjectRef, manifest: Manifest, namespace_labels: Mapping[str, str]) -> Verdict:
        """Return the verdict on one claim; `manifest` is empty for one that Git does not have."""
        found = self._rules.verdict(Subject(ref, CLAIMS, manifest, namespace_labels))
        self._decided.add(found.check)
        return found

    def unused(self) -> list[str]:
        """Return a warning for each rule that decided nothing, once all claims were looked at."""
        return [f"volumes.restore.select: {rule} matches no volume" for rule in self._rules.unused(self._decided)]


def excluded(verdict: Verdict, *, named: bool, ignored: bool, wish: str) -> str:
    """Return why a volume is to be left alone, "" when it is not. `wish` is what the claim's annotation says."""
    if ignored:
        return f"{own.IGNORE} says so"
    if named:
        return ""
    if wish == "false":
        return f'{own.RESTORE} is "false"'
    if verdict.included or (verdict.check == "include" and wish == "true"):
        return ""
    return f"volumes.restore.select: {verdict.check}: {verdict.reason}"


def odd_wish(claim: str, wish: str) -> list[str]:
    """Return what is wrong with the annotation, or nothing."""
    return claims.odd_wish(claim, own.RESTORE, wish)
