"""Leaving word of a verification where the exporter's service and `dr-syncer status` read it: beside its status."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.say import warn
from cli.sides import STATUS, place_of, source_of
from drsyncer.cluster.lease import own_namespace
from drsyncer.errors import Conflict, DrSyncerError
from drsyncer.service import place as places
from drsyncer.service.status import said
from drsyncer.service.verification import Finding, Verification, after, after_failure

if TYPE_CHECKING:
    from drsyncer.cluster import Cluster
    from drsyncer.config.schema import Config
    from drsyncer.service.place import Place
    from volumes.verifying import Outcome

_TRIES = 10  # the service writes to the same ConfigMap, once a second at most

Then = Callable[[Verification | None], Verification]


@contextlib.contextmanager
def noted(config: Config) -> Iterator[Callable[[Outcome], None]]:
    """Leave word of what is found in the block, which tells it to what it is given, or of how the block failed.

    What cannot be left there is a warning: the verdict is right all the same, and that none is known will be noticed.
    """

    def note(outcome: Outcome) -> None:
        finding = finding_of(outcome, ended=datetime.now(UTC))
        _leave(config, lambda before: after(before, finding))

    try:
        yield note
    except DrSyncerError as error:
        ended, text = datetime.now(UTC), said(str(error))
        _leave(config, lambda before: after_failure(before, ended=ended, text=text))
        raise


def finding_of(outcome: Outcome, *, ended: datetime) -> Finding:
    """Return what a verification that ended then has found."""
    return Finding(
        ended=ended,
        repository=outcome.repository,
        read=int(outcome.subset.removesuffix("%") or 0),
        compared=len(outcome.compared),
        comparable=outcome.comparable,
        text=said(outcome.complaint),
        missing=bool(outcome.missing),
        data=bool(outcome.errors_total),
        different=any(one.total for one in outcome.compared),
    )


def _leave(config: Config, then: Then) -> None:
    assert config.exporter is not None
    place = place_of(config, "exporter")
    try:
        cluster = source_of(config.exporter, STATUS)
        try:
            place = _place(cluster, place)
            _write(cluster, place, then)
        finally:
            cluster.close()
    except DrSyncerError as error:
        warn([f"the exporter's service does not learn of this verification: {place} is not written: {error}"])


def _place(cluster: Cluster, place: Place) -> Place:
    """Return where the service has its status; without a service, where it would have it.

    A pod has it in its own namespace, and no right to look elsewhere.
    """
    return place if own_namespace() else places.found(cluster, place)


def _write(cluster: Cluster, place: Place, then: Then) -> None:
    for left in reversed(range(_TRIES)):
        notice = places.read(cluster, place)
        try:
            places.tell_verification(cluster, place, then(notice.verification), version=notice.resource_version)
        except Conflict:
            if not left:
                raise
        else:
            return
