"""A YAML file as plain values, with the line of every key and entry.

Composed, not loaded: so all duplicate keys are found at once, every value keeps its line, and nothing that looks
like a date or an octal number turns into something that its author did not write.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from drsyncer.config.section import Loc
from drsyncer.errors import Fault

MOST_NODES = 100_000  # after aliases are expanded: no real configuration comes near
DEEPEST = 50  # levels of nesting

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")}
_WORD = re.compile(r"[\w*-]+")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds. `lines` are 1-based and keyed by path; faults leave `value` as complete as can be."""

    value: Any
    lines: dict[Loc, int]
    faults: list[Fault]

    def line(self, loc: Loc) -> int:
        """Return the line of `loc`, or of the nearest thing around it that the file holds."""
        while loc not in self.lines and loc:
            loc = loc[:-1]
        return self.lines.get(loc, 1)


def dotted(loc: Loc) -> str:
    """Given `("select", "include", 0)` return `select.include[0]`."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _WORD.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def read(data: bytes, *, file: str) -> Document:
    """Return the document in `data`; everything wrong with it as YAML is in its faults. Does not raise."""
    try:
        root = YAML(pure=True).compose(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Document(None, {}, [Fault(file, line, "", "is not UTF-8 text")])
    except ReaderError as error:
        line = data.decode("utf-8-sig").count("\n", 0, error.position) + 1
        return Document(None, {}, [Fault(file, line, "", "holds a control character, which YAML does not allow")])
    except (YAMLError, RecursionError) as error:
        return Document(None, {}, [_syntax_fault(error, file=file)])
    reading = _Reading(file)
    value = None if root is None else reading.value(root, ())
    if root is None:
        reading.faults.append(Fault(file, 1, "", "is empty"))
    return Document(value, reading.lines, reading.faults)


def _syntax_fault(error: YAMLError | RecursionError, *, file: str) -> Fault:
    """Return `error` in our words, without the snippet of the file that ruamel would show."""
    if not isinstance(error, MarkedYAMLError):
        return Fault(file, 1, "", "is nested too deeply")
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "is not YAML"
    if "'\\t'" in problem or "tab" in problem:
        problem = "a tab where YAML wants spaces"
    elif "expected a single document" in (error.context or ""):
        problem = "a second document; the configuration is one document"
    elif "undefined alias" in problem:
        problem = "an alias (`*name`) without its anchor (`&name`)"
    elif error.context and len(error.context) < 80:
        problem = f"not YAML: {error.context}: {problem}"
    else:
        problem = f"not YAML: {problem}"
    return Fault(file, mark.line + 1 if mark else 1, "", problem)


@dataclass(slots=True)
class _Reading:
    """One walk over the composed nodes."""

    file: str
    lines: dict[Loc, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    nodes: int = 0

    def value(self, node: Node, loc: Loc) -> Any:
        self.nodes += 1
        line = node.start_mark.line + 1
        self.lines.setdefault(loc, line)
        if self.nodes > MOST_NODES or len(loc) > DEEPEST:
            if not any("too large" in fault.message for fault in self.faults):
                self.faults.append(Fault(self.file, line, "", "too large or too deep once its aliases are expanded"))
            return None
        if not node.tag or node.tag not in _PLAIN_TAGS:
            self.faults.append(Fault(self.file, line, dotted(loc), "tags (`!name`) have no meaning here; remove it"))
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, SequenceNode):
            return [self.value(entry, (*loc, index)) for index, entry in enumerate(node.value)]
        return _scalar(node.value, kind=node.tag.removeprefix(_TAG))

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = key.value if isinstance(key, ScalarNode) else None
            if name is None or key.tag == _TAG + "null":
                self.faults.append(Fault(self.file, line, dotted(loc), "expected a key that is plain text"))
            elif key.tag == _TAG + "merge" or name == "<<":
                self.faults.append(Fault(self.file, line, dotted(loc), "`<<` is not supported; write the keys out"))
            elif name in result:
                first = self.lines[(*loc, name)]
                message = f"stands here a second time; the first is on line {first}"
                self.faults.append(Fault(self.file, line, dotted((*loc, name)), message))
            else:
                self.lines[(*loc, name)] = line
                result[name] = self.value(value, (*loc, name))
        return result


def _scalar(text: str, *, kind: str) -> Any:
    """Return the value of a scalar by YAML 1.2; what only looks like a date stays text."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind in ("int", "float") and _NUMBER.fullmatch(text):
        return int(text) if kind == "int" else float(text)
    return text
