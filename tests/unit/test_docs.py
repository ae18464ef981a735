"""What the documents promise is there: linked files, commands and flags, make targets, keys, modules, reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli.main import COMMANDS, app
from drsyncer.config.json_schema import json_schema
from drsyncer.config.load import load

ROOT = Path(__file__).parents[2]
GENERATED = ("configuration.md",)
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(file for file in (ROOT / "docs").glob("*.md") if file.name not in GENERATED),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    \S.*$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"^(?:kubectl )?dr-syncer ([a-z]+)(.*)$")
KEY = re.compile(r"^(?:repository|exporter|importer)(?:\.[A-Za-z]+)+")
MODULE = re.compile(r"^(?:cli|drsyncer|exporter|importer|transforms|tests)/[\w/.]+\.py$")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)


def code(text: str) -> Iterator[str]:
    """Every line of a code block and every code span."""
    for found in FENCED.finditer(text):
        yield from (line.strip() for line in found[3].splitlines())
    rest = FENCED.sub("", text)
    yield from (line.strip() for line in INDENTED.findall(rest))
    yield from SPAN.findall(rest)


def command_lines(text: str) -> Iterator[tuple[str, str]]:
    """(subcommand, the rest) of every `dr-syncer` call; the comment behind it is not part of it."""
    for line in code(text):
        if found := COMMAND.match(line.partition(" #")[0]):
            yield found[1], found[2]


def anchors(file: Path) -> set[str]:
    """The anchors of a document's headings, as Git forges make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in LINK.findall(document.read_text()):
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{document.name} links to {target}#{anchor}"


@each_document
def test_every_document_can_be_reached_from_the_readme(document: Path) -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        file = todo.pop()
        if file in seen or file.suffix != ".md" or not file.exists():
            continue
        seen.add(file)
        todo += [(file.parent / target).resolve() for target, _ in LINK.findall(file.read_text()) if target]
    assert document in seen


@each_document
def test_commands_and_their_flags_exist(document: Path) -> None:
    for name, rest in command_lines(document.read_text()):
        assert name in COMMANDS, f"{document.name}: dr-syncer {name}"
        command = app.get_command(click.Context(app), name)
        while isinstance(command, click.Group) and (word := re.match(r" ([a-z]+)", rest)):
            rest = rest[word.end() :]
            command = command.get_command(click.Context(command), word[1])
        assert command is not None, f"{document.name}: dr-syncer {name}{rest}"
        flags = {flag for parameter in command.params for flag in parameter.opts} | {"--help", "-h"}
        for flag in re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest):
            assert flag in flags, f"{document.name}: dr-syncer {name} has no {flag}"


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in code(document.read_text()):
        for name in re.findall(r"(?:^|\()make (?:-s )?([a-z][a-z0-9-]*)", line):
            assert name in targets, f"{document.name}: make {name}"


@each_document
def test_configuration_keys_exist(document: Path) -> None:
    schema = json_schema()
    for span in SPAN.findall(FENCED.sub("", document.read_text())):
        if (found := KEY.match(span)) and not MODULE.match(span):
            assert exists(found[0].split("."), schema, schema), f"{document.name}: {found[0]}"


def exists(keys: list[str], node: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether the JSON Schema knows this path of keys."""
    for option in [node, *node.get("anyOf", []), *node.get("allOf", [])]:
        here = option
        if "$ref" in option:
            here = schema["$defs"][option["$ref"].rpartition("/")[2]]
        if not keys or (
            keys[0] in here.get("properties", {}) and exists(keys[1:], here["properties"][keys[0]], schema)
        ):
            return True
    return False


@each_document
def test_modules_exist(document: Path) -> None:
    for span in SPAN.findall(FENCED.sub("", document.read_text())):
        if MODULE.match(span):
            assert (ROOT / span).exists(), f"{document.name}: {span}"


@each_document
def test_sample_configurations_are_valid(document: Path, tmp_path: Path) -> None:
    for indentation, _, block in FENCED.findall(document.read_text()):
        text = re.sub(f"^{indentation}", "", block, flags=re.MULTILINE)
        file = tmp_path / "dr-syncer.yaml"
        if re.search(r"^repository:$", text, re.MULTILINE):
            file.write_text(text)
            load(file, environ={})
        elif side := re.match(r"(importer|exporter):\n", text):
            # One section, as the how-to guides show it; a file has more.
            name = "" if re.search(r"^  cluster:", text, re.MULTILINE) else "  cluster: some\n"
            if side[1] == "exporter" and not re.search(r"^  secrets:", text, re.MULTILINE):
                name += "  secrets: {mode: omit}\n"
            rest = text.removeprefix(side[0])
            file.write_text(f"apiVersion: dr-syncer.io/v1\nrepository: {{url: /srv/git}}\n{side[0]}{name}{rest}")
            load(file, environ={})


def test_the_reasons_of_a_plan_are_those_that_the_importer_gives() -> None:
    source = "".join(file.read_text() for file in sorted((ROOT / "importer").glob("*.py")))
    source += "".join(file.read_text() for file in sorted((ROOT / "transforms").glob("*.py")))
    said = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go on in the next line
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "import.md").read_text(), re.MULTILINE)
    assert len(rows) > 20
    for reason in rows:
        for part in filter(None, (part.strip(" ,") for part in reason.split("…"))):
            assert part in said, f"docs/import.md: {reason!r} is nobody's reason"


def test_the_stages_are_those_of_the_importer() -> None:
    from transforms.stages import STAGES

    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "import.md").read_text(), re.MULTILINE)
    assert [int(number) for number in rows] == [stage.number for stage in STAGES]
