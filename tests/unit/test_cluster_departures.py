"""When a harness must wait for the namespace controller."""

from __future__ import annotations

from tests.cluster.departures import LOOKS_AFTER, TAKES, Departures


def test_a_namespace_that_is_gone_before_the_controller_looks_is_gone() -> None:
    departures = Departures()
    departures.note("shop", 100.0, 100.1)
    assert departures.busy_until([("shop", 100.0)], 100.5) == 0.0


def test_one_that_is_ending_when_the_controller_looks_for_another_of_its_name_is_emptied() -> None:
    departures = Departures()
    departures.note("shop", 100.0, 100.1)
    departures.note("shop", 104.8, 104.9)
    over = departures.busy_until([("shop", 104.8)], 105.2)
    assert 105.0 + TAKES <= over <= 105.2 + TAKES


def test_one_that_ended_by_itself_for_long_may_just_be_worked_off() -> None:
    departures = Departures()
    departures.note("shop", 100.0, 101.0)  # the API server counts whole seconds
    assert departures.busy_until([("shop", 100.0)], 105.5) > 105.5
    assert departures.busy_until([("shop", 100.0)], 120.0) == 0.0


def test_other_names_and_looks_that_are_long_over_do_not_matter() -> None:
    departures = Departures()
    departures.note("other", 100.0, 100.1)
    departures.note("shop", 50.0, 50.1)
    assert departures.busy_until([("shop", 104.9)], 105.2) == 0.0
    assert LOOKS_AFTER + TAKES < 104.9 - 50.0
