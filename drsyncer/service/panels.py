"""What the dashboard shows, as one table of panels over the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drsyncer.service.alerts import EXPORTER, IMPORTER
from drsyncer.service.metrics import CLAIM, PREFIX
from drsyncer.service.promql import metric, per

# Metrics that no panel shows, and why.
NOT_SHOWN = {
    "config_reloads_total": "an alert tells of a faulty configuration, and the log of each that was read",
    "heartbeat_due_timestamp_seconds": "it is what an alert compares with; the age of the last sign is shown",
    "verification_due_timestamp_seconds": "it is what an alert compares with; the age of the last verdict is shown",
}
_CLUSTERS = {EXPORTER: "$source", IMPORTER: "$dr"}
_RATE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; its legend names labels as `{{label}}`."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `kind` and `unit` are Grafana's; from `warn` on it is yellow, from `bad` on red."""

    title: str
    queries: tuple[Query, ...]
    tells: str
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    warn: float | None = None
    bad: float | None = None
    text: str = "value_and_name"  # what a stat shows


def _per(aggregate: str, side: str, series: str, *, leading: bool = False, by: tuple[str, ...] = ()) -> str:
    return per(aggregate, series, side=side, cluster=_CLUSTERS[side], leading=leading, by=by)


def _now(name: str, side: str, *, by: tuple[str, ...] = (), **labels: str) -> str:
    """Return a gauge as the replica that works has it."""
    return _per("max", side, metric(name, **labels), leading=True, by=by)


def _each(name: str, side: str, label: str) -> str:
    return _per("max", side, metric(name), leading=True, by=(label,))


def _rate(name: str, side: str, *by: str) -> str:
    return _per("sum", side, f"rate({metric(name, window=_RATE)})", by=by)


def _grew(name: str, side: str, *by: str) -> str:
    return _per("sum", side, f"increase({metric(name, window=_RATE)})", by=by)


def _quantile(share: float, name: str, side: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{name}_bucket', side, 'le')})"


def _age(name: str, side: str) -> str:
    return f"time() - ({_per('max', side, metric(name))} > 0)"


def _both(make: Callable[[str], str], legend: str) -> tuple[Query, ...]:
    return tuple(Query(make(side), f"{side} {legend}".strip()) for side in (EXPORTER, IMPORTER))


def _times(name: str, side: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(share, name, side), f"{{{{cluster}}}} p{share * 100:g}") for share in (0.5, 0.99))


_CLUSTER = "{{cluster}}"
ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "How fresh DR is",
        (
            Panel(
                "Age of what DR has (RPO)",
                (Query(_age("recovery_point_timestamp_seconds", IMPORTER), _CLUSTER),),
                "How much a failover now would lose. It grows by a minute and falls again with each sign of life.",
                kind="stat",
                unit="s",
                warn=300,
                bad=900,
            ),
            Panel(
                "Age of the exporter's last sign of life",
                (
                    Query(_age("heartbeat_timestamp_seconds", EXPORTER), "as {{cluster}} knows it"),
                    Query(_age("heartbeat_timestamp_seconds", IMPORTER), "as {{cluster}} knows it"),
                ),
                "A continuous exporter gives one a minute; a scheduled one with each run.",
                kind="stat",
                unit="s",
                warn=180,
                bad=360,
            ),
            Panel(
                "What runs",
                (
                    Query(
                        f"max by (side, cluster, version) ({PREFIX}build_info"
                        f'{{cluster=~"${{source:regex}}|${{dr:regex}}"}})',
                        "{{side}} {{cluster}} {{version}}",
                    ),
                    *_both(
                        lambda side: _each("mode_info", side, "mode") + " == 1",
                        "{{cluster}}: {{mode}}",
                    ),
                ),
                "Version and mode of each side.",
                kind="stat",
                text="name",
            ),
            Panel(
                "Age over time",
                (
                    Query(_age("recovery_point_timestamp_seconds", IMPORTER), "what {{cluster}} has"),
                    Query(_age("heartbeat_timestamp_seconds", IMPORTER), "sign of life, as {{cluster}} knows it"),
                ),
                "Both fall together while all is well.",
                unit="s",
                width=12,
            ),
            Panel(
                "Time since the last full success",
                (
                    *_both(lambda side: _age("last_success_timestamp_seconds", side), _CLUSTER),
                    *_both(lambda side: _age("last_run_timestamp_seconds", side), "{{cluster}}, any run"),
                    Query(_age("last_look_timestamp_seconds", IMPORTER), "{{cluster}}, look at Git"),
                ),
                "On a quiet cluster a continuous exporter has nothing to run for, so this grows.",
                unit="s",
                width=12,
            ),
        ),
    ),
    (
        "Exporter",
        (
            Panel(
                "From the change to the pushed commit",
                _times("export_lag_seconds", EXPORTER),
                "It includes the quiet period.",
                unit="s",
            ),
            Panel(
                "Changes",
                (
                    Query(_grew("changes_total", EXPORTER, "verb"), "{{cluster}} {{verb}}"),
                    Query(_grew("commits_total", EXPORTER), "{{cluster}} commits"),
                ),
                "Objects that changed in the recovery repository, and commits.",
            ),
            Panel(
                "Waiting",
                (
                    Query(_now("pending", EXPORTER), "{{cluster}} changes"),
                    Query(_now("unpushed_commits", EXPORTER), "{{cluster}} commits not pushed"),
                ),
                "Changes seen and not committed; commits that the remote lacks.",
            ),
            Panel(
                "Watches",
                (Query(_each("watches", EXPORTER, "state"), "{{cluster}} {{state}}"),),
                "One for each type that is exported.",
            ),
            Panel(
                "Objects in the newest recovery point",
                (Query(_now("exported_objects", EXPORTER), _CLUSTER),),
                "What is protected.",
            ),
            Panel(
                "Types that could not be read in full",
                (Query(_now("incomplete_types", EXPORTER), _CLUSTER),),
                "Nothing of them is deleted in Git.",
                kind="stat",
                bad=1,
            ),
        ),
    ),
    (
        "Importer",
        (
            Panel(
                "From the commit to the end of its import",
                _times("import_lag_seconds", IMPORTER),
                "It includes the wait for the next look at Git.",
                unit="s",
            ),
            Panel(
                "Objects by what became of them",
                (Query(_each("objects", IMPORTER, "action"), "{{cluster}} {{action}}"),),
                "Of the last import.",
            ),
            Panel("Writes", (Query(_grew("writes_total", IMPORTER, "action"), "{{cluster}} {{action}}"),), "In DR."),
            Panel(
                "Blocked objects",
                (Query(_now("objects", IMPORTER, action="blocked"), _CLUSTER),),
                "They are not in DR as Git has them.",
                kind="stat",
                width=6,
                bad=1,
            ),
            Panel(
                "Drifted objects",
                (Query(_now("drifted_objects", IMPORTER), _CLUSTER),),
                "Changed by other hands, at the last look.",
                kind="stat",
                width=6,
                warn=1,
            ),
            Panel(
                "Recovery points that wait",
                (Query(_now("behind", IMPORTER), _CLUSTER),),
                "1 while Git has something that DR has not.",
                kind="stat",
                width=6,
                warn=1,
            ),
            Panel(
                "Incomplete in the source",
                (Query(_now("heartbeat_incomplete", IMPORTER), _CLUSTER),),
                "1 while the exporter says that something is missing.",
                kind="stat",
                width=6,
                warn=1,
            ),
        ),
    ),
    (
        "Volumes",
        (
            Panel(
                "Volumes by their data",
                (Query(_each("volumes", IMPORTER, "state"), "{{cluster}} {{state}}"),),
                "Of the recovery point that DR has; `whole` have its data.",
            ),
            Panel(
                "Age of the data in DR's volumes",
                (Query(_age("volume_data_timestamp_seconds", IMPORTER), _CLUSTER),),
                "Of the oldest snapshot that is in a volume of DR.",
                unit="s",
            ),
            Panel(
                "Age of the newest backups (RPO of the data)",
                (
                    Query(_age("volume_backup_timestamp_seconds", IMPORTER), "as {{cluster}} sees it"),
                    Query(_age("restic_answered_timestamp_seconds", IMPORTER), "{{cluster}}, restic's last answer"),
                ),
                "Of the volume whose newest whole snapshot is the oldest.",
                unit="s",
            ),
            Panel(
                "Volumes whose backup is too old",
                (
                    Query(_now("volumes_too_old", IMPORTER), _CLUSTER),
                    Query(_now("volumes_never_backed_up", IMPORTER), "{{cluster}}, not tried yet"),
                ),
                "Older than volumes.maxAge, gone from restic, or never whole; and claims that are new.",
                kind="stat",
                bad=1,
            ),
            Panel(
                "Newest backups by how they ended",
                (Query(_each("volume_backups", IMPORTER, "state"), "{{cluster}} {{state}}"),),
                "One for each volume of the newest recovery point; `Complete` and `Unchanged` are whole.",
            ),
            Panel(
                "Volumes without any backup",
                (
                    Query(
                        _now("volume_backup_state", IMPORTER, by=CLAIM, state="~Waiting|Never"),
                        "{{claim_namespace}}/{{persistentvolumeclaim}}",
                    ),
                ),
                "Claims that should be backed up and that no backup has tried yet.",
            ),
            Panel(
                "Age of the last verdict about the backups",
                (Query(_age("verification_timestamp_seconds", EXPORTER), _CLUSTER),),
                "Of `volumes verify`. Nothing is shown where there was none.",
                unit="s",
            ),
            Panel(
                "How the last verification ended",
                (Query(_each("verification", EXPORTER, "result") + " == 1", "{{cluster}} {{result}}"),),
                "Of what it looked at.",
                kind="stat",
                text="name",
            ),
            Panel(
                "Damage of the backups",
                (Query(_now("backups_damaged", EXPORTER), _CLUSTER),),
                "1 until a verification that looks there again finds nothing.",
                kind="stat",
                bad=1,
            ),
            Panel(
                "Share that the last verdict is about",
                (
                    Query(_now("verification_read_ratio", EXPORTER), "{{cluster}} data read"),
                    Query(_now("verification_compared_ratio", EXPORTER), "{{cluster}} snapshots compared"),
                ),
                "Each verification reads another part of the data.",
                unit="percentunit",
            ),
            Panel(
                "Restores by how they ended",
                (Query(_grew("volume_restores_total", IMPORTER, "result"), "{{cluster}} {{result}}"),),
                "Volumes that a mover worked on.",
            ),
            Panel(
                "Bytes restored",
                (Query(_rate("volume_restored_bytes_total", IMPORTER), _CLUSTER),),
                "Per second.",
                unit="Bps",
                width=12,
            ),
            Panel(
                "How long a restore takes",
                _times("volume_restore_duration_seconds", IMPORTER),
                "The mover's work on one volume.",
                unit="s",
                width=12,
            ),
        ),
    ),
    (
        "API servers",
        (
            Panel(
                "Requests",
                _both(lambda side: _rate("api_requests_total", side, "verb", "code"), "{{cluster}} {{verb}} {{code}}"),
                "Answers per second, by method and status.",
                unit="reqps",
                width=16,
            ),
            Panel(
                "Requests sent once more",
                _both(lambda side: _rate("api_retries_total", side), _CLUSTER),
                "Per second.",
                unit="reqps",
            ),
        ),
    ),
    (
        "Runs and failures",
        (
            Panel(
                "Runs by result",
                _both(lambda side: _grew("runs_total", side, "result"), "{{cluster}} {{result}}"),
                "A commit is a run, and so is an import or a look for drift.",
            ),
            Panel(
                "Failures by kind",
                _both(lambda side: _grew("failures_total", side, "reason"), "{{cluster}} {{reason}}"),
                "The logs say why.",
            ),
            Panel(
                "Webhook calls",
                (Query(_grew("webhook_calls_total", IMPORTER, "verdict"), "{{cluster}} {{verdict}}"),),
                "By what became of them.",
            ),
            Panel(
                "How long runs take",
                tuple(
                    Query(query.expr, f"{side} {query.legend}")
                    for side in (EXPORTER, IMPORTER)
                    for query in _times("run_duration_seconds", side)
                ),
                "Half of them at most, and all but one in a hundred.",
                unit="s",
            ),
            Panel(
                "Replicas that work",
                _both(lambda side: _per("sum", side, metric("leader")), _CLUSTER),
                "One for each side; the others stand by.",
            ),
            Panel(
                "Faulty configurations",
                _both(lambda side: _per("max", side, metric("config_faulty")), _CLUSTER),
                "1 while the file is faulty and the one before is in force.",
                kind="stat",
                bad=1,
            ),
        ),
    ),
)
