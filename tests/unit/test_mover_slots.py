"""Which mover may run next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.movers import backup
from volumes.slots import Slots


def test_a_full_node_lets_those_behind_go_first() -> None:
    moves = [backup("a", node="n1"), backup("b", node="n1"), backup("c", node="n2")]
    slots = Slots(moves, per_node=1)

    assert slots.take() == (0, moves[0])
    assert slots.take() == (2, moves[2])
    slots.done(0)
    assert slots.take() == (1, moves[1])
    assert slots.take() is None


def test_a_mover_counts_on_the_node_that_the_scheduler_chose() -> None:
    moves = [backup("a"), backup("b", node="n1"), backup("c", node="n2")]
    slots = Slots(moves, per_node=1)

    slots.take()
    slots.placed(0, "n1")

    assert slots.take() == (2, moves[2])


def test_a_mover_that_is_not_scheduled_yet_counts_on_the_node_that_it_is_for() -> None:
    moves = [backup("a", node="n1"), backup("b", node="n1"), backup("c", node="n2")]
    slots = Slots(moves, per_node=1)

    slots.take()
    slots.placed(0, "")

    assert slots.take() == (2, moves[2])


def test_nothing_is_given_out_after_the_end() -> None:
    slots = Slots([backup()], per_node=1)
    slots.close()

    assert slots.take() is None


@given(st.lists(st.sampled_from(["", "n1", "n2"]), max_size=12), st.integers(1, 3))
def test_every_move_has_its_turn_and_no_node_has_too_many(nodes: list[str], per_node: int) -> None:
    slots = Slots([backup(f"c{index}", node=node) for index, node in enumerate(nodes)], per_node=per_node)
    running: list[tuple[int, str]] = []
    taken = []
    while len(taken) < len(nodes):
        free = [node for index, node in enumerate(nodes) if index not in taken]
        full = {node for node in ("n1", "n2") if sum(where == node for _, where in running) >= per_node}
        if all(node in full for node in free):  # then `take` would wait
            index, _ = running.pop(0)
            slots.done(index)
            continue
        found = slots.take()
        assert found is not None
        index, move = found
        assert move.placement.node not in full
        taken.append(index)
        running.append((index, move.placement.node))
    assert sorted(taken) == list(range(len(nodes)))
    assert slots.take() is None
