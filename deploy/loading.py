"""From names and files to a `Board`: everything a user wrote is checked before anything runs.

Any error is one line: which file, where in it, what was expected, what to do.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

import bus
import proto
import services
from deploy.points import expected_instead
from proto.board import Board
from proto.codec import encode
from proto.gic import SPI_FIRST
from proto.platform import IOMMU_SPI, POWER_MODELS, RTC_SPI, TTY_SPI, Platform
from proto.scenario import Profile, Scenario, domain_ids, placed

T = TypeVar("T")

DEPLOY = Path(__file__).parent
SIZE_MAX = 1 << 20
"""A scenario is written by hand: a larger file is something else."""

STEPS_MAX = 100_000
SEED_MAX = (1 << 63) - 1
REGISTER_MAX = (1 << 64) - 1
TIME_MAX = 86_400_000
"""A day in milliseconds; far more than a bench waits for, in either unit of a scenario."""

_NAMED_PLACE = re.compile(r"([a-z_]+(?:\[\d+\]|\.[a-z_]+)*): ")

_FOLDERS: dict[type, str] = {Scenario: "scenarios", Platform: "platforms", Profile: "profiles"}


class UsageError(Exception):
    """Something the user asked for cannot be: one line, exit code 2."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says; None leaves it to the scenario."""

    platform: str | None = None
    profile: str | None = None
    power_model: str | None = None
    seed: int | None = None


def resolve(scenario: str, overrides: Overrides = Overrides()) -> Board:
    """The board that a scenario, by path or name, describes: command line beats scenario.

    Raises `UsageError` for anything that cannot run.
    """
    path = locate(Scenario, scenario)
    wanted = load(Scenario, path)
    places = _places(path, overrides)
    wanted = msgspec.structs.replace(
        wanted,
        platform=_either(overrides.platform, wanted.platform),
        profile=_either(overrides.profile, wanted.profile),
        power_model=_either(overrides.power_model, wanted.power_model),
        seed=_either(overrides.seed, wanted.seed),
    )
    _check_numbers(wanted, path, places["seed"])
    if isinstance(wanted.power_model, str) and wanted.power_model not in POWER_MODELS:
        _refuse(places["power_model"], wanted.power_model, sorted(POWER_MODELS))
    platform = load(Platform, locate(Platform, wanted.platform, places["platform"]))
    profile_path = locate(Profile, wanted.profile, places["profile"])
    profile = load(Profile, profile_path)
    _check_profile(profile, profile_path)
    _check_scenario(wanted, platform, path)
    _check_points(wanted, platform, profile, path)
    board = Board(scenario=wanted, platform=platform, profile=profile, code=code_hash())
    try:
        encode(board)
    except OverflowError as error:
        raise UsageError(f"{path}: a number does not fit in 64 bits; choose a smaller") from error
    return board


def _either(override: T | None, otherwise: T) -> T:
    return otherwise if override is None else override


def _places(path: Path, overrides: Overrides) -> dict[str, str]:
    """Field to where its value came from: the option if there was one, else the scenario's file."""
    options = {"platform": "--platform", "profile": "--profile", "power_model": "--power"}
    return {
        field: f"{path}: at {field}"
        if getattr(overrides, field) is None
        else options.get(field, f"--{field}")
        for field in (*options, "seed")
    }


def locate(kind: type, name: str, place: str = "") -> Path:
    """The file that a path or a name stands for; names are looked up beside this module.

    `place` says where the name was given, for the error.
    """
    folder = DEPLOY / _FOLDERS[kind]
    known = sorted(found.stem for found in folder.glob("*.yaml"))
    said = f"{place}: " if place else ""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if path.stem in known and not path.exists():
            raise UsageError(f"{said}there is no file {name}; did you mean `{path.stem}`?")
        return path
    if name not in known:
        what = kind.__name__.lower()
        names = ", ".join(known) or "none"
        raise UsageError(
            f"{said}there is no {what} {name!r}; use one of {names}, or the path of a .yaml file"
        )
    return folder / f"{name}.yaml"


def load(kind: type[T], path: Path) -> T:
    """A scenario, platform or profile from its YAML file."""
    text = _read(path)
    try:
        data = yaml.safe_load(text)
        _bound_steps(data)
        return msgspec.convert(data, kind)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        problem = error.problem or error.context or "not readable"
        raise UsageError(f"{path}: at {where}: expected YAML, but {problem}; mend it") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: expected YAML text, but {error}; save it as UTF-8") from error
    except msgspec.ValidationError as error:
        raise UsageError(_describe(path, kind, str(error))) from error
    except (RecursionError, ValueError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{path}: expected a {kind.__name__}, but {problem}; mend it") from error


def code_hash() -> str:
    """Hash over the product's source: every .py file of proto, bus and services, by name."""
    digest = hashlib.sha256()
    for package in (bus, proto, services):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root.parent).as_posix()
            content = path.read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > SIZE_MAX:
            raise UsageError(f"{path}: expected at most {SIZE_MAX} bytes; is it the right file?")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        text = f"{path}: at byte {error.start}: expected UTF-8 text; is it the right file?"
        raise UsageError(text) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {reason}; check the path") from error


def _describe(path: Path, kind: type, text: str) -> str:
    """msgspec's message with its path in front: `file: at steps[2].irq: Expected ...`."""
    problem, _, where = text.partition(" - at `")
    where = where.rstrip("`").removeprefix("$").removeprefix(".")
    if not where:
        # A check of the whole says the place itself, if there is one.
        named = _NAMED_PLACE.match(problem)
        where, problem = (named[1], problem[named.end() :]) if named else ("the top", problem)
    schema = _FOLDERS[kind].removesuffix("s")
    return f"{path}: at {where}: {problem}; `torpor schema {schema}` shows what may stand there"


# -- what the types alone cannot say


def _bound_steps(data: object) -> None:
    """Repetitions multiply, and aliases too: count before anything is written out."""
    left = STEPS_MAX

    def count(steps: object, times: int) -> None:
        nonlocal left
        for step in steps if isinstance(steps, list) else ():
            left -= times
            if left < 0:
                raise ValueError(f"it has more than {STEPS_MAX} steps, repetitions written out")
            repeat = step.get("repeat") if isinstance(step, dict) else None
            if isinstance(repeat, dict) and isinstance(repeat.get("times"), int):
                count(repeat.get("steps"), times * max(repeat["times"], 1))

    if isinstance(data, dict):
        count(data.get("steps"), 1)


def _check_numbers(scenario: Scenario, path: Path, seed: str) -> None:
    """Times do not run backwards, and what goes into a register fits in it."""
    if not 0 <= scenario.seed <= SEED_MAX:
        text = f"expected 0 to {SEED_MAX}, got {scenario.seed}; choose a number inside"
        raise UsageError(f"{seed}: {text}")
    checks = [
        ("time_limit_ms", scenario.time_limit_ms, 1, TIME_MAX),
    ]
    for index, domain in enumerate(scenario.domains):
        checks.append((f"domains[{index}].context_id", domain.context_id, 0, REGISTER_MAX))
    for index, action in enumerate(scenario.points):
        where = f"points[{index}]"
        checks.append((f"{where}.occurrence", action.occurrence, 1, STEPS_MAX))
        checks.append((f"{where}.return_code", action.return_code, -(1 << 31), (1 << 31) - 1))
    for where, value in _times(scenario, ""):
        checks.append((where, value, 0, TIME_MAX))
    for where, value, low, high in checks:
        if not low <= value <= high:
            text = f"expected {low} to {high}, got {value}; choose a number inside"
            raise UsageError(f"{path}: at {where}: {text}")


def _times(value: object, where: str) -> Iterator[tuple[str, int]]:
    """Every field that is a time, by the unit at the end of its name, with its place."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _times(item, f"{where}[{index}]")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            field = getattr(value, name)
            place = f"{where}.{name}".removeprefix(".")
            if isinstance(field, int) and name.endswith(("_ms", "_us")):
                yield place, field
            else:
                yield from _times(field, place)


def _check_profile(profile: Profile, path: Path) -> None:
    known = suspend_steps()
    for index, step in enumerate(profile.suspend_steps):
        if step not in known:
            _refuse(f"{path}: at suspend_steps[{index}]", step, known)
    symbols = xen_symbols()
    for index, relink in enumerate(profile.relink):
        for field in ("symbol", "stand_in"):
            name = getattr(relink, field)
            if name not in symbols:
                raise UsageError(
                    f"{path}: at relink[{index}].{field}: Xen's image has no symbol {name!r}; "
                    "name an `async def` of services/pcpu/xen"
                )


def _check_scenario(scenario: Scenario, platform: Platform, path: Path) -> None:
    programs = guest_programs()
    for index, domain in enumerate(scenario.domains):
        if domain.program not in programs:
            _refuse(f"{path}: at domains[{index}].program", domain.program, programs)
    devices = devices_with_lines(scenario)
    for place, step in placed(scenario.steps):
        if step.irq is not None and step.irq not in devices:
            _refuse(f"{path}: at {place}.irq", step.irq, devices)
    for index, action in enumerate(scenario.points):
        if action.irq is not None and action.irq not in devices:
            _refuse(f"{path}: at points[{index}].irq", action.irq, devices)
    _check_interrupts(scenario, platform, path)


def _check_points(scenario: Scenario, platform: Platform, profile: Profile, path: Path) -> None:
    """Nothing ever stops at a point that no program has."""
    for index, action in enumerate(scenario.points):
        names = expected_instead(action.point, scenario, platform, profile)
        if names:
            board = f"{path}: at points[{index}].point, with platform {platform.name} and profile"
            _refuse(f"{board} {profile.name}", action.point, names)


def _check_interrupts(scenario: Scenario, platform: Platform, path: Path) -> None:
    """Every device's SPI, and every wake source, has to exist in the GIC."""
    intids = [RTC_SPI, IOMMU_SPI, *(TTY_SPI + domain for domain in domain_ids(scenario))]
    highest = max(intids)
    if highest >= platform.intids:
        raise UsageError(
            f"{path}: at domains: domain {highest - TTY_SPI} needs INTID {highest}, but platform "
            f"{platform.name} has {platform.intids}; raise its intids"
        )
    for intid in platform.wake_sources:
        if not SPI_FIRST <= intid < platform.intids:
            raise UsageError(
                f"platform {platform.name}: at wake_sources: expected SPIs from {SPI_FIRST} to "
                f"{platform.intids - 1}, got {intid}; remove it"
            )


def _refuse(place: str, got: str, known: Iterable[str]) -> None:
    expected = ", ".join(known)
    raise UsageError(f"{place}: expected one of {expected}, got {got!r}; choose one")


def devices_with_lines(scenario: Scenario) -> list[str]:
    """Nodes of devices whose interrupt line an operator can drive."""
    return ["rtc", "iommu", *(f"tty{domain}" for domain in domain_ids(scenario))]


def suspend_steps() -> list[str]:
    """Names of the rows of Xen's table of suspend steps, in the table's order."""
    from services.pcpu.xen.suspend import STEPS

    return list(STEPS)


def xen_symbols() -> frozenset[str]:
    """Names of all programs in Xen's image."""
    from services.pcpu.node import xen_image

    return frozenset(xen_image().links)


def guest_programs() -> list[str]:
    """Names of the programs that a guest can run."""
    from services.domain.programs import PROGRAMS

    return sorted(PROGRAMS)
