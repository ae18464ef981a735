"""What one core does by itself, without cluster, Git or network: objects of the source, cleaned and written."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from drsyncer.cluster import connect
from drsyncer.config.secrets import Secrets
from drsyncer.manifest import Manifest, ResourceType
from drsyncer.yaml.emit import emit
from drsyncer.yaml.read import read
from exporter.confidential import confidential_of
from exporter.filing import Filed, Filing
from tests.bench.report import Figure
from tests.bench.sides import Sides
from transforms.clean import Cleaner
from transforms.select import Selection

_SECONDS = 3.0  # of measuring, per figure
_READABLE = confidential_of(Secrets.model_validate({"mode": "plaintext"}))


def measure(sides: Sides) -> list[Figure]:
    """Return objects per second of one core, for the halves of an export and for reading files."""
    items = _raw_objects(sides)
    filing = Filing(selection=Selection(), cleaner=Cleaner(), confidential=_READABLE, namespace_labels={})
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
        _figure("one core: clean, write YAML", clean_and_emit, count=len(subjects), bytes_=size),
        _figure("one core: decode JSON, select, clean, write YAML", whole, count=len(items), bytes_=size),
        _figure("one core: read YAML", read_all, count=len(filed), bytes_=size),
    ]


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
    filing = Filing(selection=selection, cleaner=Cleaner(), confidential=_READABLE, namespace_labels={})
    return selection.verdict(filing.subject(manifest, type_)).included
