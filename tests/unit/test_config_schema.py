"""The sample, the reference page and the JSON Schema all follow from the schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from drsyncer.config import section
from drsyncer.config.flow import flow
from drsyncer.config.json_schema import json_schema
from drsyncer.config.load import parse
from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.reference import reference
from drsyncer.config.rules import CleanRule, Transforms
from drsyncer.config.sample import plain, sample
from drsyncer.config.schema import Config
from drsyncer.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
KEY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
PLAIN = {
    "apiVersion": "dr-syncer.io/v1",
    "repository": {"url": "/srv/git"},
    "exporter": {"cluster": "prod", "secrets": {"recipients": [KEY]}},
    "importer": {"cluster": "dr"},
}
ENTRIES = [
    (path, key.entries) for path, key in section.walk(Transforms, ("importer", "transforms")) if key.entries is not None
]
KEYS = [
    *section.walk(Config),
    *section.walk(MatchSpec, ("match",)),
    *section.walk(CleanRule, ("clean",)),
    *(found for path, entries in ENTRIES for found in section.walk(entries, path)),
]


def filled_in() -> str:
    return sample().replace('url: ""', "url: /srv/git").replace("recipients: []", f"recipients: [{KEY}]")


def read(text: str) -> Config:
    return parse(text.encode(), file="f", folder=Path("/"))


def test_the_sample_is_valid_once_url_and_recipients_are_filled_in() -> None:
    with pytest.raises(ConfigurationError, match=r"repository\.url: fill in") as error:
        read(sample())
    assert "exporter.secrets: nobody could decrypt" in str(error.value)

    assert read(filled_in()) == Config.model_validate(PLAIN)


def test_the_sample_with_every_key_taken_out_of_its_comment_says_the_same() -> None:
    live = re.sub(r"(?m)^( *)#(?! \S)", r"\1", filled_in()).replace('repository: ""', "repository: rest:https://b/")

    assert len(live.splitlines()) == len(sample().splitlines())
    assert read(live) == Config.model_validate({**PLAIN, "volumes": {"restic": {"repository": "rest:https://b/"}}})
    for path, key in section.walk(Config):
        assert re.search(rf"(?m)^ *{key.name}:", live), path


def test_the_lines_of_the_sample_are_short() -> None:
    assert max(map(len, sample().splitlines())) <= 120


@pytest.mark.parametrize(("path", "key"), KEYS, ids=[".".join(path) for path, _ in KEYS])
def test_every_key_is_described_in_sentences(path: tuple[str, ...], key: section.Key) -> None:
    assert key.description.endswith("."), path
    assert len(key.description) > 10
    assert re.fullmatch(r"[a-z][A-Za-z]*", key.name)


@pytest.mark.parametrize(("path", "entries"), ENTRIES, ids=[path[-1] for path, _ in ENTRIES])
def test_every_example_of_an_entry_is_valid(path: tuple[str, ...], entries: type[section.Section]) -> None:
    examples = {key.name: key.example for key in section.keys(entries) if key.example is not None}

    # Together they need not make sense (`replicas` beside `scale`); each by itself is of the right kind.
    faults = []
    try:
        entries.model_validate(examples)
    except ValueError as error:
        faults = [one["loc"] for one in getattr(error, "errors", list)()]
    assert [loc for loc in faults if loc] == []


def inside_an_entry(path: tuple[str, ...]) -> bool:
    return any(path[: len(entry)] == entry != path for entry, _ in ENTRIES)


ALONE = [(path, key) for path, key in KEYS if key.example is not None and not inside_an_entry(path)]


@pytest.mark.parametrize(("path", "key"), ALONE, ids=str)
def test_every_example_is_valid(path: tuple[str, ...], key: section.Key) -> None:
    data: Any = {key.name: key.example}
    for name in reversed(path[:-1]):
        data = {name: data}
    if path[0] == "match":
        data = {"importer": {"cluster": "dr", "select": {"include": [data["match"]]}}}
    elif path[0] == "clean":
        rule = data["clean"] if key.name == "paths" else data["clean"] | {"paths": ["/spec"]}
        data = {"exporter": {"cluster": "prod", "clean": {"strip": [rule]}}}
    if path[:2] == ("exporter", "secrets") and key.name != "recipients":
        data["exporter"]["secrets"]["recipients"] = [KEY]
    merged = {name: {**PLAIN[name], **data.get(name, {})} for name in ("repository", "exporter", "importer")}  # type: ignore[dict-item]

    Config.model_validate({**PLAIN, **merged})


def test_the_reference_page_is_up_to_date() -> None:
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == reference(), "run: make docs"


def test_the_json_schema_names_its_dialect_and_describes_every_key() -> None:
    schema = json_schema()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].startswith("https://")
    assert schema["required"] == ["apiVersion", "repository"]
    assert schema["$defs"]["Repository"]["properties"]["timeout"]["default"] == "60s"
    assert schema["$defs"]["Repository"]["additionalProperties"] is False
    for name, definition in {**schema["$defs"], "": schema}.items():
        for key, entry in definition["properties"].items():
            assert entry["description"], (name, key)


def test_the_json_schema_lets_sections_be_empty_as_the_loader_does() -> None:
    properties = json_schema()["$defs"]["Importer"]["properties"]

    assert {"type": "null"} in properties["standby"]["anyOf"]
    assert json_schema()["$defs"]["Select"]["properties"]["exclude"]["type"] == ["array", "null"]


def test_what_is_in_effect_can_be_used_as_a_configuration_again() -> None:
    config = Config.model_validate(PLAIN)
    text = "\n".join(plain(config.model_dump(mode="json", by_alias=True)))

    assert read(text) == config


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yes",
        "a b",
        "60s",
        "1:30",
        "#",
        "a: b",
        "- a",
        "ssh://git@h/x",
        "*",
        "/spec",
        True,
        None,
        2,
        0.5,
        [],
        {},
        {"a": ["*"]},
    ],
)
def test_a_value_on_one_line_is_read_back_as_the_same(value: object) -> None:
    assert yaml.safe_load(f"x: {flow(value)}") == {"x": value}
    assert yaml.safe_load(f"x: [{flow(value)}]") == {"x": [value]}
