"""Kubernetes quantities (`500m`, `1.5Gi`, `1e3`), read exactly, scaled exactly and written as people write them.

The grammar is apimachinery's (`pkg/api/resource/quantity.go`): a decimal number and a suffix, binary (`Ki` to `Ei`),
decimal (`n` to `E`) or an exponent (`e3`). Everything is Decimal: a float would turn 0.1 into something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

_NUMBER = re.compile(r"([+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}))(.*)", re.DOTALL)
# More than two digits of exponent are beyond what the API server stores (2**63-1), and would fill the memory here.
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]{1,2})")
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {
    **{"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
}
_EXACT = Context(prec=200)
_MILLI = _DECIMAL["m"]
# Fractions of these mean nothing to anybody; of all others (devices, pages) there is either one more or one less.
_DIVISIBLE = frozenset({"memory", "storage", "ephemeral-storage"})
HUGE_PAGES = "hugepages-"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and the suffix that it was written with (`m`, `Gi`, `e3`, or "")."""

    value: Decimal
    suffix: str


def parse(written: Any) -> Quantity | None:
    """Return the quantity that a manifest holds, as text or as a number; None when it is none."""
    if isinstance(written, bool) or not isinstance(written, (str, int, float)):
        return None
    found = _NUMBER.fullmatch(str(written))
    if found is None:
        return None
    number, suffix = Decimal(found[1]), found[2]
    unit = _BINARY.get(suffix) or _DECIMAL.get(suffix)
    if unit is None:
        exponent = _EXPONENT.fullmatch(suffix)
        if exponent is None:
            return None
        unit = Decimal(10) ** int(exponent[1])
    return Quantity(_EXACT.multiply(number, unit), suffix)


def scaled(quantity: Quantity, factor: Decimal, *, resource: str) -> Quantity:
    """Return `factor` times the quantity, as much as there can be of `resource`.

    CPU is cut to whole thousandths, memory and storage to whole bytes; of what is counted (devices, huge pages) a part
    counts as one. Something never becomes nothing, and of two quantities the larger one stays the larger one.
    """
    unit, rounding = Decimal(1), ROUND_CEILING
    if resource == "cpu":
        unit, rounding = _MILLI, ROUND_FLOOR
    elif resource in _DIVISIBLE:
        rounding = ROUND_FLOOR
    elif resource.startswith(HUGE_PAGES) and (page := parse(resource.removeprefix(HUGE_PAGES))) and page.value > 0:
        unit = page.value
    exact = _EXACT.divide(_EXACT.multiply(quantity.value, factor), unit)
    units = exact.to_integral_value(rounding=rounding, context=_EXACT)
    if quantity.value > 0 and units < 1:
        units = Decimal(1)
    return Quantity(_EXACT.multiply(units, unit), quantity.suffix)


def text(quantity: Quantity) -> str:
    """Return the quantity without loss, in the family of its suffix: `1536Mi`, `250m`, `2G`."""
    value = quantity.value
    if quantity.suffix in _BINARY:
        families = (_BINARY,)
    elif quantity.suffix in ("", "m", "u", "n"):
        families = ({"": _DECIMAL[""]},)
    else:
        families = ({suffix: unit for suffix, unit in _DECIMAL.items() if unit >= 1},)
    for family in families:
        for suffix, unit in sorted(family.items(), key=lambda entry: -entry[1]):
            if value and not _EXACT.remainder(value, unit):
                return f"{_plain(_EXACT.divide(value, unit))}{suffix}"
    for suffix in ("", "m", "u", "n"):
        if not _EXACT.remainder(value, _DECIMAL[suffix]):
            return f"{_plain(_EXACT.divide(value, _DECIMAL[suffix]))}{suffix}"
    return _plain(value)


def _plain(value: Decimal) -> str:
    return f"{value.normalize(_EXACT):f}"
