"""The story, act by act: what a person with two clusters does and sees, until he takes it all away again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyrage
import yaml

from tests.e2e.git_server import USER
from tests.e2e.kubectl import Cluster, Object, secret
from tests.e2e.lab.steps import LabFailed, wait_until
from tests.e2e.scene import IMAGE, ROOT, Scene

NAMESPACE = "dr-syncer"
EXPORTER = "app.kubernetes.io/instance=dr-syncer,app.kubernetes.io/component=exporter"
IMPORTER = "app.kubernetes.io/instance=dr-syncer,app.kubernetes.io/component=importer"
REPLICAS = 2
# What the documents promise on a quiet machine, in seconds. Slower is said; only PATIENCE times as long is a failure,
# since whoever runs this does other things at the same time.
READY, FIRST_COMMIT, STANDBY, CHANGE = 60.0, 30.0, 60.0, 60.0
PATIENCE = 5.0
SECRET = "correct horse battery staple"


@dataclass
class Act:
    """One act as it went: `seconds` by what was waited for."""

    title: str
    seconds: dict[str, float] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)


@dataclass
class Story:
    """The scene, and what is known of it so far."""

    scene: Scene
    say: Callable[[str], None]
    acts: list[Act] = field(default_factory=list)
    identity: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate, repr=False)

    @contextmanager
    def act(self, title: str) -> Iterator[None]:
        """Announce an act."""
        self.say(f"— {title}")
        self.acts.append(Act(title))
        yield

    def wait(self, ready: Callable[[], bool], what: str, *, promised: float) -> None:
        """Wait for something, and remember how long it took. Raises `LabFailed` when it takes much too long."""
        begun = time.monotonic()
        complaint = ""

        def tolerant() -> bool:
            nonlocal complaint
            try:
                return ready()
            except LabFailed as error:  # such as the log of a pod that is only just being made
                complaint = f"; the last look failed: {error}"
                return False

        try:
            wait_until(tolerant, what=what, seconds=promised * PATIENCE)
        except LabFailed as error:
            raise LabFailed(f"{error}{complaint}") from error
        seconds = time.monotonic() - begun
        act = self.acts[-1]
        act.seconds[what] = seconds
        late = seconds > promised
        if late:
            act.late.append(what)
        self.say(f"  {what} after {seconds:.1f} s" + (f", later than the {promised:.0f} s promised" if late else ""))


def play(story: Story) -> None:
    """Play all acts. Raises `LabFailed` in the one that does not go as it should."""
    for act in (_application, _exporter, _importer, _change, _deletion, _killed_pods, _cut_network, _uninstall):
        title = (act.__doc__ or "").strip().rstrip(".")
        with story.act(title):
            act(story)


def _application(story: Story) -> None:
    """An application of three tiers runs in the source cluster."""
    story.scene.source.apply_file((Path(__file__).with_name("shop.yaml")).read_text().replace("IMAGE", IMAGE))
    for tier, pods in (("web", 2), ("database", 1)):
        _wait_for_pods(story, story.scene.source, pods, of=f"app={tier}", namespace="shop")


def _exporter(story: Story) -> None:
    """helm install dr-syncer-exporter: it commits the cluster, Secrets encrypted."""
    git, source = story.scene.git, story.scene.source
    _namespace(source)
    source.apply([secret("recovery-repository", NAMESPACE, {"ssh-privatekey": git.key_file.read_text()})])
    _install(
        source,
        "exporter",
        {
            "config": {
                "repository": {"url": git.ssh_url},
                "exporter": {
                    "cluster": "prod",
                    "secrets": {"recipients": [str(story.identity.to_public())]},
                },
            },
            "git": {"existingSecret": "recovery-repository", "knownHosts": git.known_hosts},
        },
    )
    _wait_for_pods(story, source, REPLICAS, of=EXPORTER)
    story.wait(lambda: bool(git.head()), "first commit", promised=FIRST_COMMIT)
    files = git.git("ls-tree", "-r", "--name-only", "main").splitlines()
    _expect("namespaces/shop/deployments.apps/web.yaml" in files, "the Deployment is in Git")
    _expect(SECRET not in git.file("namespaces/shop/secrets/database.yaml"), "no Secret is readable in Git")
    _expect(not [name for name in files if "/dr-syncer/" in name], "nothing of DR-Syncer itself is in Git")


def _importer(story: Story) -> None:
    """helm install dr-syncer-importer: everything is in DR, in standby."""
    git, dr = story.scene.git, story.scene.dr
    _namespace(dr)
    dr.apply(
        [
            secret("recovery-repository", NAMESPACE, {"username": USER, "password": git.token, "ca.crt": git.ca}),
            secret("age", NAMESPACE, {"age.key": f"{story.identity}\n"}),
        ]
    )
    _install(
        dr,
        "importer",
        {
            "config": {"repository": {"url": git.https_url}, "importer": {"cluster": "dr"}},
            "git": {"existingSecret": "recovery-repository", "keys": {"username": "username", "ca": "ca.crt"}},
            "age": {"existingSecret": "age"},
        },
    )
    _wait_for_pods(story, dr, REPLICAS, of=IMPORTER)
    story.wait(lambda: _there(dr, "deployment", "web"), "the application in DR", promised=STANDBY)
    story.wait(lambda: _there(dr, "cronjob", "report"), "its last object", promised=STANDBY)
    for type_, name in (("deployment", "web"), ("statefulset", "database")):
        found = dr.get(type_, name, namespace="shop")
        _expect(found is not None and found["spec"]["replicas"] == 0, f"{type_} {name} waits with 0 replicas")
    job = dr.get("cronjob", "report", namespace="shop")
    _expect(job is not None and job["spec"]["suspend"] is True, "the CronJob is suspended")
    _expect(_password(dr) == _password(story.scene.source), "the Secret is the same in DR")


def _change(story: Story) -> None:
    """A change in the source cluster travels, and what another hand changes in DR is put back."""
    _edit(story, "second edition")
    dr = story.scene.dr
    dr("scale", "deployment/web", "--replicas=1", "--namespace", "shop")
    story.wait(lambda: _replicas(dr, "web") == 0, "standby again", promised=CHANGE * 5)


def _deletion(story: Story) -> None:
    """What is deleted in the source cluster is pruned in DR."""
    story.scene.source("delete", "cronjob", "report", "--namespace", "shop")
    story.wait(lambda: not _there(story.scene.dr, "cronjob", "report"), "the CronJob gone from DR", promised=CHANGE)


def _killed_pods(story: Story) -> None:
    """All pods of both sides are killed: others take over, and changes travel."""
    sides = ((story.scene.source, EXPORTER), (story.scene.dr, IMPORTER))
    for cluster, labels in sides:
        cluster("delete", "pods", "--namespace", NAMESPACE, "--selector", labels, "--grace-period=0", "--force")
    for cluster, labels in sides:
        _wait_for_pods(story, cluster, REPLICAS, of=labels)
    _edit(story, "third edition")


def _cut_network(story: Story) -> None:
    """Git is cut off the network: nothing is lost, and all of it arrives once the network heals."""
    git, source, dr = story.scene.git, story.scene.source, story.scene.dr
    git.cut()
    try:
        _write(source, "fourth edition")
        story.wait(
            lambda: "pushed later" in source.said(namespace=NAMESPACE, labels=EXPORTER),
            "the exporter says that commits are kept",
            promised=CHANGE * 2,
        )
        story.wait(
            lambda: "the recovery repository" in dr.said(namespace=NAMESPACE, labels=IMPORTER),
            "the importer says so, too",
            promised=CHANGE * 2,
        )
        for cluster, labels in ((source, EXPORTER), (dr, IMPORTER)):
            _expect(_ready(cluster, NAMESPACE, labels) == REPLICAS, f"the pods of {cluster.name} stay ready")
    finally:
        git.heal()
    story.wait(lambda: "fourth edition" in _page(dr), "the change in DR once it healed", promised=CHANGE * 2)


def _uninstall(story: Story) -> None:
    """helm uninstall on both sides: the application stays as it is."""
    source, dr = story.scene.source, story.scene.dr
    for cluster in (source, dr):
        cluster.helm("uninstall", "dr-syncer", "--namespace", NAMESPACE, "--wait")
    _expect(_ready(source, "shop", "app=web") == 2, "the application runs in the source cluster")
    _expect(_there(dr, "deployment", "web") and _password(dr) == SECRET, "and waits in DR")


def _install(cluster: Cluster, side: str, values: Object) -> None:
    repository, _, tag = IMAGE.partition(":")
    whole = {**values, "image": {"repository": repository, "tag": tag}}
    file = cluster.cache / f"{side}.yaml"
    file.write_text(yaml.safe_dump(whole))
    chart = ROOT / "charts" / f"dr-syncer-{side}"
    cluster.helm("install", "dr-syncer", str(chart), "--namespace", NAMESPACE, "--values", str(file))


def _namespace(cluster: Cluster) -> None:
    """As strict as namespaces get: what is not `restricted` is not admitted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}])


def _edit(story: Story, edition: str) -> None:
    _write(story.scene.source, edition)
    path = "namespaces/shop/configmaps/web.yaml"
    story.wait(lambda: edition in story.scene.git.file(path), f"{edition} in Git", promised=FIRST_COMMIT)
    story.wait(lambda: edition in _page(story.scene.dr), f"{edition} in DR", promised=CHANGE)


def _write(cluster: Cluster, edition: str) -> None:
    patch = {"data": {"index.html": f"the shop, {edition}\n"}}
    cluster("patch", "configmap", "web", "--namespace", "shop", "--type=merge", "--patch", json.dumps(patch))


def _page(cluster: Cluster) -> str:
    found = cluster.get("configmap", "web", namespace="shop")
    return str(found["data"]["index.html"]) if found else ""


def _password(cluster: Cluster) -> str:
    found = cluster.get("secret", "database", namespace="shop")
    return base64.b64decode(found["data"]["password"]).decode() if found else ""


def _replicas(cluster: Cluster, name: str) -> int:
    found = cluster.get("deployment", name, namespace="shop")
    return int(found["spec"]["replicas"]) if found else -1


def _there(cluster: Cluster, type_: str, name: str) -> bool:
    return cluster.get(type_, name, namespace="shop") is not None


def _wait_for_pods(story: Story, cluster: Cluster, count: int, *, of: str, namespace: str = NAMESPACE) -> None:
    what = f"{count} pods of {of.rpartition('=')[2]} ready in {cluster.name}"
    story.wait(lambda: _ready(cluster, namespace, of) == count, what, promised=READY)


def _ready(cluster: Cluster, namespace: str, labels: str) -> int:
    return len(cluster.ready_pods(namespace=namespace, labels=labels))


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise LabFailed(f"this does not hold: {what}")
