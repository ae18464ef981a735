"""What a template may say, and what it gives. Hostile ones are in test_template_attacks.py."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes

from drsyncer.templates import TemplateFailed
from drsyncer.templates.language import ALLOWED, FILTERS, TESTS, VARIABLES, NotAllowed, check
from drsyncer.templates.rendering import _FILTERS, _TESTS, Renderer

OBJECT: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"example.com/tier": "front", "items": "x"}},
    "spec": {"host": "shop.prod.example.com", "ports": [80, 443], "on": True, "none": None, "empty": ""},
}
CONTEXT = {
    "object": OBJECT,
    "values": {"domain": "dr.example.com", "sites": ["a", "b"]},
    "cluster": {"name": "dr", "source": "prod"},
    "commit": "0123456789abcdef",
}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{ object.metadata.name }}.{{ values.domain }}", "web.dr.example.com"),
        ("{{ object.metadata.labels['example.com/tier'] }}", "front"),
        ("{{ object.metadata.labels.items }}", "x"),  # a key, not a method of Python's
        ("{{ cluster.source }}-{{ cluster.name }}", "prod-dr"),
        ("{{ commit[:7] }}", "0123456"),
        ("{{ commit[-2:] }}", "ef"),
        ("{{ object.spec.ports[0] }},{{ object.spec.ports[-1] }}", "80,443"),
        ("{{ object.spec.host | removesuffix('.prod.example.com') }}.{{ values.domain }}", "shop.dr.example.com"),
        ("{{ object.spec.host | removeprefix('shop.') }}", "prod.example.com"),
        ("{{ object.spec.host | replace('prod', 'dr') | upper }}", "SHOP.DR.EXAMPLE.COM"),
        ("{{ object.spec.host | split('.') | first }}", "shop"),
        ("{{ object.spec.host | split('.') | last }}", "com"),
        ("{{ values.sites | join('+') }}{{ values.sites | join }}", "a+bab"),
        ("{{ object.spec.ports | length }}", "2"),
        ("{{ 'A' | lower }}{{ ' a ' | trim }}", "aa"),
        ("{{ values.missing | default('x') }}", "x"),
        ("{{ object.spec.none | default('x') }}", "x"),
        ("{{ object.spec.empty | default('x') }}", ""),
        ("{{ object.spec.on }} {{ 1.5 }} {{ 3 }}", "true 1.5 3"),
        ("{% if object.spec.host == 'a' %}a{% elif cluster.name in ['dr'] %}b{% else %}c{% endif %}", "b"),
        ("{{ 'y' if object.spec.x is defined else 'n' }}", "n"),
        ("{{ 'y' if object.spec.none is none and not object.spec.empty else 'n' }}", "y"),
        ("{{ object.metadata.name ~ '-' ~ 1 ~ true }}", "web-1true"),
        ("{# said nothing #}{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("a\n{{ commit[:1] }}\n", "a\n0"),
    ],
)
def test_a_template_gives_text(renderer: Renderer, template: str, text: str) -> None:
    names = check(template)

    assert renderer.render(template, {name: CONTEXT[name] for name in names}) == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ object.spec.missing }}", "no `missing` in a mapping"),
        ("{{ object.spec.missing.more | default('x') }}", "no `missing` in a mapping"),
        ("{{ object.spec.ports[5] }}", "no `5` in a list"),
        ("{{ object.spec.host.upper }}", "no `upper` in a text"),
        ("{{ object.spec.none }}", "null where text is needed"),
        ("{{ object.spec }}", "a mapping where text is needed"),
        ("{{ 'a' ~ object }}", "a mapping where text is needed"),
        ("{{ object.spec.ports | upper }}", "a list where text is needed"),
        ("{{ object | join }}", "a mapping where a list is needed"),
        ("{{ values.sites | first | first | first | split('') }}", "an empty text to split at"),
        ("{{ object.spec.empty | first }}", "an empty list or text, which has no first and no last element"),
        ("{{ object.spec.host | replace('', 'x') }}", "an empty text to replace"),
        ("{{ object.spec.ports < 1 }}", "values that do not go together (TypeError)"),
        ("{{ values.sites | split('.') }}", "a list where text is needed"),
        ("{{ object.spec.host | split('.') }}", "a list where text is needed"),
        ("{{ object[object.spec.host] }}", "no `a key` in a mapping"),  # what a value says is never told
    ],
)
def test_what_cannot_be_rendered_says_what_was_found(renderer: Renderer, template: str, reason: str) -> None:
    names = check(template)

    with pytest.raises(TemplateFailed) as failure:
        renderer.render(template, {name: CONTEXT[name] for name in names})

    assert str(failure.value) == reason


def test_the_variables_that_a_template_looks_at_are_known_before_it_is_run() -> None:
    assert check("{{ commit }}{% if values.x %}{{ cluster.name }}{% endif %}") == {"commit", "values", "cluster"}


def test_a_template_of_four_kibibytes_is_the_longest() -> None:
    assert check("é" * 2048) == frozenset()
    with pytest.raises(NotAllowed, match="has 4,097 bytes; the most that one may have is 4,096"):
        check("é" * 2048 + "a")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ x }}", "there is no variable `x` in a template; there are object, cluster, values, commit"),
        ("a\nb{{ x }}", "commit (line 2)"),
        ("{{", "not a template: unexpected 'end of template' (line 1)"),
        ("{{ object | default }}", "`default` takes 1 argument, not 0"),
        ("{{ object | join('a', 'b') }}", "`join` takes 0 or 1 argument, not 2"),
        ("{{ object | replace('a') }}", "`replace` takes 2 arguments, not 1"),
        ("{{ object | default(value='a') }}", "the arguments of `default` have no names and no stars"),
        ("{{ object is mapping }}", "there is no test `mapping`"),
        ("{{ 1 + 1 }}", "arithmetic"),
    ],
)
def test_what_may_not_be_in_a_template_is_named(template: str, message: str) -> None:
    with pytest.raises(NotAllowed) as refusal:
        check(template)

    assert message in str(refusal.value)


def test_the_tables_of_the_language_and_what_renders_them_are_the_same() -> None:
    assert FILTERS.keys() == _FILTERS.keys()
    assert TESTS.keys() == _TESTS.keys()
    assert set(VARIABLES) == set(CONTEXT)


def test_every_kind_of_node_is_allowed_by_name_or_refused() -> None:
    """A later Jinja2 brings no new ability by itself."""
    allowed = {node for row, _ in ALLOWED for node in row}
    assert not allowed & {nodes.Call, nodes.For, nodes.Add, nodes.Mul, nodes.Pow, nodes.Mod, nodes.Assign, nodes.Macro}
    assert nodes.Include not in allowed
    assert len(allowed) == 21


def test_jinja_is_not_loaded_by_those_who_have_no_templates() -> None:
    program = (
        "import sys; from drsyncer.config.load import parse; from pathlib import Path; import importer.preparation; "
        "parse(b'apiVersion: dr-syncer.io/v1\\nrepository: {url: /x}\\nimporter: {cluster: dr}', file='f', "
        "folder=Path('/')); sys.exit('jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


WORDS = """
    {{ }} {% %} {# #} ( ) [ ] { } . , : | ~ + - * / % == < not in is and or if else elif endif for endfor set raw endraw
    block macro include import from as with autoescape call filter do object values cluster commit x default replace
    upper split defined none true '' 'a' "b" 'a\\N{' '\\x5f' 1 0x1f 1.5 1e999 9_9 __class__ é '
"""
TOKENS = st.sampled_from([*WORDS.split(), "\n", ""])
TEXTS = st.lists(TOKENS, max_size=25).map(" ".join)


@settings(max_examples=400)
@given(TEXTS | TEXTS.map(lambda text: f"{{{{ {text} }}}}"))
def test_whatever_is_written_is_allowed_or_refused_and_whatever_is_allowed_is_rendered_or_fails(text: str) -> None:
    try:
        names = check(text)
    except NotAllowed:
        return
    with contextlib.suppress(TemplateFailed):
        rendered = FUZZED.render(text, {name: CONTEXT[name] for name in names})
        assert "built-in" not in rendered
        assert "object at 0x" not in rendered


FUZZED = Renderer()
