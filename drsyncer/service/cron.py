"""When a scheduled run is due: cron expressions in a time zone.

The expression has five fields, as in crontab(5). Where clocks go forward, a tick in the hour that is left out comes
at its end; where they go back, a tick at a fixed time comes once and one of every hour or minute each time, as in
Debian's cron.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError


class Cron:
    """`expression` in the time zone `zone` (an IANA name). Raises ValueError, in one sentence, for what never ticks."""

    def __init__(self, expression: str, zone: str) -> None:
        self.expression = expression
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected the name of a time zone such as UTC or Europe/Berlin") from None
        if len(expression.split()) != 5:
            raise ValueError("expected a cron expression of five fields such as `*/15 * * * *`")
        try:
            next(CronSim(expression, datetime(2000, 1, 1, tzinfo=self._zone)))
        except CronSimError as error:
            raise ValueError(f"expected a cron expression such as `*/15 * * * *`: {str(error).lower()}") from None
        except StopIteration:
            raise ValueError("this cron expression names a day that never comes") from None

    def after(self, moment: datetime) -> datetime:
        """Return the first tick after `moment` (aware), in UTC."""
        return next(CronSim(self.expression, moment.astimezone(self._zone))).astimezone(UTC)

    def missed(self, last: datetime, now: datetime) -> int:
        """Return how many ticks there were after `last` and up to `now`: at most 1,000 are counted."""
        count, tick = 0, self.after(last)
        while tick <= now and count < 1_000:
            count, tick = count + 1, self.after(tick)
        return count
