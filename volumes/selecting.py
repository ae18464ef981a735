"""Which claims are backed up, which are not, and why: a verdict for each, the first check that decides explains it.

A claim that was asked for by name is taken whatever the configuration and its own annotation say of it in general;
what makes a backup impossible, or wrong, stays in its way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from drsyncer import own
from drsyncer.config.matches import to_match
from drsyncer.config.volumes import VolumeSelect
from drsyncer.manifest import Manifest, ObjectRef, labels, metadata
from drsyncer.match import Subject, annotations_of
from transforms.select import Selection, Verdict
from transforms.select_conditions import ignored, owned, terminating
from volumes import claims
from volumes.claims import CLAIMS, Claim, Key, claim_of


class Choice(StrEnum):
    """What becomes of a claim."""

    SELECTED = "selected"
    LEFT_OUT = "left out"  # as somebody wants it
    REFUSED = "refused"  # it is wanted, and cannot be backed up


@dataclass(frozen=True, slots=True)
class Chosen:
    """One claim and its verdict. `reason` is a sentence part for people, `check` the name of what decided."""

    claim: Claim
    choice: Choice
    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What one run is about: claims of these `namespaces`, or these `claims`; without either, all of them."""

    namespaces: frozenset[str] = frozenset()
    claims: frozenset[Key] = frozenset()

    def about(self, namespace: str, name: str) -> bool:
        """Return whether the run is about this claim."""
        if self.claims:
            return (namespace, name) in self.claims
        return not self.namespaces or namespace in self.namespaces


class Selecting:
    """The verdicts of one configuration."""

    def __init__(self, select: VolumeSelect, asked: Asked | None = None) -> None:
        self._asked = asked or Asked()
        self._annotated_only = select.annotated_only
        self._rules = Selection(
            include=[to_match(spec) for spec in select.include],
            exclude=[to_match(spec) for spec in select.exclude],
            checks=(),
        )
        self._decided: set[str] = set()

    def choose(self, manifest: Manifest, namespace_labels: Mapping[str, str]) -> Chosen | None:
        """Return the verdict on a claim, None when the run is not about it."""
        meta = metadata(manifest)
        ref = ObjectRef(CLAIMS.key, str(meta.get("namespace", "")), str(meta.get("name", "")))
        if not self._asked.about(ref.namespace, ref.name):
            return None
        subject = Subject(ref, CLAIMS, manifest, namespace_labels)
        choice, check, reason = self._never(subject) or self._unwanted(subject) or _impossible(manifest)
        return Chosen(claim_of(manifest), choice, check, reason)

    def unused(self) -> list[str]:
        """Return the rules of the configuration that decided nothing in a run that is about everything."""
        return [] if self._asked.claims or self._asked.namespaces else self._rules.unused(self._decided)

    def missing(self, found: Collection[Key]) -> list[Key]:
        """Return the claims that were asked for by name and are not there."""
        return sorted(self._asked.claims - set(found))

    def without_any(self, found: Collection[Key]) -> list[str]:
        """Return the namespaces that were asked for by name and hold no claim."""
        return sorted(self._asked.namespaces - {namespace for namespace, _ in found})

    def _never(self, subject: Subject) -> tuple[Choice, str, str] | None:
        if labels(subject.manifest).get(own.PART_OF) == own.OWN_NAME:
            return Choice.LEFT_OUT, "own", "it is one of DR-Syncer's own"
        if ignored(subject):
            return Choice.LEFT_OUT, "ignore", f"{own.IGNORE} says so"
        if terminating(subject):
            return Choice.LEFT_OUT, "terminating", "it is being deleted"
        if owned(subject):
            return Choice.LEFT_OUT, "scratch", "it goes with its pod: an ephemeral volume"
        return None

    def _unwanted(self, subject: Subject) -> tuple[Choice, str, str] | None:
        if self._asked.claims:
            return None
        wish = annotations_of(subject.manifest).get(own.BACKUP, "")
        if wish == "false":
            return Choice.LEFT_OUT, "annotation", f'{own.BACKUP} is "false"'
        verdict = self._verdict(subject)
        if not verdict.included and verdict.check != "include":
            return Choice.LEFT_OUT, verdict.check, verdict.reason
        if wish == "true":
            return None
        if self._annotated_only:
            return (
                Choice.LEFT_OUT,
                "annotatedOnly",
                f'{own.BACKUP} is not "true", and volumes.select.annotatedOnly is set',
            )
        return None if verdict.included else (Choice.LEFT_OUT, verdict.check, verdict.reason)

    def _verdict(self, subject: Subject) -> Verdict:
        verdict = self._rules.verdict(subject)
        self._decided.add(verdict.check)
        return verdict


def odd_wish(claim: Manifest) -> list[str]:
    """Return what is wrong with the annotation, or nothing."""
    name = f"{metadata(claim).get('namespace')}/{metadata(claim).get('name')}"
    return claims.odd_wish(name, own.BACKUP, annotations_of(claim).get(own.BACKUP, ""))


def _impossible(manifest: Manifest) -> tuple[Choice, str, str]:
    """Return why a claim that is wanted cannot be backed up, or that it is selected."""
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    phase = status.get("phase") or "Pending"
    if spec.get("volumeMode") == "Block":
        return (
            Choice.REFUSED,
            "block",
            "its volumeMode is Block, and only file systems are backed up; "
            f'annotate it with {own.BACKUP}: "false" and let what is in it make its own backup',
        )
    if phase == "Lost":
        return Choice.REFUSED, "lost", "its PersistentVolume is gone"
    if phase != "Bound":
        return Choice.LEFT_OUT, "not-bound", f"it is {phase}: there is no volume yet"
    return Choice.SELECTED, "select", "nothing leaves it out"
