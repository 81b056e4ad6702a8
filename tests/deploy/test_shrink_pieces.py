"""What can be taken away from a board."""

from deploy.loading import Overrides, check_board, resolve
from deploy.shrink.pieces import shorter_story, smaller_machine, unrolled
from proto.board import Board

BOARD = resolve("ten-cycles", Overrides(platform="quad"))


def size(board: Board) -> tuple[int, int, int, int]:
    scenario = board.scenario
    vcpus = sum(spec.vcpus for spec in scenario.domains)
    return board.platform.pes, vcpus, len(scenario.steps), len(scenario.points)


def test_each_machine_is_smaller_and_can_run() -> None:
    """A PE, a cluster, a vCPU or a domain less; never domain 0, never the last PE."""
    boards = list(smaller_machine(BOARD))

    assert boards
    for board in boards:
        check_board(board)
        assert sum(size(board)[:2]) < sum(size(BOARD)[:2])
        assert board.platform.pes >= 1
        assert any(spec.id == 0 for spec in board.scenario.domains)


def test_a_domain_takes_its_steps_and_points_with_it() -> None:
    """Nobody types on the console of a domain that is not there."""
    without = next(
        board
        for board in smaller_machine(BOARD)
        if [spec.id for spec in board.scenario.domains] == [0, 1]
    )

    assert all(step.domain != 2 for step in without.scenario.steps)
    assert not without.scenario.points


def test_each_story_is_shorter() -> None:
    """Steps go many at a time and one at a time; a step that waits for a point needs it armed."""
    boards = list(shorter_story(unrolled(BOARD)))
    left = {len(board.scenario.steps) for board in boards}

    whole = len(unrolled(BOARD).scenario.steps)
    assert whole - 1 in left
    assert min(left) <= whole // 2 + 1
    for board in boards:
        check_board(board)


def test_repetitions_are_written_out() -> None:
    """Ten cycles are ten times the steps of one."""
    assert all(step.repeat is None for step in unrolled(BOARD).scenario.steps)
    assert len(unrolled(BOARD).scenario.steps) > 50
