"""The template language: Jinja2, of which only what stands in the tables here may be used.

A template is read, never run, to be checked. What it may do is listed, and everything else is refused by its name: no
loops, no assignments, no calls, no arithmetic, no access to anything but keys of mappings and elements of lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_TEMPLATE = 4 * 1024  # bytes
MOST_OUTPUT = 64 * 1024  # characters
DEEPEST = 40  # levels of expressions inside each other

VARIABLES: Mapping[str, str] = {
    "object": "the object as the steps before left it; of a Secret without `data` and `stringData`",
    "cluster": "`cluster.name` is the DR cluster as the importer calls it, `cluster.source` the source cluster",
    "values": "`importer.transforms.values` of the configuration",
    "commit": "the full id of the commit that is imported",
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """How many arguments a filter or test takes, and what it does, for people."""

    least: int
    most: int
    says: str


FILTERS: Mapping[str, Arguments] = {
    "default": Arguments(1, 1, "the argument where the value is missing or null"),
    "first": Arguments(0, 0, "the first element of a list, the first character of a text"),
    "join": Arguments(0, 1, "the elements of a list of texts, with the argument between them"),
    "last": Arguments(0, 0, "the last element of a list, the last character of a text"),
    "length": Arguments(0, 0, "the number of elements or characters"),
    "lower": Arguments(0, 0, "the text in lower case"),
    "removeprefix": Arguments(1, 1, "the text without the argument at its start"),
    "removesuffix": Arguments(1, 1, "the text without the argument at its end"),
    "replace": Arguments(2, 2, "the text with the second argument wherever the first stood"),
    "split": Arguments(1, 1, "the parts of the text between the argument, as a list"),
    "trim": Arguments(0, 0, "the text without blanks around it"),
    "upper": Arguments(0, 0, "the text in upper case"),
}
TESTS: Mapping[str, Arguments] = {
    "defined": Arguments(0, 0, "whether the key or element is there"),
    "undefined": Arguments(0, 0, "whether it is not"),
    "none": Arguments(0, 0, "whether the value is null"),
}
# What nodes stand for in a template, for the documentation; a node that is in no row is refused.
ALLOWED: tuple[tuple[tuple[type[nodes.Node], ...], str], ...] = (
    ((nodes.Template, nodes.Output, nodes.TemplateData), "text, and `{{ … }}` within it"),
    ((nodes.Name,), "one of the variables"),
    ((nodes.Getattr, nodes.Getitem), "`a.key`, `a['key']`, `a[0]`: a key of a mapping, an element of a list"),
    ((nodes.Slice, nodes.Neg), "`a[:7]`, `a[-1]`: a part of a text or list"),
    ((nodes.Const, nodes.List, nodes.Tuple), "`'text'`, `5`, `true`, `none`, `['a', 'b']`"),
    ((nodes.Filter,), "`value | filter`, with one of the filters"),
    ((nodes.Test,), "`value is defined`, with one of the tests"),
    ((nodes.Compare, nodes.Operand), "`==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in`"),
    ((nodes.And, nodes.Or, nodes.Not), "`and`, `or`, `not`"),
    ((nodes.If, nodes.CondExpr), "`{% if … %}…{% elif … %}…{% else %}…{% endif %}`, `a if … else b`"),
    ((nodes.Concat,), "`a ~ b`: both texts, one after the other"),
)
_ALLOWED = frozenset(node for row, _ in ALLOWED for node in row)

# Nodes that people may well try, in their words.
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.For: "loops",
    nodes.Call: "calls",
    nodes.Assign: "{% set %}",
    nodes.AssignBlock: "{% set %}",
    nodes.Macro: "macros",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.With: "{% with %}",
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.Scope: "{% autoescape %}",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
    nodes.Dict: "mappings in braces",
    nodes.NSRef: "namespaces",
    nodes.Add: "arithmetic (`~` puts texts together)",
    nodes.BinExpr: "arithmetic",
    nodes.Pos: "arithmetic",
}


class NotAllowed(ValueError):
    """A template that may not be used. One sentence that says why, with the line in the template where it helps."""


def check(text: str) -> frozenset[str]:
    """Given a template return the variables that it looks at. Raises NotAllowed; nothing of the template is run."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_TEMPLATE:
        raise NotAllowed(f"the template has {size:,} bytes; the most that one may have is {MOST_TEMPLATE:,}")
    tree = parsed(text)
    names: set[str] = set()
    for node, depth in _walk(tree):
        if depth > DEEPEST:
            raise NotAllowed(f"the template nests deeper than {DEEPEST} levels")
        if type(node) not in _ALLOWED:
            raise NotAllowed(f"{_word(node)} cannot be used in a template{_line(node)}")
        judge = _JUDGES.get(type(node))
        if judge is not None and (wrong := judge(node)):
            raise NotAllowed(f"{wrong}{_line(node)}")
        if isinstance(node, nodes.Name):
            names.add(node.name)
    return frozenset(names)


def parsed(text: str) -> nodes.Template:
    """Return the tree of a template. Raises NotAllowed for what is no template."""
    try:
        return _SYNTAX.parse(text)
    except TemplateError as error:
        line = getattr(error, "lineno", 0)
        said = (error.message or "it cannot be read").rstrip(".")
        raise NotAllowed(f"not a template: {said}" + (f" (line {line})" if line else "")) from None
    except (RecursionError, MemoryError):
        raise NotAllowed(f"the template nests deeper than {DEEPEST} levels") from None
    except (ValueError, OverflowError):  # digits without end
        raise NotAllowed("not a template: a number in it cannot be read") from None


class _Syntax(ImmutableSandboxedEnvironment):
    """Jinja2 with nothing in it: no globals, and only the names of the filters and tests."""

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, loader=None, autoescape=False)
        self.globals = {}


_SYNTAX: Environment = _Syntax()


def _walk(root: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    """Yield every node with its depth, without recursion: parents first."""
    todo = [(root, 0)]
    while todo:
        node, depth = todo.pop()
        yield node, depth
        todo += [(child, depth + 1) for child in node.iter_child_nodes()]


def _word(node: nodes.Node) -> str:
    for kind in type(node).__mro__:
        if kind in _REFUSED:
            return _REFUSED[kind]
    return f"`{type(node).__name__.lower()}`"


def _line(node: nodes.Node) -> str:
    return f" (line {node.lineno})" if node.lineno and node.lineno > 1 else ""


def _name(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Name)
    if node.ctx != "load":
        return "assignments cannot be used in a template"
    if node.name not in VARIABLES:
        return f"there is no variable `{node.name:.40}` in a template; there are {', '.join(VARIABLES)}"
    return ""


def _attribute(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Getattr)
    return _key(node.attr)


def _item(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Getitem)
    return _key(node.arg.value) if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else ""


def _key(name: str) -> str:
    # No attribute of Python can be reached in any case; who writes such a name is told so.
    return f"names with `__` such as `{name:.40}` cannot be used in a template" if "__" in name else ""


def _constant(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Const)
    return "" if isinstance(node.value, str | int | float | None) else "this constant cannot be used in a template"


def _filter(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Filter)
    if node.node is None:
        return "{% filter %} cannot be used in a template"
    return _arguments(node, FILTERS, "filter")


def _test(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Test)
    return _arguments(node, TESTS, "test")


def _arguments(node: nodes.Filter | nodes.Test, table: Mapping[str, Arguments], word: str) -> str:
    row = table.get(node.name)
    if row is None:
        return f"there is no {word} `{node.name:.40}` in a template; there are {', '.join(table)}"
    if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        return f"the arguments of `{node.name}` have no names and no stars"
    if not row.least <= len(node.args) <= row.most:
        wanted = str(row.least) if row.least == row.most else f"{row.least} or {row.most}"
        return f"`{node.name}` takes {wanted} argument{'' if row.most == 1 else 's'}, not {len(node.args)}"
    return ""


def _slice(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Slice)
    fine = all(part is None or _is_number(part) for part in (node.start, node.stop)) and node.step is None
    return "" if fine else "a slice is written with whole numbers and without a step, as in `a[:7]`"


def _negative(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Neg)
    return "" if _is_number(node.node) else "arithmetic cannot be used in a template"


def _is_number(node: nodes.Node) -> bool:
    inner = node.node if isinstance(node, nodes.Neg) else node
    return isinstance(inner, nodes.Const) and type(inner.value) is int


_JUDGES: Mapping[type[nodes.Node], Callable[[nodes.Node], str]] = {
    nodes.Name: _name,
    nodes.Getattr: _attribute,
    nodes.Getitem: _item,
    nodes.Const: _constant,
    nodes.Filter: _filter,
    nodes.Test: _test,
    nodes.Slice: _slice,
    nodes.Neg: _negative,
}
