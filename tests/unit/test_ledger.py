"""What waits for the next commit: nothing is lost, whatever fails, and nothing waits that Git has already."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef, ResourceType
from exporter.ledger import Ledger, Waiting

CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)


def change(name: str, mark: str, *, seen: float = 0.0, size: int = 1) -> Waiting:
    """An object that now is as `mark` says; "" for one that is gone."""
    raw = b"x" * size if mark else b""
    return Waiting(ref=ObjectRef("configmaps", "a", name), path=name, mark=mark, seen=seen, type_=CONFIGMAPS, raw=raw)


def test_what_git_has_already_is_no_change() -> None:
    ledger = Ledger()
    ledger.reset({"one": "1"})
    assert not ledger.note(change("one", "1"))
    assert not ledger.note(change("unknown", ""))
    assert ledger.waiting() == (0, None)


def test_the_last_write_wins_and_going_back_leaves_nothing_to_do() -> None:
    ledger = Ledger()
    ledger.reset({"one": "1"})
    assert ledger.note(change("one", "2"))
    assert ledger.note(change("one", "3"))
    assert [waiting.mark for waiting in ledger.take()] == ["3"]
    ledger.put_back()
    assert not ledger.note(change("one", "1"))
    assert ledger.take() == []


def test_going_back_while_the_change_is_being_committed_is_a_change() -> None:
    ledger = Ledger()
    ledger.reset({"one": "1"})
    ledger.note(change("one", "2"))
    ledger.take()
    assert ledger.note(change("one", "1"))
    ledger.settle(put={"one": "2"}, gone=[], held=[])
    assert [waiting.mark for waiting in ledger.take()] == ["1"]


def test_a_deletion_that_is_held_waits_until_the_object_is_back_or_somebody_confirms() -> None:
    ledger = Ledger()
    ledger.reset({"one": "1", "two": "2"})
    gone = [change("one", ""), change("two", "")]
    for waiting in gone:
        ledger.note(waiting)
    ledger.take()
    held = [Waiting(ref=waiting.ref, path=waiting.path, mark="", seen=0.0, held=True) for waiting in gone]
    ledger.settle(put={}, gone=[], held=held)
    assert (len(ledger.held()), ledger.waiting()) == (2, (2, None))

    ledger.note(change("one", "1"))
    assert len(ledger.held()) == 1
    ledger.take()
    ledger.settle(put={}, gone=["two"], held=[])
    assert (ledger.held(), len(ledger)) == ([], 1)


def test_what_takes_too_much_memory_is_the_type_with_most_of_it() -> None:
    ledger = Ledger(most_bytes=100)
    ledger.note(change("one", "1", size=60))
    assert ledger.too_much() is None
    ledger.note(change("two", "1", size=60))
    assert ledger.too_much() == "configmaps"
    ledger.forget("configmaps")
    assert ledger.too_much() is None
    assert ledger.take() == []


STEPS = st.one_of(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1", "2"])),
    st.sampled_from(["take", "settle", "fail"]),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_the_last_commit_brings_what_the_cluster_has(steps: list[tuple[str, str] | str]) -> None:
    ledger, cluster, git = Ledger(), dict[str, str](), dict[str, str]()
    flying: list[Waiting] | None = None

    def settle(taken: list[Waiting]) -> None:
        put = {waiting.path: waiting.mark for waiting in taken if waiting.mark}
        gone = [waiting.path for waiting in taken if not waiting.mark]
        git.update(put)
        for path in gone:
            git.pop(path, None)
        ledger.settle(put=put, gone=gone, held=[])

    for step in steps:
        if isinstance(step, tuple):
            name, mark = step
            cluster[name] = mark
            ledger.note(change(name, mark))
        elif step == "take" and flying is None:
            flying = ledger.take()
        elif step == "settle" and flying is not None:
            settle(flying)
            flying = None
        elif step == "fail" and flying is not None:
            ledger.put_back()
            flying = None
    if flying is not None:
        settle(flying)
    settle(ledger.take())

    assert git == {name: mark for name, mark in cluster.items() if mark}
    assert ledger.take() == []
