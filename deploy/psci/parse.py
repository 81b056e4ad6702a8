"""A vector file, from text to cases: refused as a whole if anything in it is malformed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from deploy.loading import SIZE_MAX, UsageError
from deploy.psci.names import OPTIONAL
from deploy.psci.reader import INT_MAX, MISSING, Fields, Place, read_yaml
from deploy.psci.steps import bound_steps, read_steps
from deploy.psci.values import Scope, saved_names
from proto.platform import DRAM_BASE, DRAM_SIZE, Platform
from proto.vectors import VectorCase, entry_address, shared_interrupts

CLUSTERS = [2, 2]
INTIDS_MIN = 96
LOCAL_STATES = ("run", "standby", "power-down")
FORMATS = ("original", "extended")


@dataclass(frozen=True, slots=True)
class FileCase:
    """A case with the platform it runs on, and the file it stands in."""

    file: Path
    case: VectorCase
    platform: Platform


def read_file(path: Path) -> tuple[FileCase, ...]:
    """All cases of a file in their order; raises `UsageError` if anything in it is malformed."""
    try:
        if path.stat().st_size > SIZE_MAX:
            raise UsageError(f"{path}: expected at most {SIZE_MAX} bytes; is it the right file?")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected UTF-8 text at byte {error.start}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    return tuple(FileCase(path, case, platform) for case, platform in read_cases(text, str(path)))


def read_cases(text: str, file: str) -> list[tuple[VectorCase, Platform]]:
    """The cases of a file's text, each with its platform."""
    place = Place(file)
    fields = Fields(read_yaml(text, file), place, "a mapping of platform and cases")
    default = fields.take("platform", {})
    common = read_platform(default, fields.at("platform"))
    found: dict[str, tuple[VectorCase, Platform]] = {}
    for index, data in enumerate(fields.items("cases", "cases")):
        case, platform = _case(data, place, index, common)
        if case.id in found:
            place.at(f"cases[{index}].id").refuse("an id that no other case has", case.id)
        found[case.id] = (case, platform)
    fields.end()
    return list(found.values())


def _case(data: object, place: Place, index: int, common: Platform) -> tuple[VectorCase, Platform]:
    fields = Fields(data, place.at(f"cases[{index}]"), "a case: a mapping of id, source, steps")
    name = _text(fields, "id")
    if not name or not name.isprintable():
        fields.at("id").refuse("one line of text", name)
    inside = place.case_of(name)
    fields.place = inside
    source = " ".join(_text(fields, "source", "").split())
    platform = common
    if "platform" in fields:
        platform = read_platform(fields.take("platform"), inside.at("platform"))
    raw = fields.take("steps")
    saved = saved_names(raw) if isinstance(raw, list) else frozenset()
    steps = read_steps(raw, inside.at("steps"), Scope(platform.pes, saved))
    fields.end()
    bound_steps(steps, inside)
    case = VectorCase(id=name, source=source, steps=steps)
    return case, _wired(platform, case)


def _text(fields: Fields, key: str, default: str | None = None) -> str:
    """A text; YAML may have taken it for a number."""
    got = fields.take(key, MISSING if default is None else default)
    if isinstance(got, bool) or not isinstance(got, str | int | float):
        fields.at(key).refuse("a text", got)
    return str(got)


def _wired(platform: Platform, case: VectorCase) -> Platform:
    """The platform with room in its GIC for the case's interrupts, all of which can wake it."""
    sources = tuple(sorted(shared_interrupts(case)))
    intids = max(INTIDS_MIN, *((intid // 32 + 1) * 32 for intid in sources), 0)
    return msgspec.structs.replace(platform, wake_sources=sources, intids=intids)


# -- the platform


def read_platform(data: object, place: Place) -> Platform:
    """The platform block of a file or of a case; what it does not name has its default."""
    fields = Fields(data, place, "a mapping")
    raw: dict[str, Any] = {"name": "vectors"}
    raw["clusters"] = fields.take("clusters", CLUSTERS)
    _check_clusters(raw["clusters"], fields.at("clusters"))
    raw["ram"] = _ranges(fields.take("ram", [[DRAM_BASE, DRAM_SIZE]]), fields.at("ram"))
    raw["absent"] = _absent(fields.take("absent", []), fields.at("absent"))
    states = fields.take("power_states", None)
    if states is not None:
        raw["power_states"] = _power_states(states, fields.at("power_states"))
    if "power_state_format" in fields:
        raw["power_state_format"] = fields.word("power_state_format", FORMATS)
    fields.end()
    try:
        platform = msgspec.convert(raw, Platform)
        entry_address(platform)
    except (msgspec.ValidationError, ValueError) as error:
        place.refuse(f"a platform that can be: {error}", data)
    return platform


def _check_clusters(data: object, place: Place) -> None:
    """A list of PE counts, or of further lists of them, all equally deep."""

    def depth(inside: object, at: Place) -> int:
        if isinstance(inside, int) and not isinstance(inside, bool) and inside > 0:
            return 0
        if not isinstance(inside, list) or not inside:
            at.refuse("a number of PEs, or a list of what lies below", inside)
        depths = {depth(item, at.at(f"[{index}]")) for index, item in enumerate(inside)}
        if len(depths) > 1:
            at.refuse("lists that are equally deep", inside)
        return depths.pop() + 1

    if not isinstance(data, list) or not data:
        place.refuse("a list of clusters", data)
    depth(data, place)


def _ranges(data: object, place: Place) -> list[list[int]]:
    if not isinstance(data, list) or not data:
        place.refuse("a list of [base, size]", data)
    for index, item in enumerate(data):
        numbers = isinstance(item, list) and all(
            isinstance(number, int) and not isinstance(number, bool) for number in item
        )
        if not numbers or len(item) != 2 or not 0 <= item[0] < item[0] + item[1] <= INT_MAX:
            place.at(f"[{index}]").refuse("[base, size] in 64 bits", item)
    return data


def _absent(data: object, place: Place) -> list[str]:
    if not isinstance(data, list):
        place.refuse("a list of functions", data)
    for index, name in enumerate(data):
        if name not in OPTIONAL:
            place.at(f"[{index}]").refuse(f"one of {', '.join(OPTIONAL)}", name)
    return data


def _power_states(data: object, place: Place) -> Mapping[int, Sequence[str]]:
    if not isinstance(data, dict):
        place.refuse("a mapping of power_state values to lists of local states", data)
    for value, states in data.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
            place.refuse("a power_state of 32 bits", value)
        if not isinstance(states, list) or not states:
            place.at(f".{value:#x}").refuse("a list of local states", states)
        for state in states:
            if state not in LOCAL_STATES:
                place.at(f".{value:#x}").refuse(f"one of {', '.join(LOCAL_STATES)}", state)
    return data
