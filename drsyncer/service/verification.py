"""What is known of the last `dr-syncer volumes verify`: a value that outlives the process, for metrics and the status.

The process that verifies ends with its result, and may be killed. So it leaves this beside the status of the exporter,
whose service reads it there. Damage that was found stays known until a run has looked where it was and found nothing:
the next one reads another share of the data, and would miss it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from drsyncer.service.metrics import Metrics
    from drsyncer.service.status import Status

VERSION = 1
_WHOLE_SHARE = 100  # per cent


class Verdict(StrEnum):
    """How a run ended."""

    WHOLE = "whole"  # of what it looked at
    UNLISTED = "unlisted"  # whole, but a restore of some snapshots could not be compared with the source
    DAMAGED = "damaged"
    FAILED = "failed"  # it came to no verdict


class Damage(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What was found, and is not known to be mended. `data`: restic's check found it; `different`: a comparison did."""

    since: datetime
    text: str
    repository: str
    data: bool = False
    different: bool = False


class Verification(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The last run, and what the last one that came to a verdict (`judged`: its end) had looked at.

    `read` is the share of the repository's data in per cent; `compared` of the `comparable` snapshots were held against
    the lists of their files. Times are aware and in UTC.
    """

    version: int = VERSION
    ended: datetime
    verdict: Verdict
    text: str = ""
    judged: datetime | None = None
    read: int = 0
    compared: int = 0
    comparable: int = 0
    damage: Damage | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one run found. `text` is in a sentence what is wrong. See `Verification`."""

    ended: datetime
    repository: str
    read: int
    compared: int
    comparable: int
    text: str = ""
    missing: bool = False
    data: bool = False
    different: bool = False

    @property
    def damaged(self) -> bool:
        """Whether something that recovery points need is missing, damaged or different."""
        return self.missing or self.data or self.different

    @property
    def verdict(self) -> Verdict:
        """The same in a word."""
        if self.damaged:
            return Verdict.DAMAGED
        return Verdict.UNLISTED if self.text else Verdict.WHOLE


# Made here, and not where it is used: see `status`.
_decode = msgspec.json.Decoder(Verification).decode


def after(before: Verification | None, found: Finding) -> Verification:
    """Return what is known after a run that came to a verdict."""
    return Verification(
        ended=found.ended,
        verdict=found.verdict,
        text=found.text,
        judged=found.ended,
        read=found.read,
        compared=found.compared,
        comparable=found.comparable,
        damage=_damage(before.damage if before is not None else None, found),
    )


def after_failure(before: Verification | None, *, ended: datetime, text: str) -> Verification:
    """Return what is known after a run that came to no verdict: all that was, and that it failed."""
    known = before or Verification(ended=ended, verdict=Verdict.FAILED)
    return msgspec.structs.replace(known, ended=ended, verdict=Verdict.FAILED, text=text)


def _damage(before: Damage | None, found: Finding) -> Damage | None:
    # What is missing is looked for by each run; the rest only by one that looks at everything.
    data = different = False
    if before is not None and before.repository == found.repository:
        data = before.data and (found.data or found.read < _WHOLE_SHARE)
        different = before.different and (found.different or found.compared < found.comparable)
    stands = before if before is not None and (data or different) else None
    if stands is None and not found.damaged:
        return None
    old = stands.text if stands is not None else ""
    return Damage(
        since=stands.since if stands is not None else found.ended,
        text=found.text if found.damaged else old,
        repository=found.repository,
        data=data or found.data,
        different=different or found.different,
    )


def due(status: Status) -> datetime | None:
    """Return when a next run must have come to a verdict, None where none is awaited."""
    if not status.verify_within or status.verification_awaited is None:
        return None
    judged = status.verification.judged if status.verification is not None else None
    since = max(filter(None, (judged, status.verification_awaited)))
    return since + timedelta(seconds=status.verify_within)


def awaited(now: Status, seconds: float | None, *, since: datetime) -> Status:
    """Return the status of a service whose backups are to be verified every so many seconds; None: by nobody.

    `since` counts where nobody awaited it before (see `status.resumed`).
    """
    return msgspec.structs.replace(now, verify_within=seconds or 0.0, verification_awaited=since if seconds else None)


def measure(metrics: Metrics, status: Status) -> None:
    """Set the metrics to what the status says."""
    known = status.verification
    until = due(status)
    metrics.set("verification_due_timestamp_seconds", until.timestamp() if until else 0.0)
    judged = known.judged if known is not None else None
    metrics.set("verification_timestamp_seconds", judged.timestamp() if judged else 0.0)
    for verdict in Verdict:
        metrics.set("verification", float(known is not None and known.verdict is verdict), result=str(verdict))
    metrics.set("backups_damaged", float(known is not None and known.damage is not None))
    metrics.set("verification_read_ratio", known.read / 100 if known is not None else 0.0)
    compared = known.compared / known.comparable if known is not None and known.comparable else 0.0
    metrics.set("verification_compared_ratio", compared)


def measuring(metrics: Metrics, current: Callable[[], Status]) -> Callable[[], None]:
    """Return what brings the metrics up to date with the status, for whoever is about to show them."""
    return lambda: measure(metrics, current())


def text_of(known: Verification) -> str:
    """Return the JSON that `parse` reads."""
    return msgspec.json.format(msgspec.json.encode(known), indent=1).decode()


def parse(text: str) -> Verification | None:
    """Return what `text_of` was given; None for what nobody of us has written. Anybody may edit a ConfigMap."""
    try:
        found = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    damage = found.damage
    times = (found.ended, *filter(None, (found.judged, damage.since if damage is not None else None)))
    return found if found.version == VERSION and all(time.tzinfo for time in times) else None
