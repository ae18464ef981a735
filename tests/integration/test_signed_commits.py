"""Signed export, verified import: real keys, real git, real API servers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode, PushRejected, Refused
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, namespace
from tests.unit.signers import Signer, allowed, needs_ssh_keygen, signer

pytestmark = needs_ssh_keygen
APP = "/api/v1/namespaces/{}/configmaps/app"


@pytest.fixture
def exporter(tmp_path: Path) -> Signer:
    return signer(tmp_path, "exporter@prod")


@pytest.fixture
def signed(recovery: Recovery, exporter: Signer, tmp_path: Path) -> Recovery:
    """The recovery repository with an exporter that signs and an importer that insists on it."""
    file = allowed(tmp_path, exporter.line())
    recovery.repository |= {"signing": {"keyFile": str(exporter.file)}, "verify": {"allowedSignersFile": str(file)}}
    return recovery


def verify(recovery: Recovery, *revisions: str) -> None:
    """Let git itself say that each is signed by the exporter."""
    file = recovery.repository["verify"]["allowedSignersFile"]
    recovery.git("-c", f"gpg.ssh.allowedSignersFile={file}", "verify-commit", *revisions)


def unsigned(recovery: Recovery, **repository: Any) -> Recovery:
    """The same repository as somebody with other keys, or none, sees it; with a clone of its own."""
    settings = {**recovery.repository, "signing": {}, "cacheDir": str(recovery.folder / "other cache"), **repository}
    return Recovery(remote=recovery.remote, folder=recovery.folder, exporter=recovery.exporter, repository=settings)


def change(source: ControlPlane, where: str, value: str) -> None:
    source.apply([configmap(where, "app", value=value)])


def value_in(dr: ControlPlane, where: str) -> str:
    return str(dr.get(APP.format(where))["data"]["value"])


@pytest.fixture
def shop(clean_source: ControlPlane, clean_dr: ControlPlane, signed: Recovery) -> Recovery:
    """Exported and imported once, everything signed: shop/app holds `1`."""
    clean_source.apply([namespace("shop"), configmap("shop", "app", value="1")])
    signed.export(clean_source)
    signed.import_into(clean_dr)
    return signed


def refused(recovery: Recovery, dr: ControlPlane, match: str, **request: Any) -> Refused:
    """Let an import be refused; see that it wrote nothing and that DR is as before."""
    before = dr.settle()
    dr.audit.mark()
    with pytest.raises(Refused, match=match) as refusal:
        recovery.import_into(dr, **request)
    assert dr.audit.writes() == []
    assert dr.resource_versions() == before
    return refusal.value


def test_a_signed_export_is_imported_and_its_signer_is_named(
    shop: Recovery, source: ControlPlane, dr: ControlPlane
) -> None:
    verify(shop, "main", "refs/dr-syncer/heartbeat")
    change(source, "shop", "2")
    exported = shop.export(source)
    verify(shop, exported.commit)

    outcome = shop.import_into(dr)

    assert outcome.revision == exported.commit
    assert outcome.signature is not None
    assert outcome.signature.signer == "exporter@prod"
    assert outcome.heartbeat is not None
    assert value_in(dr, "shop") == "2"
    again = shop.import_into(dr)
    assert actions(again) == {}


def test_an_unsigned_head_is_refused_by_every_command_and_nothing_changes(
    shop: Recovery, source: ControlPlane, dr: ControlPlane
) -> None:
    good = shop.head()
    change(source, "shop", "2")
    unsigned(shop).export(source)
    refused(shop, dr, "is not signed")
    refused(shop, dr, "is not signed", plan_only=True)

    run = shop.cli("import", cluster=dr)
    as_json = shop.cli("import", "-o", "json", cluster=dr)
    diff = shop.cli("diff", "-o", "json", cluster=dr)
    log = json.loads(shop.cli("log", "-o", "json").stdout)["commits"]

    assert [run.returncode, as_json.returncode, diff.returncode] == [ExitCode.REFUSED] * 3
    assert "is not signed" in run.stderr
    assert "Nothing was changed in DR" in run.stderr
    assert "Traceback" not in run.stderr
    assert "is not signed" in json.loads(as_json.stdout)["refused"]
    assert "is not signed" in json.loads(diff.stdout)["refused"]
    assert [entry["signature"]["verdict"] for entry in log] == ["unsigned", "good"]
    assert log[1]["signature"]["signer"] == "exporter@prod"
    assert value_in(dr, "shop") == "1"
    outcome = shop.import_into(dr, revision=good)
    assert outcome.revision == good


def test_the_commands_say_who_signed(shop: Recovery, dr: ControlPlane) -> None:
    head = shop.head()
    plan = shop.cli("import", "--plan", cluster=dr)
    diff = shop.cli("diff", cluster=dr)
    log = shop.cli("log")
    data = json.loads(shop.cli("import", "--plan", "-o", "json", cluster=dr).stdout)
    for said in (plan, diff):
        assert f"commit {head[:12]} is signed by exporter@prod (SHA256:" in " ".join(said.stdout.split())
    assert "is signed by exporter@prod (SHA256:" in " ".join(log.stdout.split())
    assert (data["signature"]["commit"], data["signature"]["verdict"]) == (head, "good")


def test_a_strangers_signature_is_refused(
    shop: Recovery, source: ControlPlane, dr: ControlPlane, tmp_path: Path
) -> None:
    stranger = unsigned(shop, signing={"keyFile": str(signer(tmp_path, "stranger").file)})
    change(source, "shop", "2")
    stranger.export(source)
    refused(shop, dr, r"is signed with SHA256:\S+, which repository\.verify\.allowedSignersFile does not allow")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('namespaces="git",valid-before="20200101"', "key has expired"),
        ('namespaces="git",valid-after="29990101"', "key is not yet valid"),
    ],
)
def test_a_key_out_of_its_time_is_refused(
    shop: Recovery, source: ControlPlane, dr: ControlPlane, exporter: Signer, tmp_path: Path, options: str, why: str
) -> None:
    allowed(tmp_path, exporter.line(options))
    change(source, "shop", "2")
    shop.export(source)
    refused(shop, dr, why)


def test_a_commit_that_was_changed_is_refused(shop: Recovery, source: ControlPlane, dr: ControlPlane) -> None:
    change(source, "shop", "2")
    good = shop.export(source).commit
    tree = shop.git("cat-file", "commit", good).split()[1]
    content = shop.git("cat-file", "commit", good)
    # Another tree under the same signature: the one of the commit before.
    other = shop.git("rev-parse", f"{good}~1^{{tree}}").strip()
    path = shop.folder / "forged"
    path.write_text(content.replace(tree, other))
    forged = shop.git("hash-object", "-t", "commit", "-w", str(path)).strip()
    shop.git("update-ref", "refs/heads/main", forged)
    refused(shop, dr, "bears no valid signature")


def test_an_intruders_file_is_refused_although_the_next_export_signs_it(
    shop: Recovery, source: ControlPlane, dr: ControlPlane
) -> None:
    evil = shop.commit({"transforms/evil.yaml": "rules: []\n"})
    change(source, "shop", "2")
    exported = shop.export(source)
    verify(shop, exported.head)
    assert "transforms/evil.yaml" in shop.paths()

    refusal = refused(shop, dr, f"builds on what nobody vouches for: commit {evil[:12]} is not signed")

    assert f"dr-syncer import --revision {exported.head}" in refusal.hint
    # A person who looked and takes it out by hand goes on by naming the head.
    cleaned = shop.commit({"transforms/evil.yaml": None})
    refused(shop, dr, f"recovery point {cleaned[:12]} is not signed", revision=cleaned)
    change(source, "shop", "3")
    head = shop.export(source).head
    refused(shop, dr, "builds on what nobody vouches for")
    assert shop.import_into(dr, revision=head).revision == head
    assert value_in(dr, "shop") == "3"
    assert shop.import_into(dr).revision == head


def test_a_branch_that_was_taken_back_is_refused_on_any_machine(
    shop: Recovery, source: ControlPlane, dr: ControlPlane
) -> None:
    """An old commit at the head of the branch bears a good signature: only what DR remembers gives it away."""
    old = shop.head()
    change(source, "shop", "2")
    shop.export(source)
    shop.import_into(dr)
    shop.git("update-ref", "refs/heads/main", old)

    refused(shop, dr, "branch main was taken back")
    shop.repository |= {"cacheDir": str(shop.folder / "a fresh machine")}
    refused(shop, dr, "branch main was (taken back|rewritten)")
    run = shop.cli("import", "-o", "json", cluster=dr)
    assert run.returncode == ExitCode.REFUSED
    assert value_in(dr, "shop") == "2"

    outcome = shop.import_into(dr, revision=old)

    assert actions(outcome) == {"shop/configmaps/app": Action.UPDATE}
    assert shop.import_into(dr).revision == old
    newer = shop.export(source).head
    assert shop.import_into(dr).revision == newer
    assert value_in(dr, "shop") == "2"


def test_a_rewritten_branch_is_refused_also_without_signatures(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", value="1")])
    recovery.export(clean_source)
    recovery.import_into(clean_dr)
    tree = recovery.git("rev-parse", "main^{tree}").strip()
    identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
    recovery.git("update-ref", "refs/heads/main", recovery.git(*identity, "commit-tree", tree, "-m", "anew").strip())
    refusal = refused(recovery, clean_dr, "branch main was rewritten")
    assert f"dr-syncer import --revision {recovery.head()}" in refusal.hint
    assert recovery.import_into(clean_dr, revision=recovery.head()).exit_code is ExitCode.DONE
    assert actions(recovery.import_into(clean_dr)) == {}


def test_an_older_recovery_point_can_be_imported_and_the_branch_goes_on(
    shop: Recovery, source: ControlPlane, dr: ControlPlane
) -> None:
    old = shop.head()
    change(source, "shop", "2")
    new = shop.export(source).head
    shop.import_into(dr)
    shop.import_into(dr, revision=old)
    assert value_in(dr, "shop") == "1"
    assert shop.import_into(dr).revision == new
    assert value_in(dr, "shop") == "2"


def test_a_tag_in_a_range_of_versions_is_imported(shop: Recovery, source: ControlPlane, dr: ControlPlane) -> None:
    shop.git("tag", "v1.0.0")
    change(source, "shop", "2")
    new = shop.export(source).head
    shop.git("tag", "v1.1.0")
    shop.git("tag", "v2.0.0-rc.1")
    wanted = {"revision": {"semver": ">=1.0 <2"}}
    assert shop.import_into(dr, config=wanted).revision == new
    nothing = shop.cli("import", cluster=dr, importer={"revision": {"semver": "^3"}})
    assert nothing.returncode == ExitCode.USAGE
    assert "the newest versions are v2.0.0-rc.1, v1.1.0, v1.0.0" in nothing.stderr


# The exporter


def test_a_key_with_a_passphrase_stops_the_export_before_it_reads_anything(
    shop: Recovery, source: ControlPlane, tmp_path: Path
) -> None:
    locked = signer(tmp_path, "locked", passphrase="secret")
    shop.repository |= {"signing": {"keyFile": str(locked.file)}}
    before = shop.head()
    change(source, "shop", "2")
    for flags in ((), ("--dry-run",)):
        run = shop.cli("export", *flags, cluster=source)
        assert run.returncode == ExitCode.USAGE
        assert "repository.signing.keyFile" in run.stderr
        assert "protected by a passphrase" in run.stderr
    assert shop.head() == before


def test_exports_that_waited_and_met_others_are_signed_when_they_arrive(
    shop: Recovery, source: ControlPlane, dr: ControlPlane
) -> None:
    """The remote away twice, then moved on by somebody: three commits are made again, and signed anew."""
    before = shop.head()
    hook = shop.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    waiting = []
    for value in ("2", "3"):
        change(source, "shop", value)
        outcome = shop.export(source)
        assert isinstance(outcome.push_error, PushRejected)
        waiting.append(outcome.commit)
    hook.unlink()
    shop.commit({"README.md": "somebody was faster\n"})
    change(source, "shop", "4")

    head = shop.export(source).head

    arrived = shop.git("rev-list", "--reverse", f"{before}..main").split()
    assert len(arrived) == 4
    assert not set(waiting) & set(arrived)
    verify(shop, *arrived[1:], "refs/dr-syncer/heartbeat")
    refused(shop, dr, f"commit {arrived[0][:12]} is not signed")
    assert shop.import_into(dr, revision=head).revision == head
    assert value_in(dr, "shop") == "4"


def test_two_exporters_sign_their_own_folders_of_one_repository(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, tmp_path: Path
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", value="1")])
    sides = []
    for name in ("prod", "other"):
        key = signer(tmp_path, f"exporter@{name}")
        sides.append(
            Recovery(
                remote=recovery.remote,
                folder=tmp_path / name,
                repository={
                    "path": f"clusters/{name}",
                    "signing": {"keyFile": str(key.file)},
                    "verify": {"allowedSignersFile": str(allowed(tmp_path, key.line(), name=f"allowed-{name}"))},
                },
                importer={"name": name},
            )
        )
    prod, other = sides
    for side in sides:
        side.export(clean_source)
    change(clean_source, "shop", "2")
    # At the same time: one of them meets a branch that has moved, and makes its commit again.
    runs = [threading.Thread(target=side.export, args=(clean_source,)) for side in sides]
    for run in runs:
        run.start()
    for run in runs:
        run.join()

    outcome = prod.import_into(clean_dr)

    assert outcome.signature is not None
    assert outcome.signature.signer == "exporter@prod"
    assert value_in(clean_dr, "shop") == "2"
    change(clean_source, "shop", "3")
    other.export(clean_source)
    assert actions(prod.import_into(clean_dr)) == {}
    # The other's key is good for the other's folder only.
    other.repository |= {"path": "clusters/prod", "cacheDir": str(tmp_path / "intruder")}
    other.export(clean_source)
    refused(prod, clean_dr, "is signed with SHA256:")


def test_a_machine_without_the_exporters_key_can_import(shop: Recovery, dr: ControlPlane, exporter: Signer) -> None:
    """One file for both sides, as a person has it; the private key stays at the source."""
    exporter.file.unlink()
    assert actions(shop.import_into(dr)) == {}


@pytest.mark.parametrize("content", [None, "", "exporter@prod nonsense\n"])
def test_an_allowed_signers_file_that_cannot_be_used_stops_the_import(
    shop: Recovery, source: ControlPlane, dr: ControlPlane, tmp_path: Path, content: str | None
) -> None:
    change(source, "shop", "2")
    shop.export(source)
    file = tmp_path / "allowed_signers"
    file.unlink()
    if content is not None:
        file.write_text(content)
    dr.audit.mark()
    run = shop.cli("import", cluster=dr)
    assert run.returncode == ExitCode.USAGE
    assert "repository.verify.allowedSignersFile" in run.stderr
    assert dr.audit.writes() == []
    assert value_in(dr, "shop") == "1"


def test_history_keeps_who_signed_after_a_key_was_changed(
    shop: Recovery, source: ControlPlane, dr: ControlPlane, exporter: Signer, tmp_path: Path
) -> None:
    successor = signer(tmp_path, "exporter-2@prod")
    allowed(tmp_path, exporter.line('namespaces="git",valid-before="29990101"'), successor.line())
    change(source, "shop", "2")
    shop.export(source)
    shop.repository |= {"signing": {"keyFile": str(successor.file)}}
    change(source, "shop", "3")
    shop.export(source)
    assert shop.import_into(dr).exit_code is ExitCode.DONE
    log = json.loads(shop.cli("log", "-o", "json").stdout)["commits"]
    assert [entry["signature"]["signer"] for entry in log] == ["exporter-2@prod", "exporter@prod", "exporter@prod"]
