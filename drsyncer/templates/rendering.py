"""Rendering a checked template. Runs in the worker only: nothing here is called in the process of an import.

Whatever a template writes `a.b` or `a['b']` for is looked up in mappings, lists and texts, and nowhere else: the
environment's access to Python's attributes is replaced, so there is none to be confined. Filters are functions of this
module, bounded in what they make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from jinja2 import StrictUndefined, Template, Undefined, UndefinedError, nodes
from jinja2.compiler import CodeGenerator, generate
from jinja2.sandbox import ImmutableSandboxedEnvironment

from drsyncer.templates import TemplateFailed
from drsyncer.templates.language import FILTERS, MOST_OUTPUT, TESTS, check, parsed

_TEXT = "text"  # the filter that stands around each operand of `~`; no template can name it
_MOST_CACHED = 1_000  # compiled templates


class Renderer:
    """Renders templates; each is compiled once. Not for several threads."""

    def __init__(self) -> None:
        self._environment = _Confined()
        self._compiled: dict[str, Template] = {}

    def render(self, text: str, variables: Mapping[str, Any]) -> str:
        """Return what the template makes of the variables. Raises NotAllowed or TemplateFailed, MemoryError too."""
        template = self._compiled.get(text)
        if template is None:
            if len(self._compiled) >= _MOST_CACHED:
                self._compiled.clear()
            template = self._compiled[text] = self._compile(text)
        self._environment.text = text
        try:
            return self._joined(template, variables)
        except UndefinedError as error:
            raise TemplateFailed(str(error)) from None
        except (TemplateFailed, MemoryError):
            raise
        except RecursionError:
            raise TemplateFailed("an object that nests too deeply for it") from None
        except Exception as error:  # noqa: BLE001 - whatever Python says of it may hold a value
            raise TemplateFailed(f"values that do not go together ({type(error).__name__})") from None

    def _compile(self, text: str) -> Template:
        check(text)  # the caller did so, too; but this is the process that runs it
        tree = parsed(text)
        for concat in tree.find_all(nodes.Concat):
            concat.nodes = [nodes.Filter(node, _TEXT, [], [], None, None, lineno=node.lineno) for node in concat.nodes]
        tree.set_environment(self._environment)
        try:
            source = generate(tree, self._environment, None, None, optimized=False)
            assert isinstance(source, str)
            code = compile(source, "<template>", "exec")
        except (RecursionError, SyntaxError):
            raise TemplateFailed("more in one template than can be compiled") from None
        return Template.from_code(self._environment, code, {})

    def _joined(self, template: Template, variables: Mapping[str, Any]) -> str:
        parts = []
        left = MOST_OUTPUT
        # Not `generate`: on errors that loads modules and source files to make tracebacks nicer.
        for part in template.root_render_func(template.new_context(dict(variables))):
            left -= len(part)
            _bounded(MOST_OUTPUT - left)
            parts.append(part)
        rendered = "".join(parts)
        if not rendered.isascii():
            try:
                rendered.encode()
            except UnicodeEncodeError:
                raise TemplateFailed("half of a surrogate pair in the output") from None
        return rendered


class _Confined(ImmutableSandboxedEnvironment):
    """Jinja2's strictest environment, and no attributes, globals, loader, or filters and tests but ours on top."""

    code_generator_class = CodeGenerator

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, loader=None, autoescape=False, finalize=_text, cache_size=0)
        self.globals = {}
        self.filters = {name: _FILTERS[name] for name in FILTERS} | {_TEXT: _text}
        self.tests = {name: _TESTS[name] for name in TESTS}
        self.text = ""  # the template being rendered: what stands in it may be named in errors

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, dict) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        if isinstance(obj, list | str) and type(argument) is int and -len(obj) <= argument < len(obj):
            return obj[argument]
        named = str(argument) if isinstance(argument, str | int) and str(argument) in self.text else "a key"
        return self.undefined(hint=f"no `{named:.80}` in {_kind(obj)}")

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return False

    def is_safe_callable(self, obj: Any) -> bool:
        return False


def _kind(value: Any) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null" if value is None else "a value")


def _refuse(value: Any, wanted: str) -> NoReturn:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    raise TemplateFailed(f"{_kind(value)} where {wanted} is needed")


def _bounded(length: int) -> None:
    if length > MOST_OUTPUT:
        raise TemplateFailed(f"more than {MOST_OUTPUT:,} characters of output")


def _text(value: Any) -> str:
    """Return a value as text: what is neither text, a number nor true or false has no form that one could mean."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        _refuse(value, "text")
    return str(value)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else _refuse(value, "text")


def _default(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None or isinstance(value, Undefined) else value


def _first(value: Any) -> Any:
    return _end(value, 0)


def _last(value: Any) -> Any:
    return _end(value, -1)


def _end(value: Any, index: int) -> Any:
    if not isinstance(value, list | str):
        _refuse(value, "a list or text")
    if not value:
        raise TemplateFailed("an empty list or text, which has no first and no last element")
    return value[index]


def _join(value: Any, between: Any = "") -> str:
    if not isinstance(value, list):
        _refuse(value, "a list")
    parts = [_text(part) for part in value]
    _bounded(sum(map(len, parts)) + len(_string(between)) * max(len(parts) - 1, 0))
    return between.join(parts) if isinstance(between, str) else ""


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list | str) else _refuse(value, "a list, mapping or text")


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = _string(value), _string(old), _string(new)
    if not old:
        raise TemplateFailed("an empty text to replace")
    _bounded(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def _split(value: Any, between: Any) -> list[str]:
    if not _string(between):
        raise TemplateFailed("an empty text to split at")
    return _string(value).split(between)


_FILTERS = {
    "default": _default,
    "first": _first,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": lambda value: _string(value).lower(),
    "removeprefix": lambda value, prefix: _string(value).removeprefix(_string(prefix)),
    "removesuffix": lambda value, suffix: _string(value).removesuffix(_string(suffix)),
    "replace": _replace,
    "split": _split,
    "trim": lambda value: _string(value).strip(),
    "upper": lambda value: _string(value).upper(),
}
_TESTS = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: value is None,
}
