"""What the dashboard shows, as one table of panels over the metrics."""

from __future__ import annotations

from drsyncer.service.alerts import EXPORTER, IMPORTER
from drsyncer.service.graphs import CLUSTER, Panel, Query, age, both, each, grew, now, per_cluster, rate, times
from drsyncer.service.metrics import PREFIX
from drsyncer.service.promql import metric
from drsyncer.service.volume_panels import VOLUMES

# Metrics that no panel shows, and why.
NOT_SHOWN = {
    "config_reloads_total": "an alert tells of a faulty configuration, and the log of each that was read",
    "heartbeat_due_timestamp_seconds": "it is what an alert compares with; the age of the last sign is shown",
    "restic_asked_timestamp_seconds": "an alert begins with it where there is no answer yet; that one's age is shown",
    "verification_due_timestamp_seconds": "it is what an alert compares with; the age of the last verdict is shown",
}
ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "How fresh DR is",
        (
            Panel(
                "Age of what DR has (RPO)",
                (Query(age("recovery_point_timestamp_seconds", IMPORTER), CLUSTER),),
                "How much a failover now would lose. It grows by a minute and falls again with each sign of life.",
                kind="stat",
                unit="s",
                warn=300,
                bad=900,
            ),
            Panel(
                "Age of the exporter's last sign of life",
                (
                    Query(age("heartbeat_timestamp_seconds", EXPORTER), "as {{cluster}} knows it"),
                    Query(age("heartbeat_timestamp_seconds", IMPORTER), "as {{cluster}} knows it"),
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
                    *both(
                        lambda side: each("mode_info", side, "mode") + " == 1",
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
                    Query(age("recovery_point_timestamp_seconds", IMPORTER), "what {{cluster}} has"),
                    Query(age("heartbeat_timestamp_seconds", IMPORTER), "sign of life, as {{cluster}} knows it"),
                ),
                "Both fall together while all is well.",
                unit="s",
                width=12,
            ),
            Panel(
                "Time since the last full success",
                (
                    *both(lambda side: age("last_success_timestamp_seconds", side), CLUSTER),
                    *both(lambda side: age("last_run_timestamp_seconds", side), "{{cluster}}, any run"),
                    Query(age("last_look_timestamp_seconds", IMPORTER), "{{cluster}}, look at Git"),
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
                times("export_lag_seconds", EXPORTER),
                "It includes the quiet period.",
                unit="s",
            ),
            Panel(
                "Changes",
                (
                    Query(grew("changes_total", EXPORTER, "verb"), "{{cluster}} {{verb}}"),
                    Query(grew("commits_total", EXPORTER), "{{cluster}} commits"),
                ),
                "Objects that changed in the recovery repository, and commits.",
            ),
            Panel(
                "Waiting",
                (
                    Query(now("pending", EXPORTER), "{{cluster}} changes"),
                    Query(now("unpushed_commits", EXPORTER), "{{cluster}} commits not pushed"),
                ),
                "Changes seen and not committed; commits that the remote lacks.",
            ),
            Panel(
                "Watches",
                (Query(each("watches", EXPORTER, "state"), "{{cluster}} {{state}}"),),
                "One for each type that is exported.",
            ),
            Panel(
                "Objects in the newest recovery point",
                (Query(now("exported_objects", EXPORTER), CLUSTER),),
                "What is protected.",
            ),
            Panel(
                "Types that could not be read in full",
                (Query(now("incomplete_types", EXPORTER), CLUSTER),),
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
                times("import_lag_seconds", IMPORTER),
                "It includes the wait for the next look at Git.",
                unit="s",
            ),
            Panel(
                "Objects by what became of them",
                (Query(each("objects", IMPORTER, "action"), "{{cluster}} {{action}}"),),
                "Of the last import.",
            ),
            Panel("Writes", (Query(grew("writes_total", IMPORTER, "action"), "{{cluster}} {{action}}"),), "In DR."),
            Panel(
                "Blocked objects",
                (Query(now("objects", IMPORTER, action="blocked"), CLUSTER),),
                "They are not in DR as Git has them.",
                kind="stat",
                width=6,
                bad=1,
            ),
            Panel(
                "Drifted objects",
                (Query(now("drifted_objects", IMPORTER), CLUSTER),),
                "Changed by other hands, at the last look.",
                kind="stat",
                width=6,
                warn=1,
            ),
            Panel(
                "Recovery points that wait",
                (Query(now("behind", IMPORTER), CLUSTER),),
                "1 while Git has something that DR has not.",
                kind="stat",
                width=6,
                warn=1,
            ),
            Panel(
                "Incomplete in the source",
                (Query(now("heartbeat_incomplete", IMPORTER), CLUSTER),),
                "1 while the exporter says that something is missing.",
                kind="stat",
                width=6,
                warn=1,
            ),
        ),
    ),
    VOLUMES,
    (
        "API servers",
        (
            Panel(
                "Requests",
                both(lambda side: rate("api_requests_total", side, "verb", "code"), "{{cluster}} {{verb}} {{code}}"),
                "Answers per second, by method and status.",
                unit="reqps",
                width=16,
            ),
            Panel(
                "Requests sent once more",
                both(lambda side: rate("api_retries_total", side), CLUSTER),
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
                both(lambda side: grew("runs_total", side, "result"), "{{cluster}} {{result}}"),
                "A commit is a run, and so is an import or a look for drift.",
            ),
            Panel(
                "Failures by kind",
                both(lambda side: grew("failures_total", side, "reason"), "{{cluster}} {{reason}}"),
                "The logs say why.",
            ),
            Panel(
                "Webhook calls",
                (Query(grew("webhook_calls_total", IMPORTER, "verdict"), "{{cluster}} {{verdict}}"),),
                "By what became of them.",
            ),
            Panel(
                "How long runs take",
                tuple(
                    Query(query.expr, f"{side} {query.legend}")
                    for side in (EXPORTER, IMPORTER)
                    for query in times("run_duration_seconds", side)
                ),
                "Half of them at most, and all but one in a hundred.",
                unit="s",
            ),
            Panel(
                "Replicas that work",
                both(lambda side: per_cluster("sum", side, metric("leader")), CLUSTER),
                "One for each side; the others stand by.",
            ),
            Panel(
                "Faulty configurations",
                both(lambda side: per_cluster("max", side, metric("config_faulty")), CLUSTER),
                "1 while the file is faulty and the one before is in force.",
                kind="stat",
                bad=1,
            ),
        ),
    ),
)
