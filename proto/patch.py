"""Patches: a user's source file that relinks symbols of an image and changes rows of tables.

A board carries the text of its patches, so every process, tape and journal of a run has the same
ones. This module is what a patch file imports, and the whole of what it may rely on:

    from proto.patch import original, relink_xen
    from services.pcpu.xen.smpboot import stop_cpu

    @relink_xen
    async def stop_cpu(pe):
        ...

Beside programs a file may define `change_profile`, `change_platform` and `change_scenario`; each
takes what the run would use and gives what it shall use instead. `MUTANT` describes a known bug.
"""

import functools
import inspect
import linecache
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Final, TypeVar, cast

import msgspec

from proto.image import Program
from proto.platform import Platform
from proto.scenario import Profile, Relink, Scenario

S = TypeVar("S", Profile, Platform, Scenario)

XEN: Final = "services.pcpu.xen"
FIRMWARE: Final = "services.firmware"
PACKAGES: Final = {XEN: "Xen's image", FIRMWARE: "the firmware's image"}
"""Packages that are images, by what people call them."""


class PatchError(ValueError):
    """A patch that cannot be used; one line that says where and why."""


class Patch(msgspec.Struct, frozen=True):
    """The name of a patch file, and its text."""

    name: str
    text: str


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A known bug: where it was seen, what it breaks and where to look for it.

    `source` is public: a mail by subject and date, or a commit. `property` is the property that is
    expected to catch it, by a finding that contains `finding`. `section` is A (guest suspend), B
    (processors), C (interrupt controller) or D (timers and platform); `confidence` is how sure its
    source is. `strategy` explores it best; `schedules` bounds the search.
    """

    id: str
    title: str
    source: str
    section: str
    confidence: str
    property: str
    finding: str = ""
    core: bool = False
    scenario: str = "baseline"
    profile: str = "baseline"
    platform: str | None = None
    power: str | None = None
    strategy: str = "portfolio"
    schedules: int = 2000


class _Collected(dict[str, dict[str, Program]]):
    """Programs of the patch that is being executed, by package and symbol."""


_collecting: list[_Collected] = []


def _relink(package: str, program: Program) -> Program:
    if not _collecting:
        raise PatchError("a program is relinked only while its patch is loaded for a board")
    if not inspect.iscoroutinefunction(program):
        raise PatchError(f"{program.__name__} is no `async def`; programs are")
    _collecting[-1].setdefault(package, {})[program.__name__] = program
    return program


def relink_xen(program: Program) -> Program:
    """Put this program in the place of the symbol of its name in Xen's image."""
    return _relink(XEN, program)


def relink_firmware(program: Program) -> Program:
    """Put this program in the place of the symbol of its name in the firmware's image."""
    return _relink(FIRMWARE, program)


def original(program: Callable[..., object]) -> Program:
    """The program as it was written, whatever the image puts in its place."""
    found = getattr(program, "__wrapped__", None)
    if found is None:
        raise PatchError(f"{program!r} is not a symbol of an image")
    return cast(Program, found)


def stand_in(profile: Profile, symbol: str, name: str) -> Profile:
    """The profile with one more row in its table of stand-ins; an older row of the symbol goes."""
    rows = tuple(row for row in profile.relink if row.symbol != symbol)
    return msgspec.structs.replace(profile, relink=(*rows, Relink(symbol=symbol, stand_in=name)))


def move_step(profile: Profile, step: str, before: str | None) -> Profile:
    """The profile with a suspend step moved in front of another, to the end (`""`) or out (None).

    Raises `PatchError` for a step that the profile does not have.
    """
    for name in (step, before):
        if name and name not in profile.suspend_steps:
            known = ", ".join(profile.suspend_steps)
            raise PatchError(f"profile {profile.name} has no step {name!r}; it has {known}")
    if step == before:
        return profile
    steps = [name for name in profile.suspend_steps if name != step]
    if before is not None:
        steps.insert(steps.index(before) if before else len(steps), step)
    return msgspec.structs.replace(profile, suspend_steps=tuple(steps))


class Loaded:
    """What a patch's text defines: programs by package and symbol, changes and a description."""

    def __init__(self, links: Mapping[str, Mapping[str, Program]], module: ModuleType) -> None:
        self.links = links
        self._module = module

    @property
    def mutant(self) -> Mutant | None:
        """Its description as a known bug; None for a user's own patch."""
        found = getattr(self._module, "MUTANT", None)
        if found is not None and not isinstance(found, Mutant):
            raise PatchError(f"MUTANT: expected a proto.patch.Mutant, got {type(found).__name__}")
        return found

    def changed(self, value: S) -> S:
        """A profile, platform or scenario as this patch wants it."""
        name = f"change_{type(value).__name__.lower()}"
        change = getattr(self._module, name, None)
        if change is None:
            return value
        result: S = change(value)
        if type(result) is not type(value):
            kind = type(value).__name__
            raise PatchError(f"{name}: expected a {kind}, got {type(result).__name__}")
        return result


@functools.lru_cache(maxsize=256)
def load_patch(patch: Patch) -> Loaded:
    """Execute the text of a patch; raises `PatchError` with the line at which it failed."""
    filename = f"<patch {patch.name}>"
    # Tracebacks then show the patch's own lines.
    linecache.cache[filename] = (len(patch.text), None, patch.text.splitlines(True), filename)
    module = ModuleType(f"torpor_patch_{patch.name}")
    collected = _Collected()
    _collecting.append(collected)
    try:
        exec(compile(patch.text, filename, "exec"), module.__dict__)  # noqa: S102 - the user's own
    except SyntaxError as error:
        raise PatchError(f"line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise PatchError(f"line {_line(error, filename)}: {said}") from error
    finally:
        _collecting.pop()
    return Loaded(collected, module)


def _line(error: BaseException, filename: str) -> int:
    """The last line of the patch on the way to an error."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def relinked(patches: Sequence[Patch], package: str) -> dict[str, Program]:
    """Programs of an image that patches replace; of two that replace one symbol the later wins."""
    programs: dict[str, Program] = {}
    for patch in patches:
        programs.update(load_patch(patch).links.get(package, {}))
    return programs
