"""What the services count and measure, as one table: the registry, the documentation, dashboard and alerts use it.

Names follow https://prometheus.io/docs/practices/naming/. No label holds the name of an object, a namespace or a
commit, since the number of series must not grow with the clusters. Only what is told of each volume (`CLAIM`) does, and
goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PREFIX = "dr_syncer_"
# Which volume of the source. Not `namespace`: that label is Prometheus' own for the pod that it asks, and what comes of
# two of one name depends on how it is set up.
CLAIM = ("claim_namespace", "persistentvolumeclaim")


class Kind(StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row. `name` is without the prefix; `side` is exporter, importer, or "" for both; `unit` is for the graphs."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    side: str = ""
    unit: str = "short"
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name of the series as Prometheus stores it (a histogram's without its suffixes)."""
        return PREFIX + self.name


_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

_LONG = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)

METRICS: tuple[Metric, ...] = (
    Metric("build_info", Kind.GAUGE, "Always 1; the labels say what runs.", ("version", "side", "cluster")),
    Metric("leader", Kind.GAUGE, "Whether this replica works: 1, or 0 while it waits to take over."),
    Metric("mode_info", Kind.GAUGE, "1 for the mode that is in force.", ("mode",)),
    Metric("runs_total", Kind.COUNTER, "Runs that ended, by how.", ("result",)),
    Metric("run_duration_seconds", Kind.HISTOGRAM, "How long a run took.", unit="s", buckets=_SECONDS),
    Metric(
        "last_run_timestamp_seconds", Kind.GAUGE, "When the last run ended, however it ended.", unit="dateTimeAsIso"
    ),
    Metric(
        "last_success_timestamp_seconds",
        Kind.GAUGE,
        "When a run last ended with nothing left out and nothing failed.",
        unit="dateTimeAsIso",
    ),
    Metric("failures_total", Kind.COUNTER, "Runs and requests that failed, by the kind of failure.", ("reason",)),
    Metric("pending", Kind.GAUGE, "What waits to be worked on: changes seen, or 1 for a run that is due."),
    Metric("api_requests_total", Kind.COUNTER, "Answers of the API server, by method and status.", ("verb", "code")),
    Metric("api_retries_total", Kind.COUNTER, "Requests to the API server that were sent once more."),
    Metric(
        "config_reloads_total", Kind.COUNTER, "Configurations that were read while running, by result.", ("result",)
    ),
    Metric("config_faulty", Kind.GAUGE, "1 while the configuration file is faulty and the one before is in force."),
    Metric("commits_total", Kind.COUNTER, "Commits that were made.", side="exporter"),
    Metric("changes_total", Kind.COUNTER, "Objects that changed in the recovery repository.", ("verb",), "exporter"),
    Metric("exported_objects", Kind.GAUGE, "Objects in the newest recovery point.", side="exporter"),
    Metric("incomplete_types", Kind.GAUGE, "Types that could not be read in full by the last run.", side="exporter"),
    Metric("watches", Kind.GAUGE, "Watches, by whether they are connected.", ("state",), "exporter"),
    Metric(
        "export_lag_seconds",
        Kind.HISTOGRAM,
        "From the first change that was seen to the pushed commit that holds it.",
        side="exporter",
        unit="s",
        buckets=_SECONDS,
    ),
    Metric(
        "verification_timestamp_seconds",
        Kind.GAUGE,
        "When `volumes verify` last came to a verdict; 0 for never.",
        side="exporter",
        unit="dateTimeAsIso",
    ),
    Metric(
        "verification_due_timestamp_seconds",
        Kind.GAUGE,
        "When the next verdict is due by volumes.verifyMaxAge; 0 where nobody is to verify.",
        side="exporter",
        unit="dateTimeAsIso",
    ),
    Metric(
        "verification",
        Kind.GAUGE,
        "1 for how the last `volumes verify` ended; none where there was none.",
        ("result",),
        "exporter",
    ),
    Metric(
        "backups_damaged",
        Kind.GAUGE,
        "1 from when `volumes verify` finds damage until one that looks there again does not, else 0.",
        side="exporter",
    ),
    Metric(
        "verification_read_ratio",
        Kind.GAUGE,
        "The share of the restic repository's data that the last verdict is about.",
        side="exporter",
        unit="percentunit",
    ),
    Metric(
        "verification_compared_ratio",
        Kind.GAUGE,
        "The share of the snapshots with a list of files that the last verdict held against it.",
        side="exporter",
        unit="percentunit",
    ),
    Metric("unpushed_commits", Kind.GAUGE, "Commits that the remote does not have yet.", side="exporter"),
    Metric(
        "heartbeat_timestamp_seconds",
        Kind.GAUGE,
        "The exporter's last sign of life in the recovery repository: what is older was not looked at.",
        unit="dateTimeAsIso",
    ),
    Metric(
        "heartbeat_due_timestamp_seconds",
        Kind.GAUGE,
        "When the exporter promised its next sign of life; 0 for never, as in the mode manual.",
        side="importer",
        unit="dateTimeAsIso",
    ),
    Metric(
        "heartbeat_incomplete",
        Kind.GAUGE,
        "1 when the last sign of life says that not all of the source could be read, or deletions wait, else 0.",
        side="importer",
    ),
    Metric(
        "behind",
        Kind.GAUGE,
        "1 while DR lacks the newest recovery point of what is followed, whatever the reason, else 0.",
        side="importer",
    ),
    Metric(
        "last_look_timestamp_seconds",
        Kind.GAUGE,
        "When Git last answered where what is followed is.",
        side="importer",
        unit="dateTimeAsIso",
    ),
    Metric("objects", Kind.GAUGE, "Objects of the last import, by what became of them.", ("action",), "importer"),
    Metric("drifted_objects", Kind.GAUGE, "Objects that other hands had changed at the last look.", side="importer"),
    Metric("writes_total", Kind.COUNTER, "Objects written in DR, by action.", ("action",), "importer"),
    Metric(
        "recovery_point_timestamp_seconds",
        Kind.GAUGE,
        "When the source was last known to be as DR has it.",
        side="importer",
        unit="dateTimeAsIso",
    ),
    Metric(
        "import_lag_seconds",
        Kind.HISTOGRAM,
        "From the commit to the end of the import that brought it.",
        side="importer",
        unit="s",
        buckets=_SECONDS,
    ),
    Metric(
        "volumes",
        Kind.GAUGE,
        "Volumes of the recovery point that DR has, by whether their data is in DR; told where "
        "volumes.restore.follow is on.",
        ("state",),
        "importer",
    ),
    Metric(
        "volume_data_timestamp_seconds",
        Kind.GAUGE,
        "How old the data of the volumes in DR is: when the oldest of the snapshots that are whole in them was begun.",
        side="importer",
        unit="dateTimeAsIso",
    ),
    Metric(
        "volumes_too_old",
        Kind.GAUGE,
        "Volumes of the source whose newest whole snapshot in the restic repository is older than volumes.maxAge, is "
        "gone, or which no backup has got whole yet; and those whose record cannot be read.",
        side="importer",
    ),
    Metric(
        "volumes_never_backed_up",
        Kind.GAUGE,
        "Claims in the newest recovery point that should be backed up, and that no backup has tried yet.",
        side="importer",
    ),
    Metric(
        "volume_backups",
        Kind.GAUGE,
        "Volumes of the newest recovery point, by how their newest backup ended.",
        ("state",),
        "importer",
    ),
    Metric(
        "volume_backup_state",
        Kind.GAUGE,
        "1 for how the newest backup of a volume ended; `Waiting` and `Never` are claims that should be backed up and "
        "that no backup has tried yet, the first ones younger than volumes.maxAge; `LeftOut` are claims with a backup "
        "of which no other one is to be made.",
        (*CLAIM, "state"),
        "importer",
    ),
    Metric(
        "volume_last_success_timestamp_seconds",
        Kind.GAUGE,
        "When the newest whole backup of a volume was begun, which is how old its data is; 0 where there is none, or "
        "the restic repository does not have it.",
        CLAIM,
        "importer",
        unit="dateTimeAsIso",
    ),
    Metric(
        "volume_last_success_duration_seconds",
        Kind.GAUGE,
        "How long that backup took, from when restic began to read, or the copy was made that it read, to its end.",
        CLAIM,
        "importer",
        unit="s",
    ),
    Metric(
        "volume_last_success_bytes",
        Kind.GAUGE,
        "Bytes that were in the volume then. Divided by the duration: the throughput.",
        CLAIM,
        "importer",
        unit="bytes",
    ),
    Metric("volume_last_success_files", Kind.GAUGE, "Files that were in the volume then.", CLAIM, "importer"),
    Metric(
        "volume_backup_timestamp_seconds",
        Kind.GAUGE,
        "When the oldest of the newest whole snapshots was begun, one for each volume of the source, as the restic "
        "repository has them: the RPO of the data.",
        side="importer",
        unit="dateTimeAsIso",
    ),
    Metric(
        "restic_answered_timestamp_seconds",
        Kind.GAUGE,
        "When the restic repository last told which snapshots it has.",
        side="importer",
        unit="dateTimeAsIso",
    ),
    Metric(
        "restic_asked_timestamp_seconds",
        Kind.GAUGE,
        "When the restic repository was first asked that since this replica works; 0 where nobody asks it.",
        side="importer",
        unit="dateTimeAsIso",
    ),
    Metric("volume_restores_total", Kind.COUNTER, "Restores of volumes, by how they ended.", ("result",), "importer"),
    Metric("volume_restored_bytes_total", Kind.COUNTER, "Bytes that restores wrote.", side="importer", unit="bytes"),
    Metric(
        "volume_restore_duration_seconds",
        Kind.HISTOGRAM,
        "How long the mover of one restore worked.",
        side="importer",
        unit="s",
        buckets=_LONG,
    ),
    Metric("webhook_calls_total", Kind.COUNTER, "Calls of the webhook, by verdict.", ("verdict",), "importer"),
)
_BY_NAME = {metric.name: metric for metric in METRICS}


class Metrics:
    """The metrics of one side, with a registry of their own. Safe to use from several threads.

    Raises KeyError for a name that is not in the table, or not of this side.
    """

    def __init__(self, side: str) -> None:
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

        self.registry: CollectorRegistry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._replaced: dict[str, set[tuple[str, ...]]] = {}
        self._made = {metric.name: _make(metric, self.registry) for metric in METRICS if metric.side in ("", side)}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        self._of(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._of(name, labels).set(value)

    def replace(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Set a gauge for exactly these values of its labels; what was set before and is not among them goes away.

        It is for one thread.
        """
        gauge = self._made[name]
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        for gone in self._replaced.get(name, set()) - values.keys():
            gauge.remove(*gone)
        self._replaced[name] = set(values)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one measurement to a histogram."""
        self._of(name, labels).observe(value)

    def text(self) -> tuple[bytes, str]:
        """Return everything in the text format, and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _of(self, name: str, labels: dict[str, str]) -> Any:
        return self._made[name].labels(**labels) if labels else self._made[name]


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    from prometheus_client import Counter, Gauge, Histogram

    if metric.kind is Kind.HISTOGRAM:
        return Histogram(metric.full_name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
    kind = Counter if metric.kind is Kind.COUNTER else Gauge
    return kind(metric.full_name, metric.help, metric.labels, registry=registry)
