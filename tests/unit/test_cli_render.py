"""How results look to people."""

from __future__ import annotations

import io
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cli import render
from drsyncer.wording import printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def table(rows: list[list[str]], *, headers: tuple[str, ...] = (), stream: io.StringIO | None = None) -> str:
    return render.drawn(lambda out: render.table(out, rows, headers=headers), stream=stream or io.StringIO())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLUMNS", raising=False)  # it decides for what is no terminal, too
    monkeypatch.setattr(render.shutil, "get_terminal_size", lambda _fallback: os.terminal_size((100, 24)))  # type: ignore[attr-defined]
    return Terminal()


def test_columns_are_as_wide_as_they_need_to_be() -> None:
    shown = table([["create", "shop"], ["update", "payments"]], headers=("ACTION", "NAME"))

    assert shown == "ACTION  NAME\ncreate  shop\nupdate  payments\n"


def test_a_table_without_rows_prints_nothing() -> None:
    assert table([], headers=("A", "B")) == ""


def test_a_long_name_goes_on_below_where_a_name_may_be_broken() -> None:
    name = "horizontalpodautoscalers.autoscaling/" + "a" * 40 + "-" + "b" * 30
    lines = table([["update", name, "changed"]]).splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("update  horizontalpodautoscalers.autoscaling/")
    assert "".join(line[8:72].strip() for line in lines).replace("changed", "") == name
    assert all(line.startswith(" " * 8) for line in lines[1:])


def test_sentences_are_broken_at_blanks() -> None:
    lines = table([["held", "waits for the endpoints of its own backend " * 4]]).splitlines()

    assert max(map(len, lines)) <= 80
    assert all(not line.rstrip().endswith("bac") for line in lines)


@given(st.lists(st.lists(st.text(max_size=120), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_table_fits_whatever_it_holds(rows: list[list[str]]) -> None:
    for line in table(rows).splitlines():
        assert cell_len(line) <= 80


@given(st.text(alphabet="abc/.- ", max_size=200), st.integers(min_value=4, max_value=40))
def test_breaking_a_text_loses_only_the_blanks_at_the_breaks(text: str, width: int) -> None:
    lines = render.wrapped(text, width)

    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(map(len, lines)) <= width


def test_nothing_that_a_cluster_holds_can_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc\u202ed\x9b") == "a\\x1b[2Jb\\r\\nc\\u202ed\\x9b"
    assert "\x1b" not in table([["\x1b[31mred", "[bold]x[/bold]"]])
    assert "[bold]x[/bold]" in table([["a", "[bold]x[/bold]"]])


def test_words_for_actions_have_colours_on_a_terminal_only(terminal: Terminal) -> None:
    rows = [["create", "a"], ["prune", "create b"]]

    assert "\x1b" not in table(rows)
    shown = table(rows, stream=terminal)
    assert shown.startswith("\x1b[32mcreate\x1b[0m")
    assert "\x1b[31mprune\x1b[0m" in shown
    assert shown.endswith("create b\n")


def test_no_color_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b" not in table([["create", "a"]], headers=("A", "B"), stream=terminal)


def test_a_wide_terminal_is_used(terminal: Terminal) -> None:
    assert len(table([["x" * 95, "y"]], stream=terminal).splitlines()) == 1
    assert len(table([["x" * 95, "y"]]).splitlines()) == 2


def test_a_diff_has_its_usual_colours(terminal: Terminal) -> None:
    lines = ["--- a\n", "+++ b\n", "@@ -1 +1 @@\n", "-old\n", "+new\n", " same\x1b\n", "\ttab\n"]
    plain = render.drawn(lambda out: render.diff(out, lines), stream=io.StringIO())
    coloured = render.drawn(lambda out: render.diff(out, lines), stream=terminal)

    assert plain == "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n same\\x1b\n    tab\n"
    assert "\x1b[31m-old" in coloured
    assert "\x1b[32m+new" in coloured
    assert "\x1b[1m--- a" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_a_line_is_never_broken_and_a_paragraph_is() -> None:
    text = "word " * 40

    assert render.drawn(lambda out: render.line(out, text), stream=io.StringIO()).count("\n") == 1
    paragraph = render.drawn(lambda out: render.paragraph(out, text, indent=4), stream=io.StringIO())
    assert all(line.startswith("    word") and len(line) <= 80 for line in paragraph.splitlines())
