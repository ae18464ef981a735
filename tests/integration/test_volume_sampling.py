"""What movers stored is what their lists say: read back from real restic, without a restore."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drsyncer.snapshot import Snapshot, State
from tests.cluster.tools import find
from tests.integration.movers import Mover
from tests.unit.volume_trees import make_odd
from volumes import credentials, sampling
from volumes.comparing import Difference
from volumes.manifest import Entry
from volumes.repository import snapshot
from volumes.restic import Restic
from volumes.sampling import Compared, Pair


@pytest.fixture
def restic(mover: Mover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restic]:
    monkeypatch.setenv("PATH", f"{find('restic').parent}{os.pathsep}{os.environ['PATH']}")
    mover.backend.write(tmp_path / "credentials")
    with Restic(mover.access, credentials.of_folder(tmp_path / "credentials")) as found:
        yield found


def _id_of(said: str) -> str:
    return str(json.loads(said.splitlines()[-1])["snapshot_id"])


def compared(restic: Restic, made: Snapshot, *, manifest: str = "") -> Compared:
    found = snapshot(restic, made.id)
    assert found is not None
    return sampling.compare(restic, Pair("shop/uploads", found, manifest or made.manifest))


def test_odd_files_are_what_their_list_says(mover: Mover, restic: Restic, target: Path) -> None:
    make_odd(target)
    done = mover.backup(target)
    assert done.state is State.COMPLETE, done.log

    found = compared(restic, done.snapshot)

    assert (found.differences, found.total) == ((), 0)
    assert found.entries > 80


def test_an_empty_volume_is_what_its_list_says(mover: Mover, restic: Restic, target: Path) -> None:
    done = mover.backup(target, confirmed=True)
    assert done.state.whole or done.state is State.EMPTY, done.log

    assert compared(restic, done.snapshot).differences == ()


def test_the_data_of_another_snapshot_is_told(mover: Mover, restic: Restic, volume: Path) -> None:
    (volume / "changed").write_text("one")
    (volume / "lost").write_text("one")
    first = mover.backup(volume).snapshot
    (volume / "changed").write_text("two")
    (volume / "lost").unlink()
    (volume / "new").write_text("two")
    second = mover.backup(volume, previous=first).snapshot

    found = compared(restic, second, manifest=mover.forge_manifest(of=second, like=first))

    assert found.total == 3
    assert {text.split(": ")[0] + ": " + text.split(": ")[1] for text in found.differences} == {
        "changed: content",
        "lost: missing",
        "new: extra",
    }


def test_a_list_that_is_none_and_data_that_is_damaged_are_told(mover: Mover, restic: Restic, large: Path) -> None:
    made = mover.backup(large).snapshot
    nothing = mover.restic("backup", "--stdin", "--stdin-filename", "manifest.jsonl", "--json", stdin="{}\n")
    assert "the list of its files" in compared(restic, made, manifest=_id_of(nothing)).differences[0]
    pack = max((mover.backend.folder / "data").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[len(content) // 3] ^= 0xFF
    pack.write_bytes(content)

    found = compared(restic, made)

    assert found.total == 1
    assert "restic: read snapshot" in found.differences[0]


@pytest.mark.parametrize("more", [0, 1 << 20], ids=["restic is through by then", "restic still writes"])
def test_a_comparison_that_breaks_in_the_middle_is_none(
    mover: Mover, restic: Restic, volume: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    """Nobody foresaw how, and what it had compared by then was as it should be."""
    (volume / "big").write_bytes(os.urandom(more))
    made = mover.backup(volume).snapshot

    def breaks(expected: Iterator[Entry], *_: object, **__: object) -> Iterator[Difference]:
        next(expected)
        yield from ()
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(sampling, "differences", breaks)

    with pytest.raises(RuntimeError, match="nobody foresaw this"):
        compared(restic, made)
