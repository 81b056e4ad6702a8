"""Values, results and PEs of a vector file, as typed parts of a case."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.psci.names import PLACES, results_of
from deploy.psci.reader import INT_MAX, Fields, Place
from proto.vectors import Base, Registers, Result, Value

_NUMBER = r"(?:0[xX][0-9a-fA-F_]+|[0-9][0-9_]*)"
_VALUE = re.compile(
    rf"\s*(?P<base>\$\w+|[A-Z][A-Z0-9]*|-?{_NUMBER})(?P<plus>(?:\s*\+\s*{_NUMBER})*)\s*"
)
_PE = re.compile(r"C([0-9]+)")
_WORD = re.compile(r"(?!C[0-9])[A-Za-z][\w-]*")
_REGISTER = re.compile(r"x([0-9]|[12][0-9]|30)")

WORDS = {"$entry": Base.ENTRY, "$self": Base.SELF, "$winner": Base.WINNER, "$round": Base.ROUND}
"""Names that always stand for something."""

NO_RETURN = "no-return"

WHAT_VALUE = "a value: a number, C<n>, $name, or one of these + a number"


@dataclass(frozen=True, slots=True)
class Scope:
    """What the values of a case may refer to: how many PEs there are, and what steps save."""

    pes: int
    saved: frozenset[str]


def read_value(data: object, place: Place, scope: Scope) -> Value:
    """A value as it may stand in `args` and wherever a number is wanted."""
    if isinstance(data, int) and not isinstance(data, bool):
        return _number(data, str(data) if -16 < data < 16 else hex(data), place)
    match = _VALUE.fullmatch(data) if isinstance(data, str) else None
    if match is None:
        place.refuse(WHAT_VALUE, data)
    text = match[0].strip()
    plus = sum(int(number, 0) for number in match["plus"].replace(" ", "").split("+") if number)
    base = match["base"]
    if base in WORDS:
        return Value(base=WORDS[base], plus=plus & INT_MAX, text=text)
    if base.startswith("$"):
        if base[1:] not in scope.saved:
            known = ", ".join([*WORDS, *(f"${name}" for name in sorted(scope.saved))])
            place.refuse(f"one of {known}", data)
        return Value(base=Base.SAVED, name=base[1:], plus=plus & INT_MAX, text=text)
    if _PE.fullmatch(base):
        return Value(base=Base.MPIDR, cpu=read_pe(base, place, scope), plus=plus, text=text)
    if base in PLACES:
        return _number(PLACES[base] + plus, text, place)
    if base[0].isalpha():
        place.refuse(WHAT_VALUE, data)
    return _number(int(base, 0) + plus, text, place)


def _number(number: int, text: str, place: Place) -> Value:
    if not -(1 << 63) <= number <= INT_MAX:
        place.refuse("a number of 64 bits", number)
    return Value(base=Base.ZERO, plus=number & INT_MAX, text=text)


def read_pe(data: object, place: Place, scope: Scope) -> int:
    """CPU index of a PE named `C<n>`."""
    match = _PE.fullmatch(data) if isinstance(data, str) else None
    if match is None or int(match[1]) >= scope.pes:
        place.refuse(f"a PE from C0 to C{scope.pes - 1}", data)
    return int(match[1])


def read_pes(data: object, place: Place, scope: Scope) -> tuple[int, ...]:
    """One PE or a list of different ones."""
    listed = data if isinstance(data, list) else [data]
    if not listed:
        place.refuse("a PE or a list of PEs", data)
    pes = tuple(read_pe(name, place, scope) for name in listed)
    if len(set(pes)) < len(pes):
        place.refuse("each PE once", data)
    return pes


def read_result(data: object, place: Place, scope: Scope, function: int) -> Result:
    """A result of a function: a name, a value or `no-return`; YAML may have made ON a boolean."""
    if isinstance(data, bool):
        data = "ON" if data else "OFF"
    if data == NO_RETURN:
        return Result(value=None, text=NO_RETURN)
    names = results_of(function)
    if isinstance(data, str) and data in names:
        value = Value(base=Base.ZERO, plus=names[data] & INT_MAX, text=data)
        return Result(value=value, text=data)
    if isinstance(data, str) and _WORD.fullmatch(data):
        place.refuse(f"a value, {NO_RETURN}, or one of {', '.join(names)}", data)
    value = read_value(data, place, scope)
    return Result(value=value, text=value.text)


def read_results(data: object, place: Place, scope: Scope, function: int) -> tuple[Result, ...]:
    """One result or a list of them."""
    listed = data if isinstance(data, list) else [data]
    if not listed:
        place.refuse("a result or a list of results", data)
    return tuple(read_result(item, place, scope, function) for item in listed)


def read_registers(data: object, place: Place, scope: Scope, lowest: int = 0) -> Registers:
    """A mapping from register names to values, in the order of the numbers."""
    what = f"a mapping of registers x{lowest} to x30"
    if not isinstance(data, Mapping):
        place.refuse(what, data)
    found: dict[int, Value] = {}
    for name, value in data.items():
        match = _REGISTER.fullmatch(name) if isinstance(name, str) else None
        if match is None or int(match[1]) < lowest:
            place.refuse(what, name)
        found[int(match[1])] = read_value(value, place.at(f".{name}"), scope)
    return tuple(sorted(found.items(), key=lambda item: item[0]))


def read_args(data: object, place: Place, scope: Scope) -> Registers:
    """Values of x1, x2, ..."""
    if not isinstance(data, list) or len(data) > 17:
        place.refuse("a list of at most 17 values", data)
    return tuple(
        (number, read_value(value, place.at(f"[{number - 1}]"), scope))
        for number, value in enumerate(data, start=1)
    )


def saved_names(steps: Sequence[object]) -> frozenset[str]:
    """What the steps of a case save, those inside others included."""
    names: set[str] = set()
    left: list[object] = list(steps)
    while left:
        step = left.pop()
        if isinstance(step, Mapping):
            if isinstance(step.get("save"), str):
                names.add(step["save"])
            for key in ("steps", "at_once"):
                if isinstance(step.get(key), list):
                    left += step[key]
    return frozenset(names)


def read_save(fields: Fields) -> str:
    """The name that a result is kept under; empty without one."""
    if "save" not in fields:
        return ""
    name = fields.take("save")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name) or f"${name}" in WORDS:
        taken = ", ".join(word[1:] for word in WORDS)
        fields.at("save").refuse(f"a name of letters, digits and _, but none of {taken}", name)
    return name
