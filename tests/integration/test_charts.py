"""The charts: what they make, what they refuse, and that their installation touches nothing of anybody else."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drsyncer.yaml.emit import emit
from tests.cluster import tools
from tests.cluster.control_plane import ControlPlane
from tests.integration.charts import (
    FULLNAME,
    NAMESPACE,
    ROOT,
    SETTINGS,
    SIDES,
    chart,
    dr_syncer,
    golden_file,
    helm,
    merged,
    one,
    refusal,
    rendered,
    text,
    values,
    values_file,
    write_configuration,
)
from tests.integration.recovery import configmap, deployment, namespace

MOST_BYTES_OF_A_TERMINATION_MESSAGE = 2048

each_side = pytest.mark.parametrize("side", SIDES)
each_setting = pytest.mark.parametrize("setting", SETTINGS)


@each_side
@each_setting
def test_helm_finds_nothing_to_complain_of(side: str, setting: str) -> None:
    said = helm("lint", "--strict", str(chart(side)), "--values", str(values_file(side, setting)))
    assert "[WARNING]" not in said
    assert "0 chart(s) failed" in said


@each_side
@each_setting
def test_what_a_chart_makes_is_as_it_was_read_and_approved(side: str, setting: str) -> None:
    assert text(side, values(side, setting)) == golden_file(side, setting).read_text(), (
        "run `python -m tests.integration.charts` and read what changed"
    )


@each_side
@each_setting
def test_the_api_server_takes_every_object_of_it(
    side: str, setting: str, fresh_namespaces: Callable[..., ControlPlane]
) -> None:
    found = rendered(side, values(side, setting))
    cluster = fresh_namespaces({each["metadata"].get("namespace", NAMESPACE) for each in found})

    said = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=yaml.safe_dump_all(found))

    assert said.stdout.count("serverside-applied") == len(found)
    assert said.stderr == ""  # no warning either: of a deprecated field, or of what `restricted` refuses


@each_side
@each_setting
def test_the_service_takes_the_configuration_that_the_chart_writes(side: str, setting: str, tmp_path: Path) -> None:
    file = write_configuration(rendered(side, values(side, setting)), tmp_path)

    said = dr_syncer("config", "validate", "-c", str(file))

    assert said.returncode == 0, said.stderr
    written = yaml.safe_load(file.read_text())
    assert written["server"]["leaderElection"] is True
    assert set(written) - {"volumes"} == {"apiVersion", "repository", side, "server"}
    for name in ("sshKeyFile", "knownHostsFile", "tokenFile", "caFile"):
        if path := written["repository"]["auth"].get(name):
            assert (tmp_path / path).exists(), f"nothing is mounted as {path}"


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unknown key of the chart": (
        "exporter",
        {"replicaCount": 2},
        "additional properties 'replicaCount' not allowed",
    ),
    "an unknown key of the configuration": (
        "importer",
        {"config": {"importer": {"transforms": {"storageClases": {}}}}},
        "at '/config/importer/transforms': additional properties 'storageClases' not allowed",
    ),
    "the other side's section": (
        "exporter",
        {"config": {"importer": {"cluster": "dr"}}},
        "at '/config': additional properties 'importer' not allowed",
    ),
    "a wrong type": ("importer", {"replicas": "two"}, "at '/replicas': got string, want integer"),
    "a wrong word": (
        "exporter",
        {"config": {"exporter": {"mode": "sometimes"}}},
        "at '/config/exporter/mode': value must be one of 'continuous', 'scheduled', 'manual'",
    ),
    "a duration without unit": (
        "importer",
        {"config": {"importer": {"interval": 30}}},
        "at '/config/importer/interval': got number, want string",
    ),
    "a number out of its range": (
        "exporter",
        {"config": {"exporter": {"guard": {"maxDeletionPercent": 120}}}},
        "at '/config/exporter/guard/maxDeletionPercent': maximum: got 120, want 100",
    ),
    "a section of the chart taken away": ("importer", {"webhook": None}, "at '': missing property 'webhook'"),
    "a type that is none": ("importer", {"rbac": {"types": ["Config Maps"]}}, "at '/rbac/types/0'"),
    "replicas that would all work": (
        "importer",
        {"config": {"server": {"leaderElection": False}}},
        "replicas: more than one needs config.server.leaderElection",
    ),
    "ssh without a key": ("importer", {"git": {"existingSecret": ""}}, "git.existingSecret: ssh://git@git.example.com"),
    "ssh without host keys": (
        "exporter",
        {"git": {"existingSecret": "", "sshPrivateKey": "key"}},
        "git.knownHosts: an unknown host is refused",
    ),
    "https without a token": (
        "exporter",
        {"config": {"repository": {"url": "https://git.example.com/dr.git"}}, "git": {"existingSecret": ""}},
        "git.existingSecret: https://git.example.com/dr.git is reached by https",
    ),
    "Secrets that nobody could read": (
        "exporter",
        {"config": {"exporter": {"secrets": {"recipients": []}}}},
        "config.exporter.secrets.recipients: Secrets are encrypted for DR's public key",
    ),
    "an ingress without a host": (
        "importer",
        {"ingress": {"enabled": True}, "webhook": {"secret": "0123456789abcdef"}},
        "ingress.host: under which name",
    ),
    "an ingress without a webhook": (
        "importer",
        {"ingress": {"enabled": True, "host": "dr.example.com"}},
        "webhook.existingSecret: the ingress is for the webhook",
    ),
    "namespaces that are mapped and not named": (
        "importer",
        {
            "rbac": {"namespaces": ["shop-dr"]},
            "config": {"importer": {"transforms": {"namespaces": {"shop": "shop-dr"}}}},
        },
        "rbac.namespaces: with config.importer.transforms.namespaces",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_its_name(name: str) -> None:
    side, given, said = WRONG[name]
    assert said in refusal(side, merged(values(side), given))


@each_side
def test_without_any_value_it_says_which_ones_are_needed(side: str) -> None:
    said = refusal(side, {})
    assert "at '/config/repository': missing property 'url'" in said
    assert f"at '/config/{side}': missing property 'cluster'" in said


FAULTY: dict[str, tuple[str, dict[str, Any], str]] = {
    "a cron expression": ("exporter", {"mode": "scheduled", "schedule": "61 * * * *"}, "exporter.schedule: "),
    "a time zone": ("importer", {"mode": "scheduled", "timezone": "Mars/Base"}, "importer.timezone: "),
    "two that do not fit": ("exporter", {"quietPeriod": "1m", "maxDelay": "1s"}, "maxDelay must not be shorter"),
    "a label selector": (
        "importer",
        {"select": {"exclude": [{"labels": "a in"}]}},
        "importer.select.exclude[0].labels: ",
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_what_no_schema_can_tell_is_the_last_word_of_a_pod_that_does_not_start(name: str, tmp_path: Path) -> None:
    side, section, said = FAULTY[name]
    file = write_configuration(rendered(side, merged(values(side), {"config": {side: section}})), tmp_path)

    ended = dr_syncer("serve", side, "-c", str(file), "--log-format", "json")

    assert ended.returncode == 2
    # What the kubelet takes as the message when the container ends with an error: the end of its log.
    message = (ended.stdout + ended.stderr)[-MOST_BYTES_OF_A_TERMINATION_MESSAGE:]
    assert said in message
    assert "dr-syncer.yaml:" in message


@each_side
def test_alerts_and_dashboard_are_those_that_lie_in_the_chart(
    side: str, fresh_namespaces: Callable[..., ControlPlane]
) -> None:
    given = merged(values(side), {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}})
    alerts, dashboard = (chart(side) / "files" / name for name in ("alerts.yaml", "dashboard.json"))
    if not alerts.exists():
        assert "this chart was packaged without files/" in refusal(side, given)
        return
    found = rendered(side, given)
    cluster = fresh_namespaces({NAMESPACE})

    cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=yaml.safe_dump_all(found))

    assert one(found, "PrometheusRule")["spec"] == yaml.safe_load(alerts.read_text())
    shown = one(found, "ConfigMap", f"{FULLNAME.format(side)}-dashboard")
    assert json.loads(shown["data"]["dr-syncer.json"]) == json.loads(dashboard.read_text())
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_values_in_the_guide_are_accepted() -> None:
    text = (ROOT / "docs" / "how-to" / "install.md").read_text()
    blocks = re.findall(r"^```yaml\n(# (exporter|importer)\.yaml.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for block, side in blocks:
        assert one(rendered(side, yaml.safe_load(block)), "Deployment")
    assert len(blocks) == 4


def test_the_sources_credentials_are_not_exported() -> None:
    def excluded(given: dict[str, Any]) -> Any:
        config = yaml.safe_load(one(rendered("exporter", given), "ConfigMap")["data"]["dr-syncer.yaml"])
        return config["exporter"].get("select", {}).get("exclude")

    given = merged(values("exporter"), {"signing": {"existingSecret": "signing-key"}})
    entry = {"types": ["secrets"], "namespaces": [NAMESPACE], "names": ["deploy-key", "signing-key"]}
    own = {"types": ["configmaps"], "names": ["tmp-*"]}

    assert excluded(given) == [entry]
    assert excluded(merged(given, {"config": {"exporter": {"select": {"exclude": [own]}}}})) == [own, entry]
    # Where nobody looks, a rule would be reported as one that decides nothing.
    assert excluded(merged(given, {"rbac": {"namespaces": ["shop"]}})) is None
    assert excluded(merged(given, {"rbac": {"types": ["configmaps"]}})) is None
    # What the chart itself makes carries a label that keeps it out.
    inline = {"git": {"existingSecret": "", "sshPrivateKey": "key", "knownHosts": "git.example.com ssh-ed25519 AAAA"}}
    assert excluded(merged(values("exporter"), inline)) is None


@each_side
def test_a_change_of_the_configuration_or_of_a_credential_rolls_the_pods(side: str) -> None:
    def sums(given: dict[str, Any]) -> dict[str, str]:
        meta = one(rendered(side, given), "Deployment")["spec"]["template"]["metadata"]
        return {name: value for name, value in meta["annotations"].items() if name.startswith("checksum/")}

    token = {
        "git": {"existingSecret": "", "token": "one"},
        "config": {"repository": {"url": "https://git.example.com/r.git"}},
    }
    given = merged(values(side), token)
    before = sums(given)

    assert sums(given) == before
    assert sums(merged(given, {"config": {side: {"workers": 9}}}))["checksum/config"] != before["checksum/config"]
    assert sums(merged(given, {"git": {"token": "two"}}))["checksum/secret"] != before["checksum/secret"]


@each_side
def test_a_single_replica_without_election_is_replaced_and_never_doubled(side: str) -> None:
    given = merged(values(side), {"replicas": 1, "config": {"server": {"leaderElection": False}}})
    found = rendered(side, given)

    assert one(found, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert "PodDisruptionBudget" not in {each["kind"] for each in found}


def test_installing_upgrading_and_uninstalling_leave_everything_else_alone(
    fresh_namespaces: Callable[..., ControlPlane],
) -> None:
    cluster = fresh_namespaces({NAMESPACE})
    cluster.apply(
        [namespace("shop"), deployment("shop", "web"), configmap(NAMESPACE, "dr-syncer-prod", note="inventory")]
    )
    cluster.settle()

    def ours() -> set[str]:
        return {
            key for key, found in cluster.objects().items() if "helm.sh/chart" in found["metadata"].get("labels", {})
        }

    def others() -> dict[str, str]:
        mine = ours()
        return {
            key: version
            for key, version in cluster.settle().items()
            if key not in mine and "/pods/" not in key and "replicasets" not in key and "helm.release" not in key
        }

    before = others()
    at = ("--namespace", NAMESPACE)
    for side in SIDES:
        release = f"{side}-release"
        given = ("--values", "-")
        first, second = values(side), merged(values(side), {"replicas": 1, "labels": {"upgraded": "yes"}})
        helm(
            "install", release, str(chart(side)), *at, *given, input=emit(first).decode(), kubeconfig=cluster.kubeconfig
        )
        assert any(key.endswith(f"deployments.apps/{release}-dr-syncer-{side}") for key in ours())
        assert others() == before
        helm(
            "upgrade",
            release,
            str(chart(side)),
            *at,
            *given,
            input=emit(second).decode(),
            kubeconfig=cluster.kubeconfig,
        )
        assert others() == before
        helm("uninstall", release, *at, "--wait", kubeconfig=cluster.kubeconfig)
        cluster.wait_for(lambda: not ours(), what="everything of the release to be gone")
        assert others() == before


def test_make_deploy_installs_both_sides_and_make_undeploy_takes_them_out(
    clean_source: ControlPlane, clean_dr: ControlPlane, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    parts = [json.loads(cluster.kubeconfig.read_text()) for cluster in (clean_source, clean_dr)]
    lists = {key: parts[0][key] + parts[1][key] for key in ("clusters", "users", "contexts")}
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **lists}))
    where = {"SOURCE": clean_source.name, "DR": clean_dr.name, "HELM": tools.find("helm"), "DEPLOY_FLAGS": ""}
    given = {f"{side.upper()}_VALUES": values_file(side, "minimal") for side in SIDES}

    def make(target: str, **settings: object) -> subprocess.CompletedProcess[str]:
        command = ["make", "-s", target, *(f"{name}={value}" for name, value in settings.items())]
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)

    def pods_image(cluster: ControlPlane, side: str) -> str:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/dr-syncer-{side}"
        return str(cluster.get(path)["spec"]["template"]["spec"]["containers"][0]["image"])

    said = make("deploy", **where)
    assert said.returncode == 2
    assert "EXPORTER_VALUES= is missing" in said.stderr
    said = make("deploy", **where, **given, IMAGE="registry.example.com:5000/dr-syncer:dev")
    assert said.returncode == 0, said.stderr
    assert pods_image(clean_source, "exporter") == "registry.example.com:5000/dr-syncer:dev"
    assert pods_image(clean_dr, "importer") == "registry.example.com:5000/dr-syncer:dev"
    for _ in ("taken out", "gone already"):
        said = make("undeploy", **where)
        assert said.returncode == 0, said.stderr
    for cluster, side in ((clean_source, "exporter"), (clean_dr, "importer")):
        assert not cluster.exists(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/dr-syncer-{side}")


def test_the_charts_share_a_namespace_and_a_release_name_without_touching_each_other() -> None:
    names = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for side in SIDES
        for each in rendered(side, values(side))
    ]
    assert len(set(names)) == len(names)
    assert ("Deployment", NAMESPACE, FULLNAME.format("exporter")) in names


@pytest.fixture
def fresh_namespaces(clean_dr: ControlPlane) -> Callable[..., ControlPlane]:
    """`fresh_namespaces({"a"})` returns a cluster with these namespaces, which admit `restricted` pods only."""

    def make(names: set[str]) -> ControlPlane:
        restricted = {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/warn": "restricted",
        }
        definitions = (Path(__file__).parent / "charts" / "definitions.yaml").read_text()
        clean_dr.apply([*yaml.safe_load_all(definitions), *(namespace(name, **restricted) for name in sorted(names))])
        for plural in ("servicemonitors", "prometheusrules"):
            # A type that has just come answers 404, then 429, before it answers.
            asked = ("get", f"{plural}.v1.monitoring.coreos.com", "-A")
            clean_dr.wait_for(
                lambda args=asked: clean_dr.kubectl(*args, check=False).returncode == 0, what=f"{plural} to be served"
            )
        return clean_dr

    return make
