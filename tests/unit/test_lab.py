"""The lab of the end-to-end story: what it builds from, what it tells kind, what it puts back."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.cluster.tools import KUBERNETES
from tests.e2e.__main__ import not_seen
from tests.e2e.lab import control_plane_images, host
from tests.e2e.lab.archive import Recipe, write_archive
from tests.e2e.lab.clusters import cluster_configuration, pinned_version
from tests.e2e.lab.lab import STOCK_IMAGE
from tests.e2e.lab.node import CNI
from tests.e2e.lab.programs import IMAGE_PROGRAMS, KIND, NODES
from tests.e2e.lab.steps import LabFailed, answer, kept, wait_until


def requirements(module: Path) -> dict[str, str]:
    words = (line.split() for line in (module / "go.mod").read_text().splitlines())
    return {line[-2]: line[-1] for line in words if len(line) >= 2 and line[-1].startswith("v")}


def test_nodes_are_of_the_same_kubernetes_as_the_control_planes_of_the_other_tests() -> None:
    assert requirements(NODES)["k8s.io/kubernetes"] == requirements(KUBERNETES)["k8s.io/kubernetes"]


@pytest.mark.parametrize("program", [KIND, *IMAGE_PROGRAMS], ids=lambda program: program.name)
def test_every_program_is_pinned_by_a_module(program: object) -> None:
    assert (program.module / "go.mod").is_file()  # type: ignore[attr-defined]
    assert (program.module / "go.sum").is_file()  # type: ignore[attr-defined]


def test_kind_and_its_stock_image_have_versions() -> None:
    assert pinned_version().startswith("v0.")
    assert "@sha256:" in STOCK_IMAGE


def test_stock_nodes_get_no_cure_that_only_the_local_ones_need() -> None:
    stock, local = (cluster_configuration(local=local, policy=Path("/policy")) for local in (False, True))

    assert "containerdConfigPatches" not in stock
    assert "networking" not in stock
    assert "failCgroupV1" not in str(stock)
    assert local["networking"] == {"disableDefaultCNI": True}
    assert "failCgroupV1: false" in str(local["kubeadmConfigPatches"])


def test_pods_of_the_only_node_get_addresses_of_the_range_that_it_is_given() -> None:
    (subnet,) = CNI["plugins"][0]["ipam"]["ranges"][0]  # type: ignore[index]

    assert subnet == {"subnet": "10.244.0.0/24"}


def test_an_archive_holds_an_image_of_one_layer_with_its_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("a tool")

    write_archive(Recipe("example/tool:1", root, entrypoint=("/bin/tool",)), tmp_path / "t.tar", architecture="arm64")

    with tarfile.open(tmp_path / "t.tar") as whole:
        (manifest,) = json.load(whole.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(whole.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        with tarfile.open(fileobj=whole.extractfile(manifest["Layers"][0])) as layer:
            assert {"bin", "bin/tool"} == set(layer.getnames())
    assert manifest["RepoTags"] == ["example/tool:1"]
    assert config["architecture"] == "arm64"
    assert config["config"]["Entrypoint"] == ["/bin/tool"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{manifest['Layers'][0].partition('/')[0]}"]
    assert not (tmp_path / "t.layer").exists()


def test_the_storage_manifest_is_read_from_the_source_with_its_images(tmp_path: Path) -> None:
    source = tmp_path / "pkg/build/nodeimage/const_storage.go"
    source.parent.mkdir(parents=True)
    source.write_text(
        'const helper = "example/helper:1"\nconst defaultStorageManifest = `\nkind: Pod\nimage: ` + helper + `\n`\n'
    )

    assert control_plane_images.storage_manifest(tmp_path) == "\nkind: Pod\nimage: example/helper:1\n"


def test_what_was_half_made_is_made_anew(tmp_path: Path) -> None:
    def dies(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        kept(tmp_path / "made", dies)
    assert not (tmp_path / "made").exists()

    assert [file.name for file in kept(tmp_path / "made", lambda folder: (folder / "whole").touch()).iterdir()] == [
        "whole"
    ]
    assert kept(tmp_path / "made", dies) == tmp_path / "made"


def test_the_words_of_a_program_that_fails_are_in_the_error() -> None:
    with pytest.raises(LabFailed, match="exit 3\nwhat went wrong"):
        answer(["sh", "-c", "echo what went wrong >&2; exit 3"])
    with pytest.raises(LabFailed) as talkative:
        answer(["sh", "-c", "seq 1000; exit 1"])
    assert str(talkative.value).endswith("999\n1000")
    assert "\n500\n" not in str(talkative.value)
    with pytest.raises(LabFailed, match="no-such-program is not there"):
        answer(["no-such-program"])
    with pytest.raises(LabFailed, match="no end after"):
        answer(["sleep", "60"], timeout=0.1)


def test_waiting_ends(tmp_path: Path) -> None:
    wait_until(lambda: True, what="never said", seconds=0)
    with pytest.raises(LabFailed, match="no answer after 0 s"):
        wait_until(lambda: False, what="answer", seconds=0)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of files: two settings of its kernel, an nft that keeps its rules in a file."""
    for name, value in (("kernel/panic", "0\n"), ("vm/overcommit_memory", "0\n")):
        file = tmp_path / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value)
    monkeypatch.setattr(host, "SYSCTL", tmp_path / "sys")
    monkeypatch.setattr(host, "CGROUPS", tmp_path / "cgroups")
    monkeypatch.setattr(host, "FOLDERS", (str(tmp_path / "run"),))
    monkeypatch.setattr(host, "_remove_bridges", lambda: None)
    rules, nft = tmp_path / "rules", tmp_path / "nft"
    rules.touch()
    nft.write_text(f'#!/bin/sh\nif [ "$1" = flush ]; then : > {rules}; else cat {rules}; fi\n')
    nft.chmod(0o755)
    return tmp_path


def disturb(machine: Path) -> None:
    (machine / "sys/kernel/panic").write_text("10\n")
    (machine / "run/plugins").mkdir(parents=True)
    (machine / "cgroups/memory/dr-syncer-lab/container").mkdir(parents=True)
    with (machine / "rules").open("a") as rules:
        rules.write("table ip nat\n")


def test_a_machine_is_put_back_as_it_was(machine: Path) -> None:
    host.remember(machine / "notes", nft=machine / "nft")
    disturb(machine)

    assert host.restore(machine / "notes", nft=machine / "nft") == []

    assert (machine / "sys/kernel/panic").read_text() == "0\n"
    assert (machine / "rules").read_text() == ""
    assert not (machine / "run").exists()
    assert not (machine / "cgroups/memory/dr-syncer-lab").exists()
    assert not (machine / "notes").exists()


def test_the_notes_of_a_killed_run_are_the_true_ones(machine: Path) -> None:
    host.remember(machine / "notes", nft=machine / "nft")
    disturb(machine)
    host.remember(machine / "notes", nft=machine / "nft")

    host.restore(machine / "notes", nft=machine / "nft")

    assert (machine / "sys/kernel/panic").read_text() == "0\n"


def test_rules_of_the_machines_own_are_never_flushed(machine: Path) -> None:
    (machine / "rules").write_text("table inet firewall\n")
    host.remember(machine / "notes", nft=machine / "nft")
    disturb(machine)

    (left,) = host.restore(machine / "notes", nft=machine / "nft")

    assert "firewall rules of its own" in left
    assert "table inet firewall" in (machine / "rules").read_text()


def test_folders_that_hold_files_stay_and_are_named(machine: Path) -> None:
    host.remember(machine / "notes", nft=machine / "nft")
    (machine / "run").mkdir()
    (machine / "run/file").touch()

    (left,) = host.restore(machine / "notes", nft=machine / "nft")

    assert str(machine / "run") in left
    assert (machine / "run/file").exists()


def test_what_the_story_leaves_out_is_said_for_the_nodes_that_it_had() -> None:
    stock, local = not_seen(own_nodes=False), not_seen(own_nodes=True)

    assert any("VolumeSnapshots" in sentence for sentence in stock)
    assert [sentence for sentence in local if sentence not in stock] == [local[-1]]
    assert "NetworkPolicies" in local[-1]
