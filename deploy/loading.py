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
from proto.board import Board
from proto.codec import encode
from proto.gic import SPI_FIRST
from proto.platform import IOMMU_SPI, POWER_MODELS, RTC_SPI, TTY_SPI, Platform
from proto.scenario import Profile, Scenario, domain_ids, flatten

T = TypeVar("T")

DEPLOY = Path(__file__).parent
SIZE_MAX = 1 << 20
"""A scenario is written by hand: a larger file is something else."""

STEPS_MAX = 100_000
SEED_MAX = (1 << 63) - 1
REGISTER_MAX = (1 << 64) - 1
TIME_MAX = 86_400_000
"""A day in milliseconds; far more than a bench waits for, in either unit of a scenario."""

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
    wanted = msgspec.structs.replace(
        wanted,
        platform=overrides.platform or wanted.platform,
        profile=overrides.profile or wanted.profile,
        power_model=overrides.power_model or wanted.power_model,
        seed=wanted.seed if overrides.seed is None else overrides.seed,
    )
    _check_numbers(wanted, path)
    platform = load(Platform, locate(Platform, wanted.platform))
    profile_path = locate(Profile, wanted.profile)
    profile = load(Profile, profile_path)
    _check_profile(profile, profile_path)
    _check_scenario(wanted, platform, path)
    board = Board(scenario=wanted, platform=platform, profile=profile, code=code_hash())
    try:
        encode(board)
    except OverflowError as error:
        raise UsageError(f"{path}: a number does not fit in 64 bits; choose a smaller") from error
    return board


def locate(kind: type, name: str) -> Path:
    """The file that a path or a name stands for; names are looked up beside this module."""
    folder = DEPLOY / _FOLDERS[kind]
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    path = folder / f"{name}.yaml"
    if not name or not path.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.yaml"))) or "none"
        what = kind.__name__.lower()
        raise UsageError(
            f"there is no {what} {name!r}; use one of {known}, or the path of a .yaml file"
        )
    return path


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
    where = where.rstrip("`").removeprefix("$").removeprefix(".") or "the top"
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


def _check_numbers(scenario: Scenario, path: Path) -> None:
    """Times do not run backwards, and what goes into a register fits in it."""
    checks = [
        ("seed", scenario.seed, 0, SEED_MAX),
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
            _refuse(path, f"suspend_steps[{index}]", step, known)


def _check_scenario(scenario: Scenario, platform: Platform, path: Path) -> None:
    if scenario.power_model not in POWER_MODELS:
        _refuse(path, "power_model", scenario.power_model, sorted(POWER_MODELS))
    programs = guest_programs()
    for index, domain in enumerate(scenario.domains):
        if domain.program not in programs:
            _refuse(path, f"domains[{index}].program", domain.program, programs)
    devices = devices_with_lines(scenario)
    for index, step in enumerate(flatten(scenario.steps)):
        if step.irq is not None and step.irq not in devices:
            _refuse(path, f"irq of step {index}", step.irq, devices)
    for index, action in enumerate(scenario.points):
        where = f"points[{index}]"
        if action.irq is not None and action.irq not in devices:
            _refuse(path, f"{where}.irq", action.irq, devices)
        for cpu in re.findall(r"\bpe(\d+)\b", action.point):
            if int(cpu) >= platform.pes:
                names = [f"pe{index}" for index in platform.cpus]
                _refuse(path, f"{where}.point", f"pe{cpu}", names)
    _check_interrupts(scenario, platform, path)


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


def _refuse(path: Path, where: str, got: str, known: Iterable[str]) -> None:
    expected = ", ".join(known)
    raise UsageError(f"{path}: at {where}: expected one of {expected}, got {got!r}; choose one")


def devices_with_lines(scenario: Scenario) -> list[str]:
    """Nodes of devices whose interrupt line an operator can drive."""
    return ["rtc", "iommu", *(f"tty{domain}" for domain in domain_ids(scenario))]


def suspend_steps() -> list[str]:
    """Names of the rows of Xen's table of suspend steps, in the table's order."""
    from services.pcpu.xen.suspend import STEPS

    return list(STEPS)


def guest_programs() -> list[str]:
    """Names of the programs that a guest can run."""
    from services.domain.programs import PROGRAMS

    return sorted(PROGRAMS)
