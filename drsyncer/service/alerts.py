"""What somebody should be woken for, as one table: the rule files of the charts and the documentation come from it.

A rule must be right when series are missing (a counter that never counted, a gauge that is 0 until it is known), when a
pod was restarted, when replicas stand by, and in the modes scheduled and manual, where silence is no failure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drsyncer.service.metrics import CLAIM, PREFIX
from drsyncer.service.promql import POD, WHO, metric, per

CRITICAL, WARNING = "critical", "warning"  # DR cannot be relied on; it will not be if this goes on
EXPORTER, IMPORTER = "exporter", "importer"
BOTH = (EXPORTER, IMPORTER)
SLACK = 300  # seconds after which a sign of life that was promised is missed
HOUR = 3600
NIGHT = "26h"  # somewhat longer than from one nightly backup to the next
POINT = 900  # seconds that DR's state may be older than the exporter's rhythm makes it
_ON = ", ".join(WHO)
_SINCE = "{{ if eq $value 0.0 }}never since it was started{{ else }}{{ $value | humanizeTimestamp }}{{ end }}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One row. `expr` gives the PromQL for a side, `hold` is for how long it must hold.

    `summary` and `description` are Prometheus templates; docs/how-to/monitor.md has a section of this name that says
    what to do.
    """

    name: str
    sides: tuple[str, ...]
    severity: str
    hold: str
    expr: Callable[[str], str]
    summary: str
    description: str
    keep: str = ""  # for how long it goes on firing after the last time that it held


def _age(beat: str, start: str) -> str:
    """Return since when there was no sign of life: since the start where there never was one."""
    return f"(({beat} > 0) or ({start} and on ({POD}) {PREFIX}leader == 1))"


def _continuous(side: str) -> str:
    return f"and on ({_ON}) ({per('max', metric('mode_info', mode='continuous'), side=side, leading=True)} == 1)"


def _absent(side: str) -> str:
    now, before = metric("build_info", side=side), metric("build_info", side=side, window="6h")
    return (
        f"(group by ({_ON}) (present_over_time({before}))\n"
        f"  unless group by ({_ON}) ({now}))\n"
        f"or absent_over_time({before})"
    )


def _runs_fail(side: str) -> str:
    success, run = metric("last_success_timestamp_seconds"), metric("last_run_timestamp_seconds")
    return f"{per('max', success, side=side)}\n  < {per('max', run, side=side)}"


def _silent(side: str) -> str:
    age = _age(metric("heartbeat_timestamp_seconds"), "process_start_time_seconds")
    return f"time() - {per('max', age, side=side)} > {SLACK}\n{_continuous(side)}"


def _due(side: str) -> str:
    return f"({per('max', metric('heartbeat_due_timestamp_seconds'), side=side)} > 0)"


def _overdue(side: str) -> str:
    return f"{per('max', metric('last_look_timestamp_seconds'), side=side)}\n  - {_due(side)} > {SLACK}"


def _unknown(side: str) -> str:
    beat, point = metric("heartbeat_timestamp_seconds"), metric("recovery_point_timestamp_seconds")
    return f"{per('max', beat, side=side)} == 0\nand on ({_ON}) {per('max', point, side=side)} > 0"


def _too_old(side: str) -> str:
    # Between two ticks of a schedule the importer does not know better: there its last look counts, not the clock.
    point = f"({per('max', metric('recovery_point_timestamp_seconds'), side=side, leading=True)} > 0)"
    beat = per("max", metric("heartbeat_timestamp_seconds"), side=side)
    look = per("max", metric("last_look_timestamp_seconds"), side=side)
    bound = f"{POINT} + clamp_min({_due(side)} - {beat}, 0)"
    return f"(time() - {point}\n  > {bound}\n{_continuous(side)})\nor\n({look} - {point}\n  > {bound})"


def _restic_silent(side: str) -> str:
    # One that has not answered since the start of the pod is as silent as one that did.
    since = f"(({metric('restic_answered_timestamp_seconds')} > 0) or ({metric('restic_asked_timestamp_seconds')} > 0))"
    return f"time() - {per('max', since, side=side, leading=True)} > {HOUR}"


def _never_backed_up(side: str) -> str:
    # A claim that the importer has only just begun to look at, such as after its configuration changed, gets a night.
    # By the claim, and without a `for`: a pod that is started anew must not begin to count anew, nor may new claims
    # that come all day long be taken for one that stays. Half an hour bridges the gap of such a start back then.
    never = per("max", metric("volume_backup_state", state="Never"), side=side, leading=True, by=CLAIM)
    known = per("max", metric("volume_backup_state", state="~Waiting|Never"), side=side, leading=True, by=CLAIM)
    return f"count by ({_ON}) (\n  {never}\n  and max_over_time(({known})[30m:1m] offset {NIGHT})\n)"


def _not_verified(side: str) -> str:
    due = f"({per('max', metric('verification_due_timestamp_seconds'), side=side, leading=True)} > 0)"
    return f"time() - {due} > 0"


def _leading(name: str, **labels: str) -> Callable[[str], str]:
    """Return when a gauge of the replica that works is above 0."""
    return lambda side: f"{per('max', metric(name, **labels), side=side, leading=True)} > 0"


def _grew(name: str, *, window: str, times: int, by: str, **labels: str) -> Callable[[str], str]:
    series = f"increase({metric(name, window=window, **labels)})"
    return lambda side: f"{per('sum', series, side=side, by=(by,))} >= {times}"


ALERTS: tuple[Alert, ...] = (
    Alert(
        "DrSyncerAbsent",
        BOTH,
        CRITICAL,
        "10m",
        _absent,
        "No {side} is running",
        "Prometheus has seen no {side} for more than 10 minutes"
        "{{ with $labels.cluster }} for the cluster {{ . }}{{ end }}: it does not run, or is not scraped.",
        keep="15m",
    ),
    Alert(
        "DrSyncerNoLeader",
        BOTH,
        CRITICAL,
        "3m",
        lambda side: f"{per('sum', metric('leader'), side=side)} == 0",
        "No {side} works for {{ $labels.cluster }}",
        "Replicas run, and none of them has been the leader for 3 minutes: nothing is done.",
    ),
    Alert(
        "DrSyncerTwoLeaders",
        BOTH,
        CRITICAL,
        "2m",
        lambda side: f"{per('sum', metric('leader'), side=side)} > 1",
        "{{ $value }} leaders among the {side}s for {{ $labels.cluster }}",
        "{{ $value }} replicas work at the same time: two installations of one job, or leader election is off.",
    ),
    Alert(
        "DrSyncerRestarting",
        BOTH,
        WARNING,
        "5m",
        lambda side: f"{per('max', 'changes(process_start_time_seconds[1h])', side=side)} >= 3",
        "The {side} for {{ $labels.cluster }} keeps restarting",
        "It was started {{ $value }} times anew within an hour.",
    ),
    Alert(
        "DrSyncerRunsFail",
        BOTH,
        WARNING,
        "30m",
        _runs_fail,
        "The {side} for {{ $labels.cluster }} has had no full success for 30 minutes",
        f"Runs end, and none of them with nothing left out. The last one that did: {_SINCE}.",
    ),
    Alert(
        "DrSyncerFailing",
        BOTH,
        WARNING,
        "15m",
        _grew("failures_total", window="15m", times=2, by="reason"),
        "The {side} for {{ $labels.cluster }} fails again and again: {{ $labels.reason }}",
        'About {{ printf "%.0f" $value }} failures of the kind {{ $labels.reason }} in 15 minutes; its log says why.',
    ),
    Alert(
        "DrSyncerConfigFaulty",
        BOTH,
        WARNING,
        "2m",
        lambda side: f"{per('max', metric('config_faulty'), side=side)} > 0",
        "The new configuration of the {side} for {{ $labels.cluster }} is faulty",
        "The one before is in force until the file is mended; a restart before that would not come up.",
    ),
    Alert(
        "DrSyncerExporterSilent",
        (EXPORTER,),
        CRITICAL,
        "1m",
        _silent,
        "The exporter of {{ $labels.cluster }} has left no sign of life for {{ $value | humanizeDuration }}",
        "What changed in the source since then is not known to be in Git. A sign is due every minute.",
    ),
    Alert(
        "DrSyncerUnpushedCommits",
        (EXPORTER,),
        CRITICAL,
        "10m",
        _leading("unpushed_commits"),
        "{{ $value }} commits of {{ $labels.cluster }} are not in the recovery repository",
        "They lie in the exporter's clone only, for more than 10 minutes: with the source, they would be lost.",
    ),
    Alert(
        "DrSyncerIncompleteTypes",
        (EXPORTER,),
        WARNING,
        "15m",
        _leading("incomplete_types"),
        "{{ $value }} types of {{ $labels.cluster }} cannot be read in full",
        "What Git has of them may be old, and nothing of them is deleted there.",
    ),
    Alert(
        "DrSyncerWatchesLost",
        (EXPORTER,),
        WARNING,
        "5m",
        _leading("watches", state="lost"),
        "{{ $value }} watches of {{ $labels.cluster }} are not connected",
        "Changes of these types are not seen until they are back.",
    ),
    Alert(
        "DrSyncerBackupsDamaged",
        (EXPORTER,),
        CRITICAL,
        "1m",
        _leading("backups_damaged"),
        "Backups of {{ $labels.cluster }} are damaged",
        "`dr-syncer volumes verify` found what recovery points need missing, damaged or different, and none has found "
        "it well since.",
        keep="15m",
    ),
    Alert(
        "DrSyncerBackupsNotVerified",
        (EXPORTER,),
        WARNING,
        "1h",
        _not_verified,
        "The backups of {{ $labels.cluster }} are not verified",
        "No `dr-syncer volumes verify` has come to a verdict for {{ $value | humanizeDuration }} longer than "
        "volumes.verifyMaxAge allows: nobody knows whether they can be restored.",
    ),
    Alert(
        "DrSyncerHeartbeatOverdue",
        (IMPORTER,),
        CRITICAL,
        "1m",
        _overdue,
        "The source's exporter is silent, as {{ $labels.cluster }} sees it",
        "At the last look at Git its next sign of life was overdue by {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "DrSyncerHeartbeatUnknown",
        (IMPORTER,),
        WARNING,
        "30m",
        _unknown,
        "{{ $labels.cluster }} knows no sign of life of the source's exporter",
        "DR has a recovery point, and nobody can tell whether its exporter still lives.",
    ),
    Alert(
        "DrSyncerHeartbeatIncomplete",
        (IMPORTER,),
        WARNING,
        "30m",
        _leading("heartbeat_incomplete"),
        "The recovery points that {{ $labels.cluster }} gets are incomplete",
        "The source's exporter says that it could not read everything, or that deletions wait for somebody.",
    ),
    Alert(
        "DrSyncerRecoveryPointTooOld",
        (IMPORTER,),
        CRITICAL,
        "5m",
        _too_old,
        "What {{ $labels.cluster }} has is {{ $value | humanizeDuration }} old",
        f"A failover now would lose that much: {POINT // 60} minutes more than the exporter's rhythm explains.",
    ),
    Alert(
        "DrSyncerImporterBehind",
        (IMPORTER,),
        WARNING,
        "10m",
        _leading("behind"),
        "Git has what {{ $labels.cluster }} has not",
        "A newer recovery point has waited for more than 10 minutes: it is refused, held back, or its import fails.",
    ),
    Alert(
        "DrSyncerBlockedObjects",
        (IMPORTER,),
        WARNING,
        "15m",
        _leading("objects", action="blocked"),
        "{{ $value }} objects are not in {{ $labels.cluster }} as Git has them",
        "Each has its reason; all others are in place.",
    ),
    Alert(
        "DrSyncerDriftKeepsComing",
        (IMPORTER,),
        WARNING,
        "30m",
        _leading("drifted_objects"),
        "Somebody keeps changing {{ $value }} objects in {{ $labels.cluster }}",
        "Each look for 30 minutes found objects that other hands had changed: a controller, or another tool, fights.",
    ),
    Alert(
        "DrSyncerVolumesTooOld",
        (IMPORTER,),
        CRITICAL,
        "15m",
        _leading("volumes_too_old"),
        "The newest backup of {{ $value }} volumes is too old, as {{ $labels.cluster }} sees it",
        "Their newest whole snapshot is older than volumes.maxAge, or is not in the restic repository, or no backup of "
        "them was ever whole.",
    ),
    Alert(
        "DrSyncerVolumesNeverBackedUp",
        (IMPORTER,),
        CRITICAL,
        "5m",
        _never_backed_up,
        "{{ $value }} volumes were never backed up, as {{ $labels.cluster }} sees it",
        "They should be, and for longer than volumes.maxAge, and than a night, no backup has tried them: a failover "
        "now would find no data of theirs.",
        keep="15m",
    ),
    Alert(
        "DrSyncerBackupsNotWhole",
        (IMPORTER,),
        WARNING,
        "15m",
        _leading("volume_backups", state="~Partial|Empty|Failed|Locked"),
        "The newest backup of volumes was not whole, as {{ $labels.cluster }} sees it",
        "Of at least {{ $value }} of them; the snapshot before is kept. Each record in Git says how its backup ended.",
    ),
    Alert(
        "DrSyncerVolumesNotRestored",
        (IMPORTER,),
        WARNING,
        "1h",
        _leading("volumes", state="~partial|failed|refused"),
        "Volumes in {{ $labels.cluster }} do not have the data of the recovery point",
        "For an hour, the restore of at least {{ $value }} of them has failed, was not whole, or was refused.",
    ),
    Alert(
        "DrSyncerResticSilent",
        (IMPORTER,),
        CRITICAL,
        "5m",
        _restic_silent,
        "The restic repository has not answered {{ $labels.cluster }} for {{ $value | humanizeDuration }}",
        "A failover now would have no data but what is in DR's volumes already.",
    ),
    Alert(
        "DrSyncerWebhookRefused",
        (IMPORTER,),
        WARNING,
        "0m",
        _grew(
            "webhook_calls_total",
            window="1h",
            times=3,
            by="verdict",
            verdict="~unsigned|wrong|stale|malformed|too-large|closed",
        ),
        "The importer for {{ $labels.cluster }} refuses calls of its webhook: {{ $labels.verdict }}",
        'About {{ printf "%.0f" $value }} in an hour: the secrets do not agree, or somebody tries.',
    ),
)


def of_side(side: str) -> tuple[Alert, ...]:
    """Return the alerts for an installation of this side."""
    return tuple(alert for alert in ALERTS if side in alert.sides)
