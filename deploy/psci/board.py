"""A fresh board for one case: its platform, no Xen, no domains."""

from pathlib import Path

import msgspec

from deploy.loading import DEPLOY, UsageError, code_hash
from deploy.psci.parse import FileCase, read_file
from proto.board import Board
from proto.scenario import DomainSpec, Profile, Role, Scenario
from proto.units import MS
from proto.vectors import ArmTimer, Loop, Poll, Step, Together, WaitMs
from services.bare.calls import QUIET_NS, SETTLE_NS

VECTORS = DEPLOY / "vectors"
BOOT_MS = 10_000
STEP_MS = (QUIET_NS + SETTLE_NS) // MS + 1_000
"""Board time that a step may take besides what it says itself."""

PROFILE = Profile(name="bare", title="no Xen", suspend_steps=())


def board_for(found: FileCase, seed: int) -> Board:
    """The board of a case. The driver ends it by itself; the time limit is what it may need."""
    scenario = Scenario(
        name=found.case.id,
        title=found.case.source,
        platform=found.platform.name,
        profile=PROFILE.name,
        seed=seed,
        time_limit_ms=BOOT_MS + longest_ms(found.case.steps),
        # Every scenario names a hardware domain; this board has no hypervisor that could run it.
        domains=(DomainSpec(id=0, role=Role.HARDWARE),),
        steps=(),
    )
    return Board(
        scenario=scenario,
        platform=found.platform,
        profile=PROFILE,
        code=code_hash(),
        vectors=found.case,
    )


def bare_board(file: str, case: str, seed: int) -> Board:
    """The board of one case of a file, given by name or path; raises `UsageError`."""
    path = VECTORS / f"{file}.yaml"
    cases = read_file(path if path.exists() else Path(file))
    for found in cases:
        if found.case.id == case:
            return board_for(found, seed)
    names = ", ".join(found.case.id for found in cases)
    raise UsageError(f"{file} has no case {case!r}; it has {names}")


def longest_ms(steps: tuple[Step, ...]) -> int:
    """Board time that steps may take at most, by what they say and what the driver allows."""
    return sum(_longest_ms(step) for step in steps)


def _longest_ms(step: Step) -> int:
    match step:
        case Loop(times=times, steps=steps):
            return times * longest_ms(steps)
        case Together(threads=threads):
            return sum(longest_ms(thread) for thread in threads)
        case WaitMs(duration_ms=duration_ms):
            return duration_ms
        case ArmTimer(after_ms=after_ms):
            return after_ms + STEP_MS
        case Poll(within_ms=within_ms):
            return within_ms + 2 * STEP_MS
    within_ms = getattr(step, "within_ms", 0)
    callers = len(getattr(step, "pes", ())) or 1
    return int(within_ms + callers * STEP_MS)


def with_seed(board: Board, seed: int) -> Board:
    """The same board with other choices."""
    return msgspec.structs.replace(
        board, scenario=msgspec.structs.replace(board.scenario, seed=seed)
    )
