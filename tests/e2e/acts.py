"""The acts: what a person with two clusters does and sees, until he takes it all away again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pyrage
import yaml

from tests.e2e import git_server, volumes
from tests.e2e import story as told
from tests.e2e.kubectl import Cluster, Object, secret
from tests.e2e.lab.clusters import DR, SOURCE
from tests.e2e.lab.steps import LabFailed
from tests.e2e.rights import judge
from tests.e2e.scene import IMAGE
from tests.e2e.story import EXPORTER, IMPORTER, NAMESPACE, REPLICAS, Story, expect

CREDENTIALS, AGE_KEY = "recovery-repository", "age"


def play(story: Story) -> None:
    """Play all acts. Raises `LabFailed` in the one that does not go as it should."""
    for act in ACTS:
        story.begin((act.__doc__ or "").strip().rstrip("."))
        act(story)


def application(story: Story) -> None:
    """An application of three tiers runs in the source cluster."""
    source = story.scene.source
    source.apply_file(_file("shop.yaml"))
    for tier, pods in (("web", 2), ("database", 1)):
        told.wait_for_pods(story, source, pods, of=f"app={tier}", namespace="shop")


def mistakes(story: Story) -> None:
    """Wrong values are refused by name, or explained where people look: the pod's status and its events."""
    source = story.scene.source
    told.make_namespace(source)
    wrong = _exporter_values(story, story.identity)
    wrong["config"]["exporter"]["clutser"] = "prod"
    expect("clutser" in _refusal(source, wrong), "helm refuses an unknown key by its name")
    told.helm(source, "install", "exporter", _exporter_values(story, story.identity))
    missing = f'"{CREDENTIALS}" not found'
    story.wait(lambda: missing in _events(source), "an event names the missing Secret", promised=told.READY)
    source.helm("uninstall", told.RELEASE, "--namespace", NAMESPACE, "--wait")
    _give_deploy_key(story)
    wrong = _exporter_values(story, story.identity)
    wrong["config"]["exporter"] |= {"mode": "scheduled", "schedule": "61 * * * *"}
    refusal = _refusal(source, wrong)
    if refusal:
        expect("schedule" in refusal, "helm refuses a wrong schedule by its name")
        return
    words = "exporter.schedule"
    story.wait(lambda: words in _last_words(source), "the pod's status names the wrong schedule", promised=told.READY)
    source.helm("uninstall", told.RELEASE, "--namespace", NAMESPACE, "--wait")


def exporter(story: Story) -> None:
    """helm install dr-syncer-exporter: it commits the cluster, Secrets encrypted."""
    git, source = story.scene.git, story.scene.source
    _give_deploy_key(story)
    told.helm(source, "install", "exporter", _exporter_values(story, story.identity))
    told.wait_for_pods(story, source, REPLICAS, of=EXPORTER)
    story.wait(lambda: bool(git.head()), "first commit", promised=told.FIRST_COMMIT)
    told.helm_test(source)
    files = git.git("ls-tree", "-r", "--name-only", "main").splitlines()
    expect("namespaces/shop/deployments.apps/web.yaml" in files, "the Deployment is in Git")
    expect(told.SECRET not in git.file("namespaces/shop/secrets/database.yaml"), "no Secret is readable in Git")
    expect(not _own(files), f"nothing of DR-Syncer itself is in Git, but {', '.join(_own(files))}")


def importer(story: Story) -> None:
    """helm install dr-syncer-importer: everything is in DR, in standby."""
    git, dr = story.scene.git, story.scene.dr
    told.make_namespace(dr)
    login = {"username": git_server.USER, "password": git.token, "ca.crt": git.ca}
    dr.apply([secret(CREDENTIALS, NAMESPACE, login), secret(AGE_KEY, NAMESPACE, {"age.key": f"{story.identity}\n"})])
    volumes.give_key(dr, git)
    told.helm(dr, "install", "importer", _importer_values(story))
    told.wait_for_pods(story, dr, REPLICAS, of=IMPORTER)
    story.wait(lambda: told.there(dr, "deployment", "web"), "the application in DR", promised=told.STANDBY)
    story.wait(lambda: told.there(dr, "cronjob", "report"), "its last object", promised=told.STANDBY)
    told.helm_test(dr)
    for type_, name in (("deployment", "web"), ("statefulset", "database")):
        found = dr.get(type_, name, namespace="shop")
        expect(found is not None and found["spec"]["replicas"] == 0, f"{type_} {name} waits with 0 replicas")
    job = dr.get("cronjob", "report", namespace="shop")
    expect(job is not None and job["spec"]["suspend"] is True, "the CronJob is suspended")
    expect(told.password(dr) == told.password(story.scene.source), "the Secret is the same in DR")


def change(story: Story) -> None:
    """A change in the source cluster travels, and what another hand changes in DR is put back."""
    told.edit(story, "second edition")
    dr = story.scene.dr
    dr("scale", "deployment/web", "--replicas=1", "--namespace", "shop")
    story.wait(lambda: told.replicas(dr, "web") == 0, "standby again", promised=told.DRIFT)


def deletion(story: Story) -> None:
    """What is deleted in the source cluster is pruned in DR."""
    story.scene.source("delete", "cronjob", "report", "--namespace", "shop")
    dr = story.scene.dr
    story.wait(lambda: not told.there(dr, "cronjob", "report"), "the CronJob gone from DR", promised=told.CHANGE)


def operator(story: Story) -> None:
    """An operator with a type that nobody knew before: it works in the source, and waits in DR."""
    source, dr = story.scene.source, story.scene.dr
    *installed, greeting = yaml.safe_load_all(_file("operator.yaml"))
    source.apply(installed)
    source("wait", "--for=condition=Established", "--timeout=60s", "crd/greetings.example.com")
    source.apply([greeting])
    told.wait_for_pods(story, source, 1, of="app=greeter", namespace="greeter")
    story.wait(lambda: _phase(source) == "Greeted", "the operator has done its work", promised=told.READY)
    story.wait(lambda: told.there(dr, "greetings.example.com", "first"), "its object is in DR", promised=told.CHANGE)
    story.wait(lambda: _greeter(dr) is not None, "the operator is in DR", promised=told.CHANGE)
    parked = _greeter(dr)
    expect(parked is not None and parked["spec"]["replicas"] == 0, "the operator waits with 0 replicas")
    expect(_phase(dr) == "", "what it says of its object is its own, and not in DR")
    expect(not told.there(dr, "configmap", "first"), "what it made is its own, too: it makes it again in DR")


def rotation(story: Story) -> None:
    """The key of Secrets is rotated: DR learns the new one, then the source writes for it alone."""
    source, dr, git = story.scene.source, story.scene.dr, story.scene.git
    old, new = story.identity, pyrage.x25519.Identity.generate()
    dr.apply([secret(AGE_KEY, NAMESPACE, {"age.key": f"{old}\n{new}\n"})])
    _roll(dr)
    told.helm(source, "upgrade", "exporter", _exporter_values(story, new))
    path = "namespaces/shop/secrets/database.yaml"
    story.wait(lambda: str(new.to_public()) in git.file(path), "encrypted for the new key", promised=told.CHANGE)
    expect(str(old.to_public()) not in git.file(path), "and no more for the old one")
    dr.apply([secret(AGE_KEY, NAMESPACE, {"age.key": f"{new}\n"})])
    _roll(dr)
    source.apply([secret("database", "shop", {"password": "another horse"})])
    story.wait(lambda: told.password(dr) == "another horse", "a new password in DR", promised=told.CHANGE * 2)
    story.identity = new


def killed_pods(story: Story) -> None:
    """All pods of both sides are killed: others take over, and changes travel."""
    sides = ((story.scene.source, EXPORTER), (story.scene.dr, IMPORTER))
    for cluster, labels in sides:
        cluster("delete", "pods", "--namespace", NAMESPACE, "--selector", labels, "--grace-period=0", "--force")
    for cluster, labels in sides:
        told.wait_for_pods(story, cluster, REPLICAS, of=labels)
    told.edit(story, "third edition")


def cut_network(story: Story) -> None:
    """Git is cut off the network: nothing is lost, and all of it arrives once the network heals."""
    git, source, dr = story.scene.git, story.scene.source, story.scene.dr
    git.cut()
    try:
        told.write(source, "fourth edition")
        for cluster, labels, words in (
            (source, EXPORTER, "pushed later"),
            (dr, IMPORTER, "the recovery repository"),
        ):
            story.wait(_says(cluster, labels, words), f"{cluster.name} says that Git is away", promised=told.CHANGE * 2)
            told.wait_for_pods(story, cluster, REPLICAS, of=labels)  # a Git that is away makes nobody unhealthy
    finally:
        git.heal()
    story.wait(lambda: "fourth edition" in told.page(dr), "the change in DR, healed", promised=told.CHANGE * 2)


def restarted_node(story: Story) -> None:
    """The only node of the source cluster is restarted: everything comes up, and changes travel."""
    source = story.scene.source
    story.scene.lab.docker("restart", f"{SOURCE}-control-plane", timeout=300)
    story.wait(lambda: bool(source("get", "--raw", "/readyz")), "the API server answers", promised=told.RESTART)
    # The pods of before count as ready until the kubelet has said otherwise; a change must travel all the same.
    told.edit(story, "fifth edition")
    told.wait_for_pods(story, source, REPLICAS, of=EXPORTER)
    told.wait_for_pods(story, source, 2, of="app=web", namespace="shop")


def upgrade(story: Story) -> None:
    """helm upgrade of both sides while the source changes all the time: the last change arrives."""
    source, dr = story.scene.source, story.scene.dr
    ended, written = Event(), [0]

    def churn() -> None:
        while not ended.wait(0.5):
            written[0] += 1
            told.write(source, f"edition {written[0]} of many")

    thread = Thread(target=churn, daemon=True)
    thread.start()
    try:
        hasty = _exporter_values(story, story.identity)
        hasty["config"]["exporter"]["quietPeriod"] = "1s"
        told.helm(source, "upgrade", "exporter", hasty, "--wait")
        told.helm(dr, "upgrade", "importer", _importer_values(story) | {"podLabels": {"upgraded": "yes"}}, "--wait")
    finally:
        ended.set()
        thread.join()
    expect(written[0] > 1, "there was churn")
    last = f"edition {written[0]} of many"
    story.wait(lambda: last in told.page(dr), f"the last of {written[0]} changes in DR", promised=told.CHANGE)


def rights(story: Story) -> None:
    """By the API servers' audit logs, nothing that the services asked was refused, and each right was needed."""
    for cluster, name in ((story.scene.source, SOURCE), (story.scene.dr, DR)):
        requests, complaints = judge(cluster, story.scene.lab.kind, name, release=told.RELEASE)
        expect(requests > 0, f"{cluster.name}: its audit log holds our requests")
        story.say(f"  {cluster.name}: {requests} requests in its audit log")
        expect(
            not complaints,
            f"{cluster.name}: of {requests} requests none was refused, and all rights were needed, but "
            + "; ".join(complaints),
        )


def uninstall(story: Story) -> None:
    """helm uninstall on both sides: the application stays as it is."""
    source, dr = story.scene.source, story.scene.dr
    for cluster in (source, dr):
        cluster.helm("uninstall", told.RELEASE, "--namespace", NAMESPACE, "--wait")
    told.wait_for_pods(story, source, 2, of="app=web", namespace="shop")
    expect(told.there(dr, "deployment", "web"), "and waits in DR")
    expect(told.password(dr) == told.password(source), "with its Secret")


ACTS: tuple[Callable[[Story], None], ...] = (
    *(application, mistakes, exporter, importer, change, deletion, operator),
    *(volumes.backup, volumes.follows, volumes.in_use, volumes.killed, volumes.looked_after, volumes.large, rotation),
    *(killed_pods, cut_network, restarted_node, upgrade, rights, uninstall),
)


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text().replace("IMAGE", IMAGE)


def _greeter(cluster: Cluster) -> Object | None:
    return cluster.get("deployment", "greeter", namespace="greeter")


def _phase(cluster: Cluster) -> str:
    found = cluster.get("greetings.example.com", "first", namespace="shop")
    return str(((found or {}).get("status") or {}).get("phase", ""))


def _give_deploy_key(story: Story) -> None:
    key = story.scene.git.key_file.read_text()
    story.scene.source.apply([secret(CREDENTIALS, NAMESPACE, {"ssh-privatekey": key})])
    volumes.give_key(story.scene.source, story.scene.git)


def _refusal(cluster: Cluster, values: Object) -> str:
    """What helm says when it does not install this; "" when it does."""
    try:
        told.helm(cluster, "install", "exporter", values)
    except LabFailed as refusal:
        return str(refusal)
    return ""


def _events(cluster: Cluster) -> str:
    return cluster("get", "events", "--namespace", NAMESPACE, "--output", "jsonpath={.items[*].message}")


def _last_words(cluster: Cluster) -> str:
    """What the pods said when they ended, as `kubectl describe pod` shows it."""
    statuses = (
        status
        for pod in cluster.list("pods", namespace=NAMESPACE, labels=EXPORTER)
        for status in pod["status"].get("containerStatuses", [])
    )
    ends = (status[state].get("terminated", {}) for status in statuses for state in ("state", "lastState"))
    return "\n".join(end.get("message", "") for end in ends)


def _exporter_values(story: Story, identity: pyrage.x25519.Identity) -> Object:
    git = story.scene.git
    recipients = [str(identity.to_public())]
    data = volumes.values(git)
    return {
        "config": {
            "repository": {"url": git.ssh_url},
            "exporter": {"cluster": "prod", "secrets": {"recipients": recipients}},
            **data.pop("config"),
        },
        "git": {"existingSecret": CREDENTIALS, "knownHosts": git.known_hosts},
        **data,
        **volumes.jobs(),
    }


def _importer_values(story: Story) -> Object:
    data = volumes.values(story.scene.git)
    data["config"]["volumes"]["restore"] = {"follow": True, "verify": "all"}
    return {
        "config": {
            "repository": {"url": story.scene.git.https_url},
            "importer": {"cluster": "dr", "drift": {"interval": "30s"}},
            **data.pop("config"),
        },
        **data,
        "git": {"existingSecret": CREDENTIALS, "keys": {"username": "username", "ca": "ca.crt"}},
        "age": {"existingSecret": AGE_KEY},
    }


def _roll(cluster: Cluster) -> None:
    """New pods, which see a changed Secret at once; a kubelet takes a minute to tell those that run."""
    name = cluster("get", "deployments", "--namespace", NAMESPACE, "--output", "name")
    cluster("rollout", "restart", name, "--namespace", NAMESPACE)
    cluster("rollout", "status", name, "--namespace", NAMESPACE, "--timeout=300s", timeout=310)


def _says(cluster: Cluster, labels: str, words: str) -> Callable[[], bool]:
    return lambda: words in cluster.said(namespace=NAMESPACE, labels=labels)


def _own(files: list[str]) -> list[str]:
    return [name for name in files if name.startswith(f"namespaces/{NAMESPACE}/")]
