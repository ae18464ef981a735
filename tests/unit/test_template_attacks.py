"""Hostile templates, by name: each is refused when it is loaded, or stopped when it is rendered.

`LOAD`: nothing of it is ever run. `RUN`: it is well-formed, and rendering it ends in a failure of that object. `TEXT`:
it is harmless and only looks hostile; what it gives is shown. None reaches an attribute of Python's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from drsyncer.templates import TemplateFailed
from drsyncer.templates.language import NotAllowed, check
from drsyncer.templates.renderer import Renderer

LOAD = {
    # ways to Python's object model
    "class attribute": "{{ object.__class__ }}",
    "class item": "{{ object['__class__'] }}",
    "mro and subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class of a tuple": "{{ ().__class__.__base__ }}",
    "globals of a method": "{{ object.get.__globals__ }}",
    "init globals": "{{ values.__init__.__globals__['os'].popen('id').read() }}",
    "attr filter": "{{ object | attr('__class__') }}",
    "attr filter, escaped": "{{ object | attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "attr filter, joined": "{{ object | attr(['__', 'class', '__'] | join) }}",
    "item by escape": "{{ object['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "map by attribute": "{{ [object] | map(attribute='__class__') | list }}",
    "select by attribute": "{{ [object] | selectattr('__class__') | list }}",
    "sum by attribute": "{{ [object] | sum(attribute='__class__') }}",
    "groupby": "{{ [object] | groupby('__class__') }}",
    "sort by attribute": "{{ [object] | sort(attribute='__class__') }}",
    "unique": "{{ [object] | unique(attribute='__class__') }}",
    # globals of Jinja2 and of web frameworks
    "cycler": "{{ cycler.__init__.__globals__.os }}",
    "joiner": "{{ joiner.__init__.__globals__ }}",
    "namespace": "{{ namespace.__init__.__globals__ }}",
    "lipsum": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "lipsum in length": "{{ lipsum(n=100000) }}",
    "dict": "{{ dict(a=1) }}",
    "range": "{{ range(100000000) }}",
    "config": "{{ config.items() }}",
    "request": "{{ request.application.__globals__ }}",
    "url_for": "{{ url_for.__globals__ }}",
    "builtins": "{{ __builtins__ }}",
    "import function": "{{ __import__('os') }}",
    # names that templates have by themselves
    "self": "{{ self }}",
    "self, its context": "{{ self._TemplateReference__context }}",
    "loop": "{{ loop.index }}",
    "super": "{{ super() }}",
    "caller": "{{ caller() }}",
    "varargs": "{{ varargs }}",
    "kwargs": "{{ kwargs }}",
    "context": "{{ context }}",
    "environment": "{{ environment }}",
    # statements
    "include": "{% include '/etc/passwd' %}",
    "include, missing allowed": "{% include 'x' ignore missing %}",
    "import": "{% import 'x' as y %}",
    "from import": "{% from 'x' import y %}",
    "extends": "{% extends 'base' %}",
    "block": "{% block a %}{% endblock %}",
    "macro": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "call block": "{% call object() %}{% endcall %}",
    "set": "{% set x = object %}{{ x }}",
    "set block": "{% set x %}a{% endset %}",
    "set over a variable": "{% set object = 1 %}",
    "for": "{% for a in object %}{{ a }}{% endfor %}",
    "for, recursive": "{% for a in object recursive %}{{ loop(a) }}{% endfor %}",
    "for, huge": "{% for i in range(999999999) %}x{% endfor %}",
    "with": "{% with a = object %}{{ a }}{% endwith %}",
    "filter block": "{% filter upper %}a{% endfilter %}",
    "autoescape": "{% autoescape false %}a{% endautoescape %}",
    "trans": "{% trans %}a{% endtrans %}",
    "trans, plural": "{% trans n=object %}a{% pluralize %}b{% endtrans %}",
    "do": "{% do object.clear() %}",
    "debug": "{% debug %}",
    "break": "{% break %}",
    # calls
    "method": "{{ object.items() }}",
    "method that changes": "{{ object.clear() }}",
    "method that changes, by item": "{{ object['pop']('metadata') }}",
    "format method": "{{ '{0.__class__}'.format(object) }}",
    "format_map": "{{ '{a.__class__}'.format_map(object) }}",
    "call of a variable": "{{ object() }}",
    "call of text": "{{ 'a'() }}",
    "call with stars": "{{ object(*values, **cluster) }}",
    "gettext": "{{ _('a') }}",
    "ngettext": "{{ ngettext('a', 'b', 1) }}",
    # filters
    "format filter": "{{ '%s' | format(object) }}",
    "xmlattr": "{{ object | xmlattr }}",
    "pprint": "{{ object | pprint }}",
    "tojson": "{{ object | tojson }}",
    "urlize": "{{ 'a.b' | urlize }}",
    "center bomb": "{{ 'a' | center(999999999) }}",
    "indent bomb": "{{ 'a' | indent(999999999, true) }}",
    "ljust bomb": "{{ 'a'.ljust(999999999) }}",
    "wordwrap bomb": "{{ object.metadata.name | wordwrap(1, true, 'a' ) }}",
    "truncate": "{{ 'a' | truncate(9) }}",
    "batch bomb": "{{ 'a' | batch(999999999, 'x') | list }}",
    "slice bomb": "{{ 'a' | slice(999999999) | list }}",
    "filesizeformat": "{{ 1 | filesizeformat }}",
    "random": "{{ 'ab' | random }}",
    "safe": "{{ object | safe }}",
    "string": "{{ object | string }}",
    "striptags": "{{ '<' | striptags }}",
    "regex": "{{ 'aaaa' | regex_replace('(a+)+$', '') }}",
    "internal filter": "{{ object | text }}",
    "stars in a filter": "{{ 'a' | replace(*values) }}",
    "two stars in a filter": "{{ 'a' | replace(**values) }}",
    "names in a filter": "{{ 'a' | replace(old='a', new='b') }}",
    # tests
    "test for callables": "{{ object is callable }}",
    "test by filter name": "{{ 'upper' is filter }}",
    "sameas": "{{ object is sameas(values) }}",
    # arithmetic
    "text times number": "{{ 'a' * 999999999 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "percent format": "{{ '%999999999d' % 1 }}",
    "plus": "{{ 'a' + 'a' }}",
    "minus": "{{ 1 - 1 }}",
    "divide": "{{ 1 / 0 }}",
    "floor divide": "{{ 1 // 0 }}",
    "negative of a variable": "{{ -object }}",
    "mapping": "{{ {'a': object} }}",
    "slice with a step": "{{ 'a'[::-1] }}",
    "slice by a variable": "{{ 'a'[:object] }}",
    # size and depth
    "long": "a" * 4097,
    "long in bytes": "é" * 2100,
    "deep parentheses": "{{ " + "(" * 1500 + "1" + ")" * 1500 + " }}",
    "deep lists": "{{ " + "[" * 1500 + "]" * 1500 + " }}",
    "deep attributes": "{{ object" + ".a" * 1500 + " }}",
    "deep not": "{{ " + "not " * 900 + "1 }}",
    "deep filters": "{{ 'a'" + "|upper" * 500 + " }}",
    "deep doubling": "{{ 'aa'" + "|replace('a','aa')" * 200 + " }}",
    "deep ifs": "{% if 1 %}" * 150 + "{% endif %}" * 150,
    "deep conditions": "{{ 1" + " if 1 else 1" * 300 + " }}",
    "deep and": "{{ " + "1 and " * 500 + "1 }}",
    "open tags": "{{" * 2000,
    "open statements": "{%" * 2000,
    "open comments": "{#" * 2000,
    "open raw": "{% raw %}" * 400,
    "open string": "{{ '" + "a" * 4000,
    # unicode
    "cyrillic letter": "{{ \u043ebject }}",
    "full-width underscores": "{{ object.\uff3f\uff3fclass\uff3f\uff3f }}",
    "long s": "{{ object.__cla\u017f\u017f__ }}",
    "zero width joiner": "{{ obj\u200dect }}",
    "right to left": "{{ \u202eobject }}",
    "extra underscores": "{{ object.___class___ }}",
}
RUN = {
    "method by attribute": "{{ object.items }}",
    "method by item": "{{ object['keys'] }}",
    "method of text": "{{ 'a'.format }}",
    "method of text, by filters": "{{ 'a'['for' ~ 'mat'] }}",
    "class, put together": "{{ object['_' ~ '_class_' ~ '_'] }}",
    "class, by replace": "{{ object['xxclassxx' | replace('x', '_')] }}",
    "class, by join": "{{ object[['_', '_class_', '_'] | join] }}",
    "class, by value": "{{ object[values.name] }}",
    "attribute of a list": "{{ [1].append }}",
    "attribute of a number": "{{ (1).real }}",
    "attribute of a constant": "{{ true.real }}",
    "attribute of nothing": "{{ values.x.__nope }}".replace("__", "_"),
    "attribute of what is undefined": "{{ values.nope._undefined_message }}",
    "undefined, its hint": "{{ values.nope['_undefined_hint'] }}",
    "whole object": "{{ object }}",
    "whole object, concatenated": "{{ '' ~ object }}",
    "whole object, joined": "{{ [object] | join }}",
    "whole list": "{{ [1, 2] }}",
    "not text": "{{ object | upper }}",
    "doubling": "{{ 'aaaaaaaaaaaaaaaa'" + "|replace('a','aaaaaaaa')" * 30 + " }}",
    "joining": "{{ values.many | join(values.big) }}",
    "giant output": "{{ values.big }}" * 90,
    "giant concatenation": "{{ values.big" + " ~ values.big" * 200 + " | length }}",
    "giant memory": "{% if [" + "values.big | lower | upper," * 130 + "] %}{% endif %}",
    "giant time": "{{ values.big | split('a') | length }}" * 90,
    "a number as an index": "{{ values.big[99999999999999999999] }}",
    "a number in words": "{{ 'a' < 1 }}",
}
TEXT = {
    "line statements": ("# for a in b\n{{ 1 }}", "# for a in b\n1"),
    "raw": ("{% raw %}{{ object.__class__ }}{% endraw %}", "{{ object.__class__ }}"),
    "comment": ("{# {{ object.__class__ }} #}", ""),
    "the text of an expression": ("{{ '{{ object }}' }}", "{{ object }}"),
    "rendered twice": ("{{ values.template }}", "{{ object.__class__ }}"),
    "format text": ("{{ '%s {0.__class__}' }}", "%s {0.__class__}"),
    "markup": ("<script>{{ '<b>' }}", "<script><b>"),
    "a key of that name": ("{{ values.items }}", "a key"),
    "a very long number": ("{{ " + "9" * 50 + " }}", "9" * 50),
    "a huge slice": ("{{ 'abc'[:99999999999999999999] }}", "abc"),
    "nul": ("a\0b", "a\0b"),
}

VALUES: dict[str, Any] = {
    "name": "__class__",
    "template": "{{ object.__class__ }}",
    "items": "a key",
    "x": {"y": 1},
    "big": "a" * 3_000_000,
    "many": ["a"] * 1000,
}
OBJECT = {"metadata": {"name": "web"}}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer() as made:
        yield made


@pytest.mark.parametrize("name", LOAD)
def test_it_is_refused_when_it_is_loaded(name: str) -> None:
    begun = time.process_time()

    with pytest.raises(NotAllowed) as refusal:
        check(LOAD[name])

    assert len(str(refusal.value)) < 250
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("name", LOAD)
def test_the_worker_refuses_it_as_well(renderer: Renderer, name: str) -> None:
    """Whoever calls it without a check gets no further."""
    with pytest.raises(TemplateFailed):
        renderer.render(LOAD[name], {"object": OBJECT, "values": VALUES if "values" in LOAD[name] else {}})


@pytest.mark.parametrize("name", RUN)
def test_it_is_stopped_when_it_is_rendered(renderer: Renderer, name: str) -> None:
    names = check(RUN[name])

    with pytest.raises(TemplateFailed) as failure:
        renderer.render(RUN[name], {key: {"object": OBJECT, "values": VALUES}[key] for key in names})

    assert "class" not in str(failure.value)  # nothing of Python's shows
    assert len(str(failure.value)) < 200


@pytest.mark.parametrize("name", TEXT)
def test_it_only_looks_hostile(renderer: Renderer, name: str) -> None:
    template, text = TEXT[name]

    assert renderer.render(template, dict.fromkeys(check(template), VALUES)) == text


def test_after_all_of_them_the_worker_still_renders(renderer: Renderer) -> None:
    assert renderer.render("{{ object.metadata.name }}", {"object": OBJECT}) == "web"
