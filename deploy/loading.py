"""From names and files to a `Board`: everything a user wrote is checked before anything runs.

Any error is one line: which file, where in it, what was expected, what to do.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

import bus
import proto
import services
from deploy.patching import changed, image_symbols, read_patch
from deploy.points import expected_instead
from proto.board import Board
from proto.codec import encode
from proto.gic import SPI_FIRST
from proto.patch import XEN, Patch, PatchError
from proto.platform import POWER_MODELS, TTY_SPI, Platform, PowerModel, Retention, interrupt_sources
from proto.scenario import DomainSpec, Profile, Scenario, domain_ids, placed

T = TypeVar("T")
P = TypeVar("P", Scenario, Platform, Profile)

DEPLOY = Path(__file__).parent
SIZE_MAX = 1 << 20
"""A scenario is written by hand: a larger file is something else."""

STEPS_MAX = 100_000
SEED_MAX = (1 << 63) - 1
REGISTER_MAX = (1 << 64) - 1
TIME_MAX = 86_400_000
"""A day in milliseconds; far more than a bench waits for, in either unit of a scenario."""
MEMORY_MB_MAX = 1 << 20
WATCHDOG_S_MAX = 3600

_NAME = re.compile(r"[A-Za-z][\w.+-]*", re.ASCII)
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
    power_model: PowerModel | None = None
    seed: int | None = None
    mutants: tuple[str, ...] = ()
    """Ids of known bugs, and paths of patch files."""


def resolve(scenario: str, overrides: Overrides = Overrides()) -> Board:
    """The board that a scenario, by path or name, describes: command line beats scenario.

    Raises `UsageError` for anything that cannot run.
    """
    path = locate(Scenario, scenario)
    patches = _patches(overrides.mutants)
    wanted = _patched(patches, load(Scenario, path))
    places = _places(path, overrides)
    wanted = msgspec.structs.replace(
        wanted,
        platform=_either(overrides.platform, wanted.platform),
        profile=_either(overrides.profile, wanted.profile),
        power_model=_either(overrides.power_model, wanted.power_model),
        seed=_either(overrides.seed, wanted.seed),
    )
    _check_numbers(wanted, path, places["seed"])
    _check_power_model(wanted.power_model, places["power_model"])
    found = load(Platform, locate(Platform, wanted.platform, places["platform"]))
    platform = _patched(patches, found)
    profile_path = locate(Profile, wanted.profile, places["profile"])
    profile = _patched(patches, load(Profile, profile_path))
    _check_profile(profile, profile_path)
    _check_scenario(wanted, platform, path)
    _check_points(wanted, platform, profile, path)
    board = Board(
        scenario=wanted, platform=platform, profile=profile, code=code_hash(), patches=patches
    )
    try:
        encode(board)
    except OverflowError as error:
        raise UsageError(f"{path}: a number does not fit in 64 bits; choose a smaller") from error
    return board


def _patches(names: Sequence[str]) -> tuple[Patch, ...]:
    try:
        return tuple(read_patch(name) for name in names)
    except PatchError as error:
        raise UsageError(f"--mutant: {error}") from error


def _patched(patches: Sequence[Patch], value: P) -> P:
    try:
        return changed(patches, value)
    except PatchError as error:
        raise UsageError(f"--mutant: {error}") from error


def check_board(board: Board) -> None:
    """Refuse a board that was put together from parts and cannot run; raises `UsageError`."""
    scenario, path = board.scenario, Path(board.scenario.name)
    _check_scenario(scenario, board.platform, path)
    _check_points(scenario, board.platform, board.profile, path)


def standing(scenario: str, overrides: Overrides) -> Board:
    """Like `resolve`, for a board that stays up when the scenario's steps are done."""
    board = resolve(scenario, overrides)
    opened = msgspec.structs.replace(board.scenario, open=True)
    return msgspec.structs.replace(board, scenario=opened)


def power_model(text: str) -> PowerModel:
    """What `--power` says: a model's name, or `BLOCK=lost|retained,...`."""
    if "=" not in text:
        return text
    model: dict[str, Retention] = {}
    for part in text.split(","):
        block, _, word = (piece.strip() for piece in part.partition("="))
        known = [retention.value for retention in Retention]
        if word not in known:
            _refuse(f"--power: at {block or part!r}", word, known)
        if block in model:
            raise UsageError(f"--power: {block} is given twice; say once what it does")
        model[block] = Retention(word)
    return model


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


def _check_power_model(model: PowerModel, place: str) -> None:
    if isinstance(model, str):
        if model not in POWER_MODELS:
            by_block = "BLOCK=lost|retained" if place.startswith("--") else "a mapping of blocks"
            _refuse(place, model, [*sorted(POWER_MODELS), by_block])
        return
    blocks = list(POWER_MODELS["all-lost"])
    for block in model:
        if block not in blocks:
            _refuse(place, block, blocks)


def _check_profile(profile: Profile, path: Path) -> None:
    known = suspend_steps()
    for index, step in enumerate(profile.suspend_steps):
        if step not in known:
            _refuse(f"{path}: at suspend_steps[{index}]", step, known)
    symbols = image_symbols(XEN)
    for index, relink in enumerate(profile.relink):
        for field in ("symbol", "stand_in"):
            name = getattr(relink, field)
            if name not in symbols:
                raise UsageError(
                    f"{path}: at relink[{index}].{field}: Xen's image has no symbol {name!r}; "
                    "name an `async def` of services/pcpu/xen"
                )


def _check_scenario(scenario: Scenario, platform: Platform, path: Path) -> None:
    _check_domains(scenario.domains, path)
    for place, step in placed(scenario.steps):
        _check_source(scenario, step.irq, f"{path}: at {place}.irq")
        if step.waking is not None:
            _check_source(scenario, step.waking.source, f"{path}: at {place}.wake")
    for index, action in enumerate(scenario.points):
        _check_source(scenario, action.irq, f"{path}: at points[{index}].irq")
    _check_interrupts(scenario, platform, path)


def _check_domains(domains: Sequence[DomainSpec], path: Path) -> None:
    """Programs exist, and a name stands for one domain, whatever a toolstack takes for an id."""
    programs = guest_programs()
    titles: set[str] = set()
    for index, domain in enumerate(domains):
        place = f"{path}: at domains[{index}]"
        if domain.program not in programs:
            _refuse(f"{place}.program", domain.program, programs)
        if _NAME.fullmatch(domain.title) is None or domain.title.isdecimal():
            text = f"expected a letter, then letters, digits and -_.+, got {domain.title!r}"
            raise UsageError(f"{place}.name: {text}; choose such a name")
        if domain.title in titles:
            raise UsageError(f"{place}.name: {domain.title!r} is another domain's; choose another")
        titles.add(domain.title)
        for field, value, high in (
            ("memory_mb", domain.memory_mb, MEMORY_MB_MAX),
            ("watchdog_s", domain.watchdog_s, WATCHDOG_S_MAX),
        ):
            low = 1 if field == "memory_mb" else 0
            if not low <= value <= high:
                text = f"expected {low} to {high}, got {value}"
                raise UsageError(f"{place}.{field}: {text}; choose a number inside")


def _check_source(scenario: Scenario, source: str | int | None, place: str) -> None:
    """A device that has an interrupt line, by its name or its INTID."""
    known = interrupt_sources(domain_ids(scenario))
    if source is not None and source not in known and source not in known.values():
        _refuse(place, source, [f"{node} ({intid})" for intid, node in known.items()])


def _check_points(scenario: Scenario, platform: Platform, profile: Profile, path: Path) -> None:
    """Nothing ever stops at a point that no program has."""
    for index, action in enumerate(scenario.points):
        names = expected_instead(action.point, scenario, platform, profile)
        if names:
            board = f"{path}: at points[{index}].point, with platform {platform.name} and profile"
            _refuse(f"{board} {profile.name}", action.point, names)


def _check_interrupts(scenario: Scenario, platform: Platform, path: Path) -> None:
    """Every device's SPI, and every wake source, has to exist in the GIC."""
    highest = max(interrupt_sources(domain_ids(scenario)))
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


def _refuse(place: str, got: object, known: Iterable[str]) -> None:
    expected = ", ".join(known)
    raise UsageError(f"{place}: expected one of {expected}, got {got!r}; choose one")


def suspend_steps() -> list[str]:
    """Names of the rows of Xen's table of suspend steps, in the table's order."""
    from services.pcpu.xen.suspend import STEPS

    return list(STEPS)


def guest_programs() -> list[str]:
    """Names of the programs that a guest can run."""
    from services.domain.programs import PROGRAMS

    return sorted(PROGRAMS)
