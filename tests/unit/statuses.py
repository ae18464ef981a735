"""Statuses for tests: of sides that are well, and of one that has every trouble there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from drsyncer.service import status
from drsyncer.service.status import Backups, Commit, Lack, Result, Run, State, Status, Trouble

MINUTE = timedelta(minutes=1)
HEAD = "d3b07384d113edec49eaa6238ad5ff00d3b07384"
NEWER = "a3b07384d113edec49eaa6238ad5ff00d3b07384"
HOSTILE = (
    '<script>document.title = "pwned"</script>',
    '"><img src=http://127.0.0.1:1/x onerror=alert(1)>',
    "</style></title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}&amp;",
    "a\u202egnp.exe\x1b[2J\x00",
    "very-long-name-without-a-place-to-break" * 8,
)


def run(now: datetime, **changed: Any) -> Run:
    known = {"cause": "change", "begun": now - 3 * MINUTE, "ended": now - 2 * MINUTE, "result": Result.DONE}
    return Run(**({"exit_code": 0, "commit": HEAD} | known | changed))


def exporter(now: datetime, **changed: Any) -> Status:
    """An exporter that is well."""
    known: dict[str, Any] = {
        "side": "exporter",
        "name": "prod",
        "cluster": "prod",
        "program": "0.1.0",
        "mode": "continuous",
        "state": State.WORKING,
        "started": now - 3_000 * MINUTE,
        "told": now,
        "last_run": run(now),
        "last_success": now - 2 * MINUTE,
        "settled": now - 3 * MINUTE,
        "head": HEAD,
        "heartbeat": now - MINUTE,
        "protected": status.protected(
            {
                ("deployments.apps", "shop"): 120,
                ("configmaps", "shop"): 340,
                ("secrets", "payments"): 77,
                ("clusterroles.rbac.authorization.k8s.io", ""): 64,
            }
        ),
        "left_out": {"namespaces": 812, "controlled": 655},
        "commits": tuple(
            Commit(id=f"{number}{HEAD[1:]}", time=now - number * 17 * MINUTE, subject=subject)
            for number, subject in enumerate(("prod: 2 updated, 1 created in shop", "prod: 1 deleted in edge"), 1)
        ),
    }
    return Status(**(known | changed))


def importer(now: datetime, **changed: Any) -> Status:
    """An importer that is well."""
    known = {
        "side": "importer",
        "cluster": "dr",
        "follows": "branch main",
        "newest": HEAD,
        "recovery_point": now - MINUTE,
        "looked": now,
        "compared": now - 4 * MINUTE,
        "standby": True,
    }
    return exporter(now, **(known | changed))


def lacking() -> Backups:
    """Backups of volumes with everything that can be wrong."""
    return Backups(
        volumes=9,
        states={"Complete": 2, "Failed": 2, "Empty": 3, "Never": 1, "Waiting": 1},
        oldest=datetime(2026, 11, 20, tzinfo=UTC),
        max_age=108_000.0,
        asked=True,
        lacks={str(lack): count for count, lack in enumerate(Lack, 1)},
        lacking=status.listed(
            [("shop/data", "Empty at … (Shrunk); none is whole"), (f"shop/{HOSTILE[1]}", HOSTILE[0])]
        ),
    )


def troubled(now: datetime) -> Status:
    """An importer with every trouble, told in words that somebody chose who means no good."""
    bad = [(f"shop/configmaps/{text}", f"refused: {text}") for text in HOSTILE]
    return importer(
        now,
        name="prod",
        newest=NEWER,
        recovery_point=now - 47 * MINUTE,
        last_run=run(now, result=Result.PARTIAL, exit_code=3, reason="46 objects are blocked"),
        last_failure=run(now, result=Result.FAILED, exit_code=1, reason=HOSTILE[0]),
        last_success=None,
        blocked=status.listed(bad + [(f"shop/secrets/more-{number}", "no") for number in range(40)]),
        incomplete=status.listed([("widgets.example.com", f"500: {HOSTILE[1]}")]),
        held=status.listed([("validatingwebhookconfigurations.admissionregistration.k8s.io/policy", "no endpoints")]),
        drifted=status.listed([(f"shop/configmaps/{HOSTILE[2]}", "")]),
        leaves_drift=True,
        volumes=2,
        volumes_as_of=now - timedelta(hours=3),
        volumes_behind=status.listed([("shop/data", "refused: in use by pod web-0 (Running)")]),
        backups=lacking(),
        backups_as_of=now - 3 * MINUTE,
        volumes_excluded=status.listed([("shop/cache", 'dr-syncer.io/restore is "false"')]),
        guard="60 of 100 objects would be deleted",
        warnings=(f"importer.transforms matched nothing: {HOSTILE[3]}",),
        troubles=(Trouble("the recovery repository", f"connection refused {HOSTILE[4]}", now - 12 * MINUTE),),
        commits=tuple(
            Commit(id=HEAD, time=now - MINUTE, subject=text, changes={"create": 1, "update": 2}) for text in HOSTILE
        ),
    )
