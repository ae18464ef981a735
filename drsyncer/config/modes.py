"""When a side works: the keys that the exporter and the importer have in common, and those of the importer alone.

A wrong cron expression or time zone is found here, when the file is read, and not at the first tick.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictStr

from drsyncer.config.section import Kind, Section, written
from drsyncer.config.values import Duration

Mode = Literal["continuous", "scheduled", "manual"]


def _expression(text: str) -> str:
    from drsyncer.service.cron import Cron  # which loads its library: only where a file is read

    return Cron(text, "UTC").expression


def _zone(text: str) -> str:
    from drsyncer.service.cron import Cron

    Cron("* * * * *", text)
    return text


CronText = Annotated[StrictStr, Kind("a cron expression", '"*/15 * * * *"'), AfterValidator(_expression)]
TimeZone = Annotated[StrictStr, Kind("a time zone", "Europe/Berlin"), AfterValidator(_zone)]


class Drift(Section):
    interval: Duration = Field(
        default=written("5m"), description="How often DR is compared with the recovery point that it has."
    )
    mode: Literal["correct", "report", "off"] = Field(
        default="correct",
        description="What other hands changed in DR: put it back (`correct`), say so and leave it until Git changes "
        "that object or somebody runs `dr-syncer import` (`report`), or do not look (`off`; it is left, too).",
    )
