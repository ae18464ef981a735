"""What the charts make for the data of volumes: CronJobs with accounts and credentials of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.charts import (
    FULLNAME,
    ROOT,
    dr_syncer,
    merged,
    one,
    pod_of,
    refusal,
    rendered,
    values,
    write_configuration,
)
from tests.integration.charts.rights import granted

JOB = f"dr-syncer-{FULLNAME.format('exporter')}-{{}}"
VOLUMES: dict[str, Any] = {
    "config": {"volumes": {"restic": {"repository": "s3:https://s3.example.com/backups"}}},
    "restic": {"existingSecret": "restic"},
}


@pytest.mark.parametrize("what", ["init", "backup", "verify", "prune"])
def test_every_file_that_a_job_of_volumes_needs_is_mounted_beside_its_configuration(what: str, tmp_path: Path) -> None:
    objects = rendered("exporter", values("exporter", "everything"))

    file = write_configuration(objects, tmp_path, cron_job=f"dr-syncer-{what}")

    assert dr_syncer("config", "validate", "-c", str(file)).returncode == 0
    written = yaml.safe_load(file.read_text())
    named = [*written["volumes"]["restic"]["auth"].values()]
    if what in ("verify", "prune"):
        named += written["repository"]["auth"].values()
    assert [path for path in named if not (tmp_path / path).exists()] == []
    assert (tmp_path / "git").exists() == (what in ("verify", "prune"))
    assert not (tmp_path / "signing").exists()


def test_a_prune_with_credentials_of_its_own_shares_none_with_the_backups() -> None:
    objects = rendered("exporter", values("exporter", "everything"))

    def secrets(what: str) -> set[str]:
        pod = pod_of(one(objects, "CronJob", f"dr-syncer-{what}"))
        sources = next(volume["projected"]["sources"] for volume in pod["volumes"] if volume["name"] == "config")
        return {source["secret"]["name"] for source in sources if "secret" in source}

    assert secrets("backup") == secrets("verify") == {"dr-syncer"}
    assert secrets("prune") == {"dr-syncer-prune", "restic-prune"}
    own = one(objects, "Secret", "dr-syncer-prune")["data"]
    assert set(own) == {"git-token"}
    written = yaml.safe_load(one(objects, "ConfigMap", "dr-syncer-prune")["data"]["dr-syncer.yaml"])
    assert written["volumes"]["restic"]["repository"].startswith("sftp:")


READS: dict[str, Any] = {"git": {"knownHosts": "a host's key"}, "prune": {"enabled": True}}


@pytest.mark.parametrize("given", [{"existingSecret": "read-key"}, {"sshPrivateKey": "not-a-real-key"}])
def test_verify_and_prune_get_the_git_key_that_can_only_read_where_there_is_one(
    given: dict[str, str], tmp_path: Path
) -> None:
    base = merged(merged(values("exporter"), VOLUMES), READS)
    before, after = rendered("exporter", base), rendered("exporter", merged(base, {"gitReadOnly": given}))

    def secrets(objects: list[dict[str, Any]], what: str) -> set[str]:
        pod = pod_of(one(objects, "CronJob", JOB.format(what)))
        sources = next(volume["projected"]["sources"] for volume in pod["volumes"] if volume["name"] == "config")
        return {source["secret"]["name"] for source in sources if "secret" in source}

    for what in ("verify", "prune"):
        assert secrets(before, what) == {"deploy-key", "restic"}
        assert secrets(after, what) == {given.get("existingSecret", JOB.format(what)), "restic"}
        file = write_configuration(after, tmp_path / what, cron_job=JOB.format(what))
        assert dr_syncer("config", "validate", "-c", str(file)).returncode == 0
        assert (file.parent / "git" / "known_hosts").read_text() == "a host's key"
    assert secrets(after, "backup") == {"restic"}
    assert pod_of(one(after, "Deployment")) == pod_of(one(before, "Deployment"))
    exported = yaml.safe_load(one(after, "ConfigMap", FULLNAME.format("exporter"))["data"]["dr-syncer.yaml"])
    kept_out = {name for rule in exported["exporter"]["select"]["exclude"] for name in rule["names"]}
    assert kept_out >= {"deploy-key", "restic", *filter(None, [given.get("existingSecret")])}


def test_the_exporters_own_pods_get_nothing_of_the_restic_repository() -> None:
    with_volumes = merged(values("exporter"), VOLUMES)
    before, after = rendered("exporter", values("exporter")), rendered("exporter", with_volumes)

    def pods(objects: list[dict[str, Any]]) -> Any:
        return pod_of(one(objects, "Deployment"))

    account = pods(after)["serviceAccountName"]
    assert pods(after) == pods(before)
    assert granted(after, account) == granted(before, account)
    assert [each["metadata"]["name"] for each in after if each["kind"] == "CronJob"] == [
        JOB.format(what) for what in ("init", "backup", "verify")
    ]


@pytest.mark.parametrize(
    ("given", "age"),
    [
        ({}, "8d"),
        ({"verify": {"enabled": False}}, None),
        ({"verify": {"suspend": True}}, None),
        ({"config": {"volumes": {"verifyMaxAge": "32d"}}}, "32d"),
    ],
)
def test_a_verdict_is_awaited_where_somebody_verifies(given: dict[str, Any], age: str | None) -> None:
    objects = rendered("exporter", merged(merged(values("exporter"), VOLUMES), given))
    config = yaml.safe_load(one(objects, "ConfigMap", FULLNAME.format("exporter"))["data"]["dr-syncer.yaml"])
    assert config["volumes"].get("verifyMaxAge") == age


PORTS = {
    "s3:https://s3.example.com:9000/backups": 9000,
    "s3:https://s3.example.com/backups": 443,
    "s3:s3.amazonaws.com/backups": 443,
    "rest:http://backup.example.com/": 80,
    "sftp:restic@backup.example.com:/srv/restic": 22,
    "sftp://restic@backup.example.com:2222//srv/restic": 2222,
    "sftp://restic@[2001:db8::1]//srv/restic": 22,
    "azure:container:/": 443,
}


@pytest.mark.parametrize("repository", PORTS)
def test_the_network_is_open_to_the_port_of_the_restic_repository(repository: str) -> None:
    given = {"config": {"volumes": {"restic": {"repository": repository}}}, "restic": {"knownHosts": "a host's key"}}

    objects = rendered("exporter", merged(merged(values("exporter"), VOLUMES), given))

    policy = one(objects, "NetworkPolicy", JOB.format("init"))
    ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, PORTS[repository]]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "credentials for no restic repository": (
        "exporter",
        {"restic": {"existingSecret": "restic"}},
        "config.volumes.restic.repository: there are credentials",
    ),
    "a restic repository without a password": (
        "importer",
        merged(VOLUMES, {"restic": {"existingSecret": ""}}),
        "restic.existingSecret: the restic repository has a password",
    ),
    "a restic repository that is a path": (
        "exporter",
        merged(VOLUMES, {"config": {"volumes": {"restic": {"repository": "/srv/restic"}}}}),
        "config.volumes.restic.repository: /srv/restic is a path",
    ),
    "sftp without host keys": (
        "exporter",
        merged(
            VOLUMES,
            {
                "config": {"volumes": {"restic": {"repository": "sftp:restic@backup.example.com:/srv"}}},
                "restic": {"existingSecret": "", "password": "not-a-real-password", "sshPrivateKey": "not-a-real-key"},
            },
        ),
        "restic.knownHosts: an unknown host is refused",
    ),
    "sftp without a key": (
        "importer",
        {
            "config": {"volumes": {"restic": {"repository": "sftp:restic@backup.example.com:/srv"}}},
            "restic": {"password": "not-a-real-password"},
        },
        "restic.existingSecret: sftp:restic@backup.example.com:/srv is reached by ssh",
    ),
    "a backend whose port nobody knows": (
        "exporter",
        merged(VOLUMES, {"config": {"volumes": {"restic": {"repository": "swift:container:/path"}}}}),
        "networkPolicy.restic.ports: at which port is swift:container:/path?",
    ),
    "a prune whose own credentials lack host keys": (
        "exporter",
        merged(
            VOLUMES,
            {
                "prune": {
                    "enabled": True,
                    "repository": "sftp:restic@backup.example.com:/srv",
                    "restic": {"password": "not-a-real-password", "sshPrivateKey": "not-a-real-key"},
                }
            },
        ),
        "prune.restic.knownHosts: an unknown host is refused",
    ),
    "a key that can only read, of another kind than the repository's": (
        "exporter",
        merged(merged(VOLUMES, READS), {"gitReadOnly": {"token": "not-a-real-token"}}),
        "gitReadOnly.existingSecret: ssh://git@git.example.com/dr/recovery.git is reached by ssh",
    ),
    "a key that can only read, without host keys": (
        "exporter",
        merged(VOLUMES, {"gitReadOnly": {"sshPrivateKey": "not-a-real-key"}}),
        "gitReadOnly.knownHosts: an unknown host is refused",
    ),
    "a password in the configuration": (
        "exporter",
        merged(VOLUMES, {"config": {"volumes": {"restic": {"password": "hunter2"}}}}),
        "at '/config/volumes/restic': additional properties 'password' not allowed",
    ),
    "a variable's name that is none": (
        "exporter",
        merged(VOLUMES, {"restic": {"keys": {"environment": ["AWS-KEY"]}}}),
        "at '/restic/keys/environment/0'",
    ),
}


def test_the_values_in_the_guides_are_accepted() -> None:
    guides = [ROOT / "docs" / "how-to" / name for name in ("back-up-volumes.md", "restore-volumes.md")]
    text = "".join(guide.read_text() for guide in guides)
    blocks = re.findall(r"^```yaml\n(# (exporter|importer)\.yaml.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for block, side in blocks:
        assert one(rendered(side, yaml.safe_load(block)), "Deployment")
    assert len(blocks) == 3


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_its_name(name: str) -> None:
    side, given, said = WRONG[name]
    assert said in refusal(side, merged(values(side), given))
