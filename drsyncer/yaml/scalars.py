"""What an unquoted YAML value means: YAML 1.2's core schema, where YAML 1.1 and Kubernetes' own reader agree.

The three disagree about surprisingly common values. Those are refused rather than guessed. Dates are the one
exception: Kubernetes' reader keeps them as text, and people write them unquoted.
"""

from __future__ import annotations

import math
import re
from typing import Any

_QUOTE_IT = "Put it in quotes if it is text, or write it as a plain decimal number, true or false if it is not."

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SWITCHES = frozenset(
    word for lower in ("y", "n", "yes", "no", "on", "off") for word in (lower, lower.capitalize(), lower.upper())
)
MAY_MEAN_MORE = frozenset("0123456789+-.~=<nNtTfFyYoO")  # first letters of all that need not be text

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?")
_NUMBER_TO_SOME = re.compile(  # once underscores are gone: YAML 1.1 and Kubernetes' reader skip them
    r"""[-+]?(?:
        [0-9]+                                            # 012: octal in 1.1; 1_000
      | 0[xXoObB][0-9a-fA-F]+                             # 0o17 is 1.2, 0b1 is 1.1, 0X1F is neither
      | (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?  # 1e3 is text in 1.1
      | [0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?              # 1:30 is ninety in 1.1
      | \.(?:inf|Inf|INF|nan|NaN|NAN)                     # no JSON
    )""",
    re.VERBOSE,
)
_MOST_DIGITS = 308  # of a float's range


class Ambiguous(ValueError):
    """A value that readers disagree about, or that JSON cannot hold. The message does not repeat it."""

    def __init__(self, message: str, hint: str = _QUOTE_IT) -> None:
        super().__init__(message)
        self.hint = hint


def plain(text: str) -> Any:
    """Return what the unquoted `text` means: None, bool, int, float or str. Raises Ambiguous."""
    if text and text[0] not in MAY_MEAN_MORE:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text in _SWITCHES:
        raise Ambiguous("yes, no, on, off, y and n are true or false to some readers and text to others")
    if text == "<<":
        raise Ambiguous("merge keys are not allowed", "Write the keys out wherever they are needed.")
    if text == "=":
        raise Ambiguous("a lone = is not text to every reader", "Quote it.")
    return _number(text)


def tagged(tag: str, text: str) -> Any:
    """Return what `text` under an explicit `tag` means. Raises Ambiguous unless both say the same."""
    if tag == "tag:yaml.org,2002:str":
        return text
    kind = _TAGS.get(tag)
    if kind is None:
        raise Ambiguous("a tag that Kubernetes objects have no use for", "Remove the tag.")
    value = plain(text)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise Ambiguous("the value is not of the type that its tag says", "Remove the tag.")
    return value


_TAGS: dict[str, type] = {
    "tag:yaml.org,2002:null": type(None),
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
}


def _number(text: str) -> Any:
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise Ambiguous("the number is out of range")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise Ambiguous("the number is out of range")
        return value
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _NUMBER_TO_SOME.fullmatch(text.replace("_", "")):
        raise Ambiguous("this is a number to some readers, and another number or text to others")
    return text
