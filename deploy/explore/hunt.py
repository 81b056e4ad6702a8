"""Hunting a known bug: how many schedules until the property that is named in its file finds it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from deploy.explore.explorer import Progress, Result, explore
from deploy.loading import Overrides, UsageError, power_model, resolve
from deploy.patching import read_patch
from proto.board import Board
from proto.patch import Mutant, load_patch


@dataclass(frozen=True, slots=True)
class Hunt:
    """One exploration for one mutant: the number of schedules until it was caught, or None.

    `strategy` is what the schedule that caught it was drawn by; `crashes` and `others` count
    schedules before it in which a node raised or other properties were violated.
    """

    caught_after: int | None
    strategy: str
    crashes: int
    others: int


@dataclass(frozen=True, slots=True)
class Hunted:
    """A mutant with its hunts, one for each seed."""

    mutant: Mutant
    hunts: Sequence[Hunt]

    @property
    def caught(self) -> bool:
        """Whether every hunt has caught it."""
        return all(hunt.caught_after is not None for hunt in self.hunts)

    @property
    def schedules_median(self) -> float | None:
        """Schedules until it is caught, in the median; None if a hunt has failed."""
        if not self.caught:
            return None
        return statistics.median(hunt.caught_after or 0 for hunt in self.hunts)


def mutant_in(name: str) -> Mutant:
    """The description of a known bug, by id or file; raises `UsageError`."""
    found = load_patch(read_patch(name)).mutant
    if found is None:
        raise UsageError(f"{name} does not describe a known bug; see docs/HOWTO_TRY_A_PATCH.md")
    return found


def mutated(name: str, seed: int = 0) -> Board:
    """The board on which a known bug shows."""
    return resolve(mutant_in(name).scenario, _overrides(mutant_in(name), seed, (name,)))


def unmutated(name: str, seed: int = 0) -> Board:
    """The same board and scenario without the bug: no program and no row of its is replaced."""
    mutant = mutant_in(name)
    board = mutated(name, seed)
    plain = resolve(mutant.scenario, _overrides(mutant, seed, ()))
    return msgspec.structs.replace(board, profile=plain.profile, patches=())


def _overrides(mutant: Mutant, seed: int, names: tuple[str, ...]) -> Overrides:
    model = None if mutant.power is None else power_model(mutant.power)
    return Overrides(mutant.platform, mutant.profile, model, seed, names)


def is_caught(mutant: Mutant, result: Result) -> bool:
    """Whether a schedule shows the bug to the property that is named in its file."""
    return any(
        found.property == mutant.property and mutant.finding in found.text
        for found in result.surprises
    )


def hunt(name: str, seed: int, limit: int | None = None) -> Hunt:
    """Explore until the bug is caught, for as many schedules as its file allows, or `limit`."""
    mutant = mutant_in(name)
    schedules = mutant.schedules if limit is None else min(limit, mutant.schedules)
    progress = explore(
        mutated(name, seed),
        mutant.strategy,
        schedules,
        stop=lambda result: is_caught(mutant, result),
    )
    last = progress.failures[-1] if progress.failures else None
    caught = last is not None and is_caught(mutant, last)
    before = progress.failures[:-1] if caught else progress.failures
    return Hunt(
        caught_after=progress.done if caught else None,
        strategy=last.strategy if caught and last is not None else "",
        crashes=sum(bool(result.crash) for result in before),
        others=sum(not result.crash for result in before),
    )


def control(name: str, seed: int, schedules: int) -> Progress:
    """Explore the board without the bug; nothing may be found."""
    return explore(unmutated(name, seed), mutant_in(name).strategy, schedules)
