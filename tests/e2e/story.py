"""How the story is told: announced acts, waits with what was promised, and what acts look at and do again and again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pyrage
import yaml

from tests.e2e.kubectl import Cluster, Object
from tests.e2e.lab.clusters import AUDITED
from tests.e2e.lab.image import ROOT
from tests.e2e.lab.steps import LabFailed, wait_until
from tests.e2e.scene import IMAGE, Scene

NAMESPACE = AUDITED
RELEASE = "dr-syncer"
EXPORTER = "app.kubernetes.io/instance=dr-syncer,app.kubernetes.io/component=exporter"
IMPORTER = "app.kubernetes.io/instance=dr-syncer,app.kubernetes.io/component=importer"
REPLICAS = 2
# What the documents promise on a quiet machine, in seconds. Slower is said; only PATIENCE times as long is a failure,
# since whoever runs this does other things at the same time.
READY, FIRST_COMMIT, STANDBY, CHANGE = 60.0, 30.0, 60.0, 60.0
DRIFT, RESTART = 90.0, 120.0
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

    def begin(self, title: str) -> None:
        """Announce an act."""
        self.say(f"— {title}")
        self.acts.append(Act(title))

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


def helm(cluster: Cluster, action: str, side: str, values: Object, *more: str) -> None:
    """Install or upgrade the chart of one side with these values and our image."""
    repository, _, tag = IMAGE.partition(":")
    file = cluster.cache / f"{cluster.name}.yaml"
    file.write_text(yaml.safe_dump({**values, "image": {"repository": repository, "tag": tag}}))
    chart = str(ROOT / "charts" / f"dr-syncer-{side}")
    cluster.helm(action, RELEASE, chart, "--namespace", NAMESPACE, "--values", str(file), *more)


def helm_test(cluster: Cluster) -> None:
    """Run the release's own test, as its notes say. Raises `LabFailed` when it does not succeed."""
    said = cluster.helm("test", RELEASE, "--namespace", NAMESPACE)
    expect("Succeeded" in said, f"helm test succeeds, but it said: {said}")


def make_namespace(cluster: Cluster) -> None:
    """As strict as namespaces get: what is not `restricted` is not admitted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}])


def edit(story: Story, edition: str) -> None:
    """Write an edition into the shop and see it travel."""
    write(story.scene.source, edition)
    path = "namespaces/shop/configmaps/web.yaml"
    story.wait(lambda: edition in story.scene.git.file(path), f"{edition} in Git", promised=FIRST_COMMIT)
    story.wait(lambda: edition in page(story.scene.dr), f"{edition} in DR", promised=CHANGE)


def write(cluster: Cluster, edition: str) -> None:
    """Write an edition into the shop."""
    patch = {"data": {"index.html": f"the shop, {edition}\n"}}
    cluster("patch", "configmap", "web", "--namespace", "shop", "--type=merge", "--patch", json.dumps(patch))


def page(cluster: Cluster) -> str:
    """The edition that a cluster has."""
    found = cluster.get("configmap", "web", namespace="shop")
    return str(found["data"]["index.html"]) if found else ""


def password(cluster: Cluster) -> str:
    """The password of the shop's database."""
    found = cluster.get("secret", "database", namespace="shop")
    return base64.b64decode(found["data"]["password"]).decode() if found else ""


def replicas(cluster: Cluster, name: str) -> int:
    """The replicas of a Deployment of the shop, -1 without one."""
    found = cluster.get("deployment", name, namespace="shop")
    return int(found["spec"]["replicas"]) if found else -1


def there(cluster: Cluster, type_: str, name: str) -> bool:
    """Whether the shop has this object."""
    return cluster.get(type_, name, namespace="shop") is not None


def wait_for_pods(story: Story, cluster: Cluster, count: int, *, of: str, namespace: str = NAMESPACE) -> None:
    """Wait until so many pods are ready, no more and no fewer."""
    what = f"{count} pods of {of.rpartition('=')[2]} ready in {cluster.name}"
    story.wait(lambda: ready_pods(cluster, namespace, of) == count, what, promised=READY)


def ready_pods(cluster: Cluster, namespace: str, labels: str) -> int:
    """How many pods are ready."""
    return len(cluster.ready_pods(namespace=namespace, labels=labels))


def expect(holds: bool, what: str) -> None:
    """Raises `LabFailed` when something does not hold."""
    if not holds:
        raise LabFailed(f"this does not hold: {what}")
