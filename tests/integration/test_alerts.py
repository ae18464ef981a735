"""Alert rules, dashboard and metrics, held against the real promtool: they are valid, and fire when they should."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drsyncer.service.alerts import ALERTS, BOTH, of_side
from drsyncer.service.dashboard import dashboard
from drsyncer.service.monitoring import files, rules
from drsyncer.yaml.emit import emit
from tests.cluster.control_plane import ControlPlane
from tests.cluster.tools import find
from tests.integration import charts
from tests.integration.recovery import Recovery
from tests.integration.services import Services, until

HOUR = 60  # minutes; there is one sample a minute
NIGHT = 26 * HOUR
END = 28 * HOUR
NOW = f"0+60x{END}"  # a gauge that holds the time


def promtool(*arguments: str, stdin: bytes = b"") -> str:
    result = subprocess.run([str(find("promtool")), *arguments], input=stdin, capture_output=True, check=False)
    said = (result.stdout + result.stderr).decode()
    assert result.returncode == 0, said
    return said


def until_minute(minute: int, *, then: str = "") -> str:
    """The values of a gauge that holds the time until `minute`, and stays at that from then on."""
    return f"0+60x{minute} {then or minute * 60}x{END - minute}"


def steps(*values: tuple[int, object]) -> str:
    """The values of a gauge: (minutes, value), one after the other."""
    return " ".join(f"{value}x{minutes - 1}" for minutes, value in values)


def healthy(side: str, *, pod: str = "a", mode: str = "continuous", leader: object = 1) -> dict[str, str]:
    """The series of a replica with which all is well: name, with its own labels → values."""
    found: dict[str, object] = {
        f'build_info{{version="1",side="{side}",cluster="{CLUSTERS[side]}"}}': 1,
        "leader": leader,
        "config_faulty": 0,
        "heartbeat_timestamp_seconds": NOW,
        "last_run_timestamp_seconds": NOW,
        "last_success_timestamp_seconds": NOW,
        "pending": 0,
        'runs_total{result="done"}': f"0+1x{END}",
    }
    found |= {f'mode_info{{mode="{name}"}}': int(name == mode) for name in ("continuous", "scheduled", "manual")}
    if side == "exporter":
        found |= {"unpushed_commits": 0, "incomplete_types": 0}
        found |= {'watches{state="connected"}': 60, 'watches{state="lost"}': 0}
    else:
        found |= {
            "heartbeat_due_timestamp_seconds": f"60+60x{END}",
            "heartbeat_incomplete": 0,
            "behind": 0,
            "last_look_timestamp_seconds": NOW,
            "recovery_point_timestamp_seconds": NOW,
            'objects{action="blocked"}': 0,
            "drifted_objects": 0,
            'webhook_calls_total{verdict="wrong"}': 0,
        }
    named = {f"dr_syncer_{name}": value for name, value in found.items()} | {"process_start_time_seconds": 1}
    return {located(name, side, pod): values(value) for name, value in named.items()}


CLUSTERS = {"exporter": "prod", "importer": "dr"}


def located(series: str, side: str, pod: str = "a") -> str:
    """`series` with the labels that Prometheus gives to a pod."""
    name, _, labels = series.partition("{")
    where = f'namespace="dr-syncer",job="dr-syncer-{side}",pod="{pod}",instance="10.0.0.1:{pod}"'
    return f"{name}{{{where}{',' + labels.rstrip('}') if labels else ''}}}"


def values(value: object) -> str:
    return value if isinstance(value, str) else f"{value}x{END}"


def changed(side: str, *, pod: str = "a", **series: object) -> dict[str, str]:
    """Series to lay over healthy ones; `__` parts a name from the value of its only label."""
    labels = {
        **{"objects": "action", "watches": "state", "volumes": "state", "volume_backups": "state"},
        **{"verification": "result"},
        **{"failures_total": "reason", "webhook_calls_total": "verdict"},
    }
    found = {}
    for name, value in series.items():
        base, _, label = name.partition("__")
        full = base if base.startswith("process_") else f"dr_syncer_{base}"
        full += f'{{{labels[base]}="{label}"}}' if label else ""
        found[located(full, side, pod)] = values(value)
    return found


def scene(side: str, minute: int, firing: set[str], *layers: Mapping[str, str]) -> dict[str, Any]:
    """A test for promtool: of all alerts exactly these fire at that minute."""
    series: dict[str, str] = {}
    for layer in layers:
        series |= layer
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": given} for name, given in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="DrSyncer{name}"}}', "value": 1} for name in sorted(firing)],
            }
        ],
    }


def judged(folder: Path, side: str, tests: list[dict[str, Any]], *, every: str = "1m") -> None:
    """Let promtool play `tests` with the rules of this side, evaluated so often."""
    (folder / "alerts.yaml").write_bytes(files()[f"charts/dr-syncer-{side}/files/alerts.yaml"])
    document = {"rule_files": ["alerts.yaml"], "evaluation_interval": every, "tests": tests}
    (folder / "tests.yaml").write_bytes(emit(document))
    promtool("test", "rules", str(folder / "tests.yaml"))


def gone_at(minute: int) -> str:
    """The values of a gauge that is 1 until `minute`, and gone from then on."""
    return f"1x{minute} stale"


NEVER = 'volume_backup_state{claim_namespace="shop",persistentvolumeclaim="data",state="Never"}'
DONE = 'dr_syncer_runs_total{result="done"}'
AT = HOUR  # when what is frozen freezes
FROZEN = until_minute(AT)

# side, what it is, minute, what fires, what is laid over a healthy replica
ALONE: tuple[tuple[str, str, int, set[str], dict[str, object]], ...] = (
    ("exporter", "all is well", 2 * HOUR, set(), {}),
    ("importer", "all is well", 2 * HOUR, set(), {}),
    # A quiet source has nothing to run for.
    (
        "exporter",
        "no run for hours",
        2 * HOUR,
        set(),
        {"last_run_timestamp_seconds": FROZEN, "last_success_timestamp_seconds": FROZEN},
    ),
    ("exporter", "a sign of life is late", AT + 5, set(), {"heartbeat_timestamp_seconds": FROZEN}),
    ("exporter", "signs of life stopped", AT + 8, {"ExporterSilent"}, {"heartbeat_timestamp_seconds": FROZEN}),
    (
        "exporter",
        "just started",
        AT + 3,
        set(),
        {"heartbeat_timestamp_seconds": 0, "process_start_time_seconds": AT * 60},
    ),
    ("exporter", "never a sign of life", 20, {"ExporterSilent"}, {"heartbeat_timestamp_seconds": 0}),
    ("exporter", "commits pile up", 10, set(), {"unpushed_commits": steps((5, 0), (END, 3))}),
    ("exporter", "commits stay", 17, {"UnpushedCommits"}, {"unpushed_commits": steps((5, 0), (END, 3))}),
    (
        "exporter",
        "a type was unreadable for a moment",
        20,
        set(),
        {"incomplete_types": steps((5, 0), (10, 1), (END, 0))},
    ),
    ("exporter", "a type stays unreadable", 25, {"IncompleteTypes"}, {"incomplete_types": steps((5, 0), (END, 1))}),
    ("exporter", "a watch reconnects", 8, set(), {"watches__lost": steps((5, 0), (3, 60), (END, 0))}),
    ("exporter", "watches stay lost", 12, {"WatchesLost"}, {"watches__lost": steps((5, 0), (END, 2))}),
    (
        "exporter",
        "runs fail",
        AT + 35,
        {"RunsFail"},
        {"last_success_timestamp_seconds": FROZEN},
    ),
    ("exporter", "runs fail for a while", AT + 20, set(), {"last_success_timestamp_seconds": FROZEN}),
    ("importer", "no run ever succeeded", 40, {"RunsFail"}, {"last_success_timestamp_seconds": 0}),
    ("importer", "no run yet", 2 * HOUR, set(), {"last_success_timestamp_seconds": 0, "last_run_timestamp_seconds": 0}),
    ("importer", "one failure", 30, set(), {"failures_total__remote": steps((10, 0), (END, 1))}),
    ("importer", "the remote is away", 30, {"Failing"}, {"failures_total__remote": f"0x5 1+2x{END}"}),
    ("importer", "the remote is back", 90, set(), {"failures_total__remote": f"0x5 1+2x30 61x{END}"}),
    ("exporter", "the configuration is faulty", 10, {"ConfigFaulty"}, {"config_faulty": steps((5, 0), (END, 1))}),
    ("exporter", "the configuration is mended", 20, set(), {"config_faulty": steps((5, 0), (5, 1), (END, 0))}),
    ("exporter", "nobody leads", 20, {"NoLeader"}, {"leader": steps((10, 1), (END, 0))}),
    ("exporter", "the lead changes hands", 12, set(), {"leader": steps((10, 1), (2, 0), (END, 1))}),
    (
        "exporter",
        "it crashes again and again",
        50,
        {"Restarting"},
        {"process_start_time_seconds": steps((10, 60), (10, 660), (10, 1260), (END, 1860))},
    ),
    ("exporter", "it was updated", 50, set(), {"process_start_time_seconds": steps((10, 60), (END, 660))}),
    # DR's view of the source: it promised a sign by minute AT + 1.
    (
        "importer",
        "the exporter died",
        AT + 9,
        {"HeartbeatOverdue"},
        {
            "heartbeat_timestamp_seconds": FROZEN,
            "heartbeat_due_timestamp_seconds": f"60+60x{AT} {AT * 60 + 60}x{END}",
            "recovery_point_timestamp_seconds": FROZEN,
        },
    ),
    (
        "importer",
        "the exporter is long dead",
        AT + 30,
        {"HeartbeatOverdue", "RecoveryPointTooOld"},
        {
            "heartbeat_timestamp_seconds": FROZEN,
            "heartbeat_due_timestamp_seconds": f"60+60x{AT} {AT * 60 + 60}x{END}",
            "recovery_point_timestamp_seconds": FROZEN,
        },
    ),
    (
        "importer",
        "a person exports in the place of a dead exporter",
        AT + 30,
        {"HeartbeatOverdue"},
        {"heartbeat_due_timestamp_seconds": f"60+60x{AT} {AT * 60 + 60}x{END}"},
    ),
    (
        "importer",
        "the exporter runs every 2 hours",
        AT + HOUR,
        set(),
        {
            "heartbeat_timestamp_seconds": FROZEN,
            "heartbeat_due_timestamp_seconds": (AT + 2 * HOUR) * 60,
            "recovery_point_timestamp_seconds": FROZEN,
        },
    ),
    (
        "importer",
        "the exporter missed its tick",
        AT + 2 * HOUR + 25,
        {"HeartbeatOverdue", "RecoveryPointTooOld"},
        {
            "heartbeat_timestamp_seconds": FROZEN,
            "heartbeat_due_timestamp_seconds": (AT + 2 * HOUR) * 60,
            "recovery_point_timestamp_seconds": FROZEN,
        },
    ),
    (
        "importer",
        "the exporter is manual",
        2 * HOUR,
        set(),
        {
            "heartbeat_timestamp_seconds": FROZEN,
            "heartbeat_due_timestamp_seconds": 0,
            "recovery_point_timestamp_seconds": FROZEN,
        },
    ),
    (
        "importer",
        "imports do not keep up",
        AT + 25,
        {"RecoveryPointTooOld", "ImporterBehind"},
        {"recovery_point_timestamp_seconds": FROZEN, "behind": steps((AT, 0), (END, 1))},
    ),
    (
        "importer",
        "the server refuses heartbeats",
        40,
        {"HeartbeatUnknown"},
        {"heartbeat_timestamp_seconds": 0, "heartbeat_due_timestamp_seconds": 0},
    ),
    (
        "importer",
        "nothing is there yet",
        40,
        set(),
        {
            "heartbeat_timestamp_seconds": 0,
            "heartbeat_due_timestamp_seconds": 0,
            "recovery_point_timestamp_seconds": 0,
        },
    ),
    ("importer", "a recovery point waits for its import", 12, set(), {"behind": steps((5, 0), (6, 1), (END, 0))}),
    ("importer", "a recovery point is refused", 20, {"ImporterBehind"}, {"behind": steps((5, 0), (END, 1))}),
    ("importer", "the source is incomplete", 40, {"HeartbeatIncomplete"}, {"heartbeat_incomplete": 1}),
    ("importer", "an object is blocked", 25, {"BlockedObjects"}, {"objects__blocked": steps((5, 0), (END, 2))}),
    ("importer", "an object was blocked", 25, set(), {"objects__blocked": steps((5, 0), (10, 2), (END, 0))}),
    ("importer", "drift was put back", 40, set(), {"drifted_objects": steps((5, 0), (10, 4), (END, 0))}),
    ("importer", "drift keeps coming", 40, {"DriftKeepsComing"}, {"drifted_objects": steps((5, 0), (END, 4))}),
    ("exporter", "nobody is to verify", 8 * HOUR, set(), {"verification_due_timestamp_seconds": 0}),
    ("exporter", "a verdict is due", 2 * HOUR, set(), {"verification_due_timestamp_seconds": 90 * 60}),
    (
        "exporter",
        "a verdict is overdue",
        2 * HOUR,
        {"BackupsNotVerified"},
        {"verification_due_timestamp_seconds": 30 * 60},
    ),
    (
        "exporter",
        "damage was found, and the service was started anew",
        30,
        {"BackupsDamaged"},
        {"backups_damaged": steps((5, 0), (20, 1), (END, 0)), "verification__damaged": 1},
    ),
    ("exporter", "what was damaged is found well", HOUR, set(), {"backups_damaged": steps((20, 1), (END, 0))}),
    ("importer", "a backup is late for a moment", 25, set(), {"volumes_too_old": steps((5, 0), (10, 1), (END, 0))}),
    ("importer", "a backup is too old", 25, {"VolumesTooOld"}, {"volumes_too_old": steps((5, 0), (END, 2))}),
    (
        "importer",
        "a backup failed",
        25,
        {"BackupsNotWhole"},
        {"volume_backups__Failed": steps((5, 0), (END, 1)), "volume_backups__Complete": 3},
    ),
    (
        "importer",
        "a backup was locked out for a moment",
        25,
        set(),
        {"volume_backups__Locked": steps((5, 0), (10, 1), (END, 0)), "volume_backups__Unchanged": 3},
    ),
    (
        "importer",
        "a volume waits for its pod to end",
        60,
        set(),
        {"volumes__refused": steps((5, 0), (50, 1), (END, 0))},
    ),
    (
        "importer",
        "a volume is half restored",
        70,
        {"VolumesNotRestored"},
        {"volumes__partial": steps((5, 0), (END, 1))},
    ),
    ("importer", "volumes are restored", 70, set(), {"volumes__whole": 7, "volumes__partial": 0}),
    ("importer", "restic answers", 2 * HOUR, set(), {"restic_answered_timestamp_seconds": NOW}),
    (
        "importer",
        "restic was never asked",
        2 * HOUR,
        set(),
        {"restic_answered_timestamp_seconds": 0, "restic_asked_timestamp_seconds": 0},
    ),
    (
        "importer",
        "restic never answered",
        AT + 66,
        {"ResticSilent"},
        {"restic_answered_timestamp_seconds": 0, "restic_asked_timestamp_seconds": steps((AT, 0), (END, AT * 60))},
    ),
    (
        "importer",
        "restic has not answered yet",
        AT + 30,
        set(),
        {"restic_answered_timestamp_seconds": 0, "restic_asked_timestamp_seconds": steps((AT, 0), (END, AT * 60))},
    ),
    (
        "importer",
        "restic answers since long ago",
        2 * HOUR,
        set(),
        {"restic_answered_timestamp_seconds": NOW, "restic_asked_timestamp_seconds": 60},
    ),
    ("importer", "restic is away", AT + 66, {"ResticSilent"}, {"restic_answered_timestamp_seconds": FROZEN}),
    ("importer", "restic is away for a while", AT + 30, set(), {"restic_answered_timestamp_seconds": FROZEN}),
    ("importer", "one call was refused", 30, set(), {"webhook_calls_total__wrong": steps((10, 0), (END, 1))}),
    ("importer", "calls are refused", 30, {"WebhookRefused"}, {"webhook_calls_total__wrong": f"0x5 0+1x{END}"}),
)
# The same of an importer, by the day.
BY_DAY: tuple[tuple[str, int, set[str], dict[str, object]], ...] = (
    ("a new volume waits for its first night", 20 * HOUR, set(), {NEVER: 1}),
    ("a volume was backed up in its first night", NIGHT + 40, set(), {NEVER: gone_at(25 * HOUR)}),
    ("a volume is never backed up", NIGHT + 40, {"VolumesNeverBackedUp"}, {NEVER: 1}),
    (
        "a volume that is backed up once a week is new for longer than a night",
        NIGHT + 40,
        set(),
        {NEVER.replace("Never", "Waiting"): 1},
    ),
    (
        "a volume was new, and none was made of it all the time",
        NIGHT + 40,
        {"VolumesNeverBackedUp"},
        {NEVER.replace("Never", "Waiting"): gone_at(5 * HOUR), NEVER: f"_x{5 * HOUR} 1x{END}"},
    ),
    (
        "the importer was started anew in between",
        NIGHT + 40,
        {"VolumesNeverBackedUp"},
        {NEVER: f"1x30 _x9 1x{20 * HOUR} _x9 1x{END}"},
    ),
    (
        "volumes come and go, each within a day",
        NIGHT + 40,
        set(),
        {NEVER: gone_at(20 * HOUR), NEVER.replace("data", "next"): f"_x{10 * HOUR} 1x{END}"},
    ),
)


@pytest.mark.parametrize("side", BOTH)
def test_the_rules_are_valid(tmp_path: Path, side: str) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_bytes(files()[f"charts/dr-syncer-{side}/files/alerts.yaml"])

    assert f"{len(of_side(side))} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(file))


@pytest.mark.parametrize("side", BOTH)
def test_the_charts_hand_them_on_as_they_are(side: str) -> None:
    switched_on = {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}

    objects = charts.rendered(side, charts.merged(charts.values(side), switched_on))

    assert charts.one(objects, "PrometheusRule")["spec"] == rules(side)
    shown = [value for each in objects for name, value in each.get("data", {}).items() if name.endswith(".json")]
    assert [json.loads(value) for value in shown] == [dashboard()]


@pytest.mark.parametrize("side", BOTH)
def test_an_alert_fires_when_it_should_and_no_other_one(tmp_path: Path, side: str) -> None:
    tests = [
        {"name": what, **scene(side, minute, firing, healthy(side), changed(side, **series))}
        for which, what, minute, firing, series in ALONE
        if which == side
    ]
    assert len(tests) > 10
    judged(tmp_path, side, tests)


def test_what_takes_a_night_to_be_told_is_told_and_nothing_before(tmp_path: Path) -> None:
    tests = [
        {"name": what, **scene("importer", minute, firing, healthy("importer"), changed("importer", **series))}
        for what, minute, firing, series in BY_DAY
    ]
    judged(tmp_path, "importer", tests, every="10m")


def test_every_alert_is_seen_firing() -> None:
    every = [row[3] for row in ALONE] + [row[2] for row in BY_DAY]
    fired = {f"DrSyncer{name}" for firing in every for name in firing} | {
        "DrSyncerAbsent",  # in the tests below
        "DrSyncerTwoLeaders",
    }
    assert fired == {alert.name for alert in ALERTS}


def test_replicas_that_stand_by_wake_nobody(tmp_path: Path) -> None:
    # It has led before: what it knew then is still in its gauges.
    stale = {"unpushed_commits": 5, "incomplete_types": 3, "heartbeat_timestamp_seconds": 60, "watches__lost": 60}
    standby = healthy("exporter", pod="b", leader=0) | changed("exporter", pod="b", **stale)
    alone = changed("exporter", leader=steps((AT, 1), (END, 0)))
    judged(
        tmp_path,
        "exporter",
        [
            scene("exporter", 2 * HOUR, set(), healthy("exporter"), standby),
            scene("exporter", AT + 10, {"NoLeader"}, healthy("exporter"), standby, alone),
            scene("exporter", 20, {"TwoLeaders"}, healthy("exporter"), healthy("exporter", pod="b")),
        ],
    )


@pytest.mark.parametrize("mode", ["scheduled", "manual"])
def test_in_the_other_modes_silence_is_no_failure(tmp_path: Path, mode: str) -> None:
    exporter = dict.fromkeys(
        ("heartbeat_timestamp_seconds", "last_run_timestamp_seconds", "last_success_timestamp_seconds"), FROZEN
    )
    importer = {**exporter, "last_look_timestamp_seconds": FROZEN, "recovery_point_timestamp_seconds": FROZEN}
    importer["heartbeat_due_timestamp_seconds"] = f"60+60x{AT} {AT * 60 + 60}x{END}"
    for side, frozen in (("exporter", exporter), ("importer", importer)):
        judged(tmp_path, side, [scene(side, 2 * HOUR, set(), healthy(side, mode=mode), changed(side, **frozen))])


@pytest.mark.parametrize("side", BOTH)
def test_who_is_not_there_is_missed(tmp_path: Path, side: str) -> None:
    ended = {name: f"{given.split('x')[0]}x{AT} stale" for name, given in healthy(side).items()}
    successor = healthy(side, pod="b")
    judged(
        tmp_path,
        side,
        [
            scene(side, AT + 5, set(), ended),
            scene(side, AT + 20, {"Absent"}, ended),
            scene(side, 20, {"Absent"}),
            # A pod that another one replaces is not missed.
            scene(side, AT + 2 * HOUR, set(), ended, successor),
        ],
    )


def test_who_has_been_away_for_long_is_still_missed(tmp_path: Path) -> None:
    ended = {name: f"{given.split('x')[0]}x{AT} stale" for name, given in healthy("exporter").items()}
    judged(tmp_path, "exporter", [scene("exporter", AT + 6 * HOUR + 5, {"Absent"}, ended)])


def test_an_alert_says_how_bad_it_is(tmp_path: Path) -> None:
    alerts = {
        "eval_time": "80m",
        "alertname": "DrSyncerExporterSilent",
        "exp_alerts": [
            {
                "exp_labels": {
                    "cluster": "prod",
                    "namespace": "dr-syncer",
                    "job": "dr-syncer-exporter",
                    "severity": "critical",
                    "side": "exporter",
                },
                "exp_annotations": {
                    "summary": "The exporter of prod has left no sign of life for 20m 0s",
                    "description": "What changed in the source since then is not known to be in Git."
                    " A sign is due every minute.",
                    "runbook": "docs/how-to/monitor.md#drsyncerexportersilent",
                },
            }
        ],
    }
    played = scene(
        "exporter",
        200,
        {"ExporterSilent"},
        healthy("exporter"),
        changed("exporter", heartbeat_timestamp_seconds=FROZEN),
    )
    judged(tmp_path, "exporter", [{**played, "alert_rule_test": [alerts]}])


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    stand_ins = {
        "$__rate_interval": "5m",
        "${source:regex}": "a",
        "${dr:regex}": "b",
        '"$source"': '"a|b"',
        '"$dr"': '".*"',
    }
    recorded = []
    for panel in dashboard()["panels"]:
        for number, target in enumerate(panel.get("targets", ())):
            expr = target["expr"]
            for variable, value in stand_ins.items():
                expr = expr.replace(variable, value)
            assert "$" not in expr, expr
            recorded.append({"record": f"panel{panel['id']}:query{number}", "expr": expr})
    file = tmp_path / "panels.yaml"
    file.write_bytes(emit({"groups": [{"name": "dashboard", "rules": recorded}]}))

    assert f"{len(recorded)} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(file))


def test_prometheus_likes_the_metrics_that_real_services_give(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    with Services(recovery) as services:
        for side, cluster in (("exporter", clean_source), ("importer", clean_dr)):
            service = services.start(side, cluster)
            until(lambda of=service: of.metric(DONE) > 0, f"the {side}'s first run", patience=120.0)
            assert promtool("check", "metrics", stdin=service.ask("/metrics")[1].encode()) == ""
            if side == "exporter":
                assert service.metric("dr_syncer_verification_due_timestamp_seconds") == 0
                assert service.metric('dr_syncer_verification{result="whole"}') == 0
