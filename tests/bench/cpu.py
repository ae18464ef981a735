"""What one core does by itself, without cluster, Git or network: objects cleaned, transformed and written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from drsyncer.cluster import connect
from drsyncer.manifest import Manifest, ResourceType
from drsyncer.match import Subject
from drsyncer.yaml.emit import emit
from drsyncer.yaml.read import read
from exporter.filing import Filed, Filing
from tests.bench.report import Figure
from tests.bench.sides import Sides
from transforms.clean import Cleaner
from transforms.pipeline import transform
from transforms.select import Selection
from transforms.settings import Settings, Standby

_SECONDS = 3.0  # of measuring, per figure
_GOAL = 3_000  # per second
DEPLOYMENTS = "deployments.apps"


def measure(sides: Sides) -> list[Figure]:
    """Return objects per second of one core, for the halves of an export and for reading files."""
    items = _raw_objects(sides)
    filing = Filing(selection=Selection(), cleaner=Cleaner(), plaintext_secrets=True, namespace_labels={})
    decoded = [(msgspec.json.decode(raw), type_) for raw, type_ in items]
    cleaner = Cleaner()
    subjects = [filing.subject(manifest, type_) for manifest, type_ in decoded]
    filed = [result for manifest, type_ in decoded if isinstance(result := filing.file(manifest, type_), Filed)]

    def whole() -> None:
        for raw, type_ in items:
            filing.file(msgspec.json.decode(raw), type_)

    def clean_and_emit() -> None:
        for subject in subjects:
            emit(cleaner.clean(subject).manifest)

    def read_all() -> None:
        for file in filed:
            read(file.data, file=file.path)

    size = sum(len(file.data) for file in filed)
    return [
        *_deployments([subject for subject in subjects if subject.ref.type == DEPLOYMENTS]),
        _figure("one core: clean, write YAML", clean_and_emit, count=len(subjects), bytes_=size),
        _figure("one core: decode JSON, select, clean, write YAML", whole, count=len(items), bytes_=size),
        _figure("one core: read YAML", read_all, count=len(filed), bytes_=size),
    ]


def _deployments(subjects: list[Subject]) -> list[Figure]:
    """Return what becomes of Deployments alone, with default settings: the goals are stated for them."""
    if not subjects:
        return []  # --only cpu, of a cluster that no other part has filled
    cleaner, settings = Cleaner(), Settings(standby=Standby())
    cleaned = [cleaner.clean(subject).manifest for subject in subjects]

    def clean_and_transform() -> None:
        for subject in subjects:
            transform(cleaner.clean(subject).manifest, subject.ref, settings=settings)

    def emit_all() -> None:
        for manifest in cleaned:
            emit(manifest)

    size = sum(len(emit(manifest)) for manifest in cleaned)
    works = {"cleaning + transform": clean_and_transform, "emit": emit_all}
    return [
        _with_goal(_figure(f"one core: Deployments, {what}", work, count=len(subjects), bytes_=size))
        for what, work in works.items()
    ]


def _with_goal(figure: Figure) -> Figure:
    (rate,) = figure.raw["objects_per_second"]
    return replace(figure, goal=f"≥ {_GOAL:,}/s", reached=rate >= _GOAL)


def _figure(what: str, work: Callable[[], None], *, count: int, bytes_: int) -> Figure:
    work()
    turns, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < _SECONDS:
        work()
        turns += 1
    rate = turns * count / spent
    return Figure(what, f"{rate:,.0f}/s ({turns * bytes_ / spent / 1e6:.1f} MB/s)", raw={"objects_per_second": [rate]})


def _raw_objects(sides: Sides) -> list[tuple[bytes, ResourceType]]:
    """Return what the API server says of every selected object of the source, at most one page per type."""
    cluster = connect(kubeconfig=str(sides.source.kubeconfig))
    selection = Selection()
    found: list[tuple[bytes, ResourceType]] = []
    try:
        for type_ in cluster.discover().preferred():
            if selection.type_verdict(type_) is None:
                page = next(iter(cluster.pages(type_)))
                found += [(bytes(raw), type_) for raw in page.items if _is_selected(selection, raw, type_)]
    finally:
        cluster.close()
    return found


def _is_selected(selection: Selection, raw: msgspec.Raw, type_: ResourceType) -> bool:
    manifest: Manifest = msgspec.json.decode(raw)
    filing = Filing(selection=selection, cleaner=Cleaner(), plaintext_secrets=True, namespace_labels={})
    return selection.verdict(filing.subject(manifest, type_)).included
