"""The acts about the data of volumes: backed up where it is used, brought to DR where nothing uses it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from drsyncer.own import RESTORED
from tests.e2e import story as told
from tests.e2e.git_server import GitServer
from tests.e2e.kubectl import Cluster, Object, secret
from tests.e2e.lab.steps import LabFailed
from tests.e2e.scene import IMAGE
from tests.e2e.story import NAMESPACE, Story, expect
from volumes.jobs import OPERATION

SECRET, PASSWORD = "restic", "a password of the restic repository"
CLAIM = "data-database-0"
RECORD = "volumes/shop/{}.yaml"
JOBS = f"{told.RELEASE}-exporter"
# Seconds; a mover's pod, its image and a backup of little are there long before.
BACKUP, FOLLOWS = 120.0, 120.0
# A hundred thousand small files and one of five gigabytes, through pods that share two cores with two clusters.
MUCH = 300.0
ARCHIVE = "archive"
IN_USE = "in use by pod"
WITNESS = Path(__file__).with_name("odd_files.py")


def values(git: GitServer) -> Object:
    """What both charts are told about the restic repository."""
    volumes: Object = {"restic": {"repository": git.restic_url}, "copyMethod": "direct"}
    volumes["select"] = {"include": [{"namespaces": ["shop"]}]}
    return {"config": {"volumes": volumes}, "restic": {"existingSecret": SECRET, "knownHosts": git.known_hosts}}


def jobs() -> Object:
    """What the exporter's chart is told about its CronJobs: they run when the story says so, and not at their times."""
    return {"backup": {"suspend": True}, "verify": {"suspend": True}, "prune": {"enabled": True, "suspend": True}}


def give_key(cluster: Cluster, git: GitServer) -> None:
    """Give a cluster the credentials of the restic repository."""
    files = {"password": PASSWORD, "ssh-privatekey": git.restic_key_file.read_text()}
    cluster.apply([secret(SECRET, NAMESPACE, files)])


def backup(story: Story) -> None:
    """The database's volume is backed up: all of it, and the next commit says so."""
    source = story.scene.source
    witness(source, "write")
    run_job(story, "init")
    run_job(story, "backup", "backup-1")
    story.wait(lambda: _state(story) == "Complete", "its record is in Git", promised=told.FIRST_COMMIT)
    expect(PASSWORD not in story.scene.git.file(RECORD.format(CLAIM)), "no password is in it")
    in_database = ("exec", "database-0", "--namespace", "shop", "--")
    expect(source(*in_database, "cat", "/data/dump") == "all", "the hook before has written its dump")
    source(*in_database, "test", "-e", "/tmp/thawed")  # the one after was run, too
    left = source.list("secrets", namespace="shop", labels=OPERATION)
    expect(not left, "nothing of the movers is left in the application's namespace")


def follows(story: Story) -> None:
    """In DR the data is there, byte by byte, owner by owner, before anything runs on it."""
    source, dr = story.scene.source, story.scene.dr
    story.wait(lambda: _restored(story, "complete"), "the claim in DR says that it is whole", promised=FOLLOWS)
    expect(told.ready_pods(dr, "shop", "app=database") == 0, "nothing runs on it")
    there, here = witness(dr, "look"), witness(source, "look")
    expect(len(here) > 50, "there is something to compare")
    if "posix_acl" not in str(here):
        story.say("  not seen here: extended attributes and ACLs, which the file system of these volumes has not")
    expect(there == here, f"it is what the source has, but {_difference(here, there)}")


def in_use(story: Story) -> None:
    """A volume that a pod uses in DR is left alone, and follows once nothing uses it any more."""
    source, dr = story.scene.source, story.scene.dr
    with witness_pod(dr, "import time; time.sleep(3600)", "user") as user:
        dr("wait", "--for=condition=Ready", f"pod/{user}", "--namespace", "shop", "--timeout=120s")
        before = _snapshot(story)
        _write(source, "second night")
        run_job(story, "backup", "backup-2")
        story.wait(lambda: _snapshot(story) not in ("", before), "a newer snapshot in Git", promised=told.FIRST_COMMIT)
        said = _restore_by_hand(dr)
        expect(IN_USE in said, f"a restore by hand says who uses it, but it said: {said}")
        expect(_marker(dr).get("snapshot") == before, "and nothing was written")
    newer = _snapshot(story)
    story.wait(lambda: _marker(dr).get("snapshot") == newer, "it follows, now that nobody uses it", promised=FOLLOWS)
    story.wait(lambda: _restored(story, "complete"), "and is whole", promised=FOLLOWS)
    expect(witness(dr, "look") == witness(source, "look"), "it is what the source has")


def killed(story: Story) -> None:
    """A mover that is killed is a failure with a name, and the last whole snapshot stays."""
    source = story.scene.source
    before = _snapshot(story)
    _write(source, "third night")
    _start(source, "backup", "backup-3")
    story.wait(lambda: _kill_mover(source), "a mover to kill", promised=BACKUP)
    story.wait(lambda: _ended(source, "backup-3") != "", "the end of the run", promised=BACKUP)
    expect(_ended(source, "backup-3") == "Failed", "the run says that it failed")
    story.wait(lambda: bool(_attempt(story)), "the attempt is in Git", promised=told.FIRST_COMMIT)
    expect(_attempt(story).get("state") == "Failed", f"it is called by its name, but it is {_attempt(story)}")
    expect(_snapshot(story) == before, "the record keeps the snapshot of before")
    reasons = source("get", "events", "--namespace", "shop", "--output", "jsonpath={.items[*].reason}")
    expect("BackupFailed" in reasons, "an Event tells it")
    run_job(story, "backup", "backup-4")
    story.wait(lambda: not _attempt(story) and _snapshot(story) != before, "whole again", promised=told.FIRST_COMMIT)


def looked_after(story: Story) -> None:
    """The repository is checked and pruned, and what recovery points name is still there."""
    before, since = _snapshot(story), _since(story)
    run_job(story, "verify")
    run_job(story, "prune")
    run_job(story, "backup", "backup-5")
    story.wait(lambda: _state(story) == "Unchanged", "the next backup goes on from there", promised=told.FIRST_COMMIT)
    expect(_snapshot(story) == before, "nothing differs from the snapshot before, so it is named again")
    expect(_since(story) > since, "as one that is as young as this backup")


def large(story: Story) -> None:
    """A hundred thousand small files, and one of five gigabytes that is nearly all hole, come back as they were."""
    source, dr = story.scene.source, story.scene.dr
    source.apply([_claim(ARCHIVE)])
    witness(source, "fill", claim=ARCHIVE)
    here = witness(source, "sum", claim=ARCHIVE)
    expect(sum(int(str(row[1])) for row in here if isinstance(row, list)) >= 100_000, "there is much to compare")
    run_job(story, "backup", "backup-6", promised=MUCH)
    story.wait(lambda: bool(_snapshot(story, ARCHIVE)), "its record is in Git", promised=told.FIRST_COMMIT)
    expect(_state(story, ARCHIVE) == "Complete", f"all of it was read, but it is {_state(story, ARCHIVE)}")
    story.wait(lambda: _restored(story, "complete", ARCHIVE), "the claim in DR says that it is whole", promised=MUCH)
    there = witness(dr, "sum", claim=ARCHIVE)
    expect(there == here, f"it is what the source has, holes too, but {_difference(here, there)}")


# Looking, and doing again


@contextlib.contextmanager
def witness_pod(cluster: Cluster, script: str, *arguments: str, claim: str = CLAIM) -> Iterator[str]:
    """Run a script in a pod that has the volume, as root; yield the pod's name. It is no business of the export's."""
    name = f"witness-{arguments[0]}"
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    container = {
        "name": "witness",
        "image": IMAGE,
        "command": ["python3", "-c", script, *arguments, "/data"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"dr-syncer.io/ignore": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [volume],
        },
    }
    cluster.apply([pod])
    try:
        yield name
    finally:
        cluster("delete", "pod", name, "--namespace", "shop", "--ignore-not-found", "--wait")


def witness(cluster: Cluster, what: str, *, claim: str = CLAIM) -> list[object]:
    """Let the witness write or look; return what it saw."""
    seconds = 120 if claim == CLAIM else 600
    with witness_pod(cluster, WITNESS.read_text(), what, claim=claim) as name:
        done = "--for=jsonpath={.status.phase}=Succeeded"
        cluster(
            *("wait", done, f"pod/{name}", "--namespace", "shop", f"--timeout={seconds}s"), timeout=float(seconds + 10)
        )
        printed = cluster("logs", name, "--namespace", "shop").splitlines()
    return list(json.loads(printed[-1])) if what in ("look", "sum") else []


def run_job(story: Story, what: str, name: str = "", *, promised: float = BACKUP) -> None:
    """Run one of the chart's CronJobs now, as its notes say. Raises `LabFailed` with its words when it fails."""
    source, name = story.scene.source, name or what
    _start(source, what, name)
    story.wait(lambda: _ended(source, name) != "", f"the end of {name}", promised=promised)
    if _ended(source, name) != "Complete":
        said = source("logs", f"job/{name}", "--namespace", NAMESPACE, "--tail=-1")
        raise LabFailed(f"{name} failed: {said}")


def _start(cluster: Cluster, what: str, name: str) -> None:
    cluster("create", "job", name, f"--from=cronjob/{JOBS}-{what}", "--namespace", NAMESPACE)


def _ended(cluster: Cluster, name: str) -> str:
    """How a Job ended: Complete or Failed; "" before that."""
    found = cluster.get("job", name, namespace=NAMESPACE) or {}
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((each["type"] for each in conditions if each["type"] in ("Complete", "Failed")), "")


def _kill_mover(cluster: Cluster) -> bool:
    """Kill the mover of a backup, if there is one that has begun."""
    pods = cluster.list("pods", namespace="shop", labels=f"{OPERATION}=backup")
    if not pods:
        return False
    expect(pods[0]["spec"]["automountServiceAccountToken"] is False, "a mover has no token")
    name = pods[0]["metadata"]["name"]
    cluster("delete", "pod", name, "--namespace", "shop", "--grace-period=0", "--force")
    return True


def _write(cluster: Cluster, text: str) -> None:
    """Let the application itself write into its volume."""
    script = f"open('/data/diary.txt', 'a').write({text!r})"
    cluster("exec", "database-0", "--namespace", "shop", "--", "python3", "-c", script)


def _restore_by_hand(cluster: Cluster) -> str:
    """What a restore by hand says, in the importer's own pod; it must be refused."""
    command = ("dr-syncer", "volumes", "restore", "--pvc", f"shop/{CLAIM}", "--output", "json")
    try:
        cluster("exec", f"deployment/{told.RELEASE}-importer", "--namespace", NAMESPACE, "--", *command)
    except LabFailed as refusal:
        return str(refusal)
    raise LabFailed("this does not hold: a restore into a volume that a pod uses is refused")


def _record(story: Story, claim: str) -> Object:
    found = yaml.safe_load(story.scene.git.file(RECORD.format(claim)) or "{}")
    return dict(found)


def _snapshot(story: Story, claim: str = CLAIM) -> str:
    return str((_record(story, claim).get("snapshot") or {}).get("id", ""))


def _since(story: Story) -> str:
    return str((_record(story, CLAIM).get("snapshot") or {}).get("start", ""))


def _attempt(story: Story) -> Object:
    return dict(_record(story, CLAIM).get("attempt") or {})


def _state(story: Story, claim: str = CLAIM) -> str:
    return str((_record(story, claim).get("snapshot") or {}).get("state", ""))


def _marker(cluster: Cluster, claim: str = CLAIM) -> Object:
    """What DR says of the volume's data."""
    found = cluster.get("persistentvolumeclaim", claim, namespace="shop") or {"metadata": {}}
    return dict(json.loads((found["metadata"].get("annotations") or {}).get(RESTORED, "{}")))


def _restored(story: Story, state: str, claim: str = CLAIM) -> bool:
    marker = _marker(story.scene.dr, claim)
    return marker.get("state") == state and marker.get("snapshot") == _snapshot(story, claim)


def _claim(name: str) -> Object:
    """A claim for a volume of the cluster's own class."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Gi"}}}
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _difference(here: list[object], there: list[object]) -> str:
    """The first path that is not the same."""
    for one in [*(row for row in here if row not in there), *(row for row in there if row not in here)]:
        return str(one)
    return "in nothing that can be seen"
