"""Pieces of a board that can be taken away: PEs, domains, vCPUs, steps, points, patches."""

from collections.abc import Iterator

import msgspec

from deploy.loading import UsageError, check_board
from proto.board import Board
from proto.platform import Cluster, Platform
from proto.scenario import DomainSpec, PointAction, Scenario, Step, flatten


def smaller_machine(board: Board) -> Iterator[Board]:
    """Boards with one PE, domain or vCPU less; those that cannot run are left out."""
    return _runnable(_machines(board))


def shorter_story(board: Board) -> Iterator[Board]:
    """Boards with some steps, one point or one patch less; those that cannot run are left out."""
    return _runnable(_stories(board))


def _runnable(candidates: Iterator[Board]) -> Iterator[Board]:
    for candidate in candidates:
        try:
            check_board(candidate)
        except UsageError:
            continue
        yield candidate


def unrolled(board: Board) -> Board:
    """The same board with the repetitions of its steps written out."""
    return _with_scenario(board, steps=flatten(board.scenario.steps))


def _machines(board: Board) -> Iterator[Board]:
    scenario = board.scenario
    for clusters in _fewer_pes(board.platform):
        # Power states can be deeper than a smaller tree, and PEs that stay off have to exist.
        platform = _changed(board.platform, clusters=clusters)
        if platform is not None:
            yield msgspec.structs.replace(board, platform=platform)
    for spec in scenario.domains:
        if spec.id != 0:
            without = tuple(other for other in scenario.domains if other.id != spec.id)
            yield from _without_domain(board, spec, without)
    for index, spec in enumerate(scenario.domains):
        if spec.vcpus > 1:
            fewer = msgspec.structs.replace(spec, vcpus=spec.vcpus - 1)
            domains = (*scenario.domains[:index], fewer, *scenario.domains[index + 1 :])
            yield from _rebuilt(board, domains=domains)


def _stories(board: Board) -> Iterator[Board]:
    scenario = board.scenario
    yield from _fewer_steps(board)
    for index in range(len(scenario.points)):
        points = scenario.points[:index] + scenario.points[index + 1 :]
        yield from _rebuilt(board, points=points)
    if len(board.patches) > 1:
        for index in range(len(board.patches)):
            patches = board.patches[:index] + board.patches[index + 1 :]
            yield msgspec.structs.replace(board, patches=patches)


def _fewer_pes(platform: Platform) -> Iterator[tuple[Cluster, ...]]:
    """The last cluster less, then one PE less in each cluster of plain PEs."""
    clusters = platform.clusters
    if len(clusters) > 1:
        yield clusters[:-1]
    for index in range(len(clusters) - 1, -1, -1):
        size = clusters[index]
        if isinstance(size, int) and size > 1:
            yield (*clusters[:index], size - 1, *clusters[index + 1 :])


def _without_domain(
    board: Board, gone: DomainSpec, domains: tuple[DomainSpec, ...]
) -> Iterator[Board]:
    """A domain's steps and points go with it, and then also what Xen says of all domains."""
    steps = tuple(step for step in board.scenario.steps if step.domain != gone.id)
    mark = f"vpsci.SYSTEM_SUSPEND d{gone.id}"
    points = tuple(action for action in board.scenario.points if action.point != mark)
    reached = {action.point for action in points}
    steps = tuple(step for step in steps if step.reached is None or step.reached.point in reached)
    yield from _rebuilt(board, domains=domains, steps=steps, points=points)
    quiet = tuple(step for step in steps if step.expect is None or step.expect.domain is not None)
    if quiet != steps:
        yield from _rebuilt(board, domains=domains, steps=quiet, points=points)


def _fewer_steps(board: Board) -> Iterator[Board]:
    """Half of the steps, a quarter and so on, then each alone; the end first."""
    steps = board.scenario.steps
    size = len(steps) // 2
    while size >= 1:
        for start in range(len(steps) - size, -1, -size):
            yield from _rebuilt(board, steps=steps[:start] + steps[start + size :])
        size //= 2


def _rebuilt(
    board: Board,
    domains: tuple[DomainSpec, ...] | None = None,
    steps: tuple[Step, ...] | None = None,
    points: tuple[PointAction, ...] | None = None,
) -> Iterator[Board]:
    """The board with a part of its scenario replaced, if that still makes a scenario."""
    scenario = board.scenario
    changes = {
        "domains": scenario.domains if domains is None else domains,
        "steps": scenario.steps if steps is None else steps,
        "points": scenario.points if points is None else points,
    }
    try:
        yield _with_scenario(board, **changes)
    except ValueError:
        return


def _with_scenario(board: Board, **changes: object) -> Board:
    scenario: Scenario = msgspec.structs.replace(board.scenario, **changes)
    return msgspec.structs.replace(board, scenario=scenario)


def _changed(platform: Platform, **changes: object) -> Platform | None:
    try:
        return msgspec.structs.replace(platform, **changes)
    except ValueError:
        return None
