"""The board of a case: its processes, its time limit, its driver's threads."""

import pytest
from vector_bench import case_text, cases_of

from deploy.composition import build_nodes, processes
from deploy.psci.board import board_for, longest_ms
from proto.board import Board
from proto.codec import decoder, encode
from services.bare.waiting import Script, Threads, Until

ALONE = "- {pe: C0, call: VERSION}"
AT_ONCE = "- at_once: [{pe: C0, call: VERSION}, {wait_ms: 1}]"
TOGETHER = "- repeat: 2\n  steps: [{pe: [C0, C1], call: VERSION, at_once: true}]"


def board_of(steps: str) -> Board:
    """The board of one case."""
    (found,) = cases_of(case_text(steps))
    return board_for(found, 0)


def test_a_bare_board_has_no_xen_and_no_domains() -> None:
    """Every node is hosted once, and none is a domain's."""
    board = board_of(ALONE)
    hosted = [node for nodes in processes(board).values() for node in nodes]

    assert sorted(hosted) == sorted(build_nodes(board))
    assert not [node for node in hosted if node.startswith(("dom", "tty"))]
    assert board.domains == ()


@pytest.mark.parametrize(("steps", "own"), [(ALONE, False), (AT_ONCE, True), (TOGETHER, True)])
def test_pes_that_act_at_once_have_processes_of_their_own(steps: str, own: bool) -> None:
    """Others share one, so that a board is built quickly."""
    table = processes(board_of(steps))

    assert ("pcpu3" in table) is own
    assert ("pcpus" in table) is not own


def test_a_board_with_a_case_survives_its_encoding() -> None:
    """As the journal's header and the processes of a live board need it."""
    board = board_of(TOGETHER)

    assert decoder(Board)(encode(board)) == board
    assert board.composition != board_of(ALONE).composition


def test_the_time_limit_counts_what_the_steps_may_wait() -> None:
    """Repetitions written out."""
    (found,) = cases_of(case_text("- repeat: 10\n  steps: [{wait_ms: 500}]"))

    assert longest_ms(found.case.steps) == 5_000
    assert board_for(found, 0).scenario.time_limit_ms > 5_000


def test_threads_go_on_as_far_as_they_can() -> None:
    """What one does lets another go on in the same turn."""
    threads, log = Threads(), []

    def first() -> Script:
        yield Until(lambda: "b" in log, 100)
        log.append("a")

    def second() -> Script:
        met = yield Until(lambda: threads.now > 5, 50)
        log.append("b" if met else "late")

    threads.start(first())
    threads.start(second())
    threads.now = 6
    threads.advance()

    assert log == ["b", "a"]


def test_a_deadline_resumes_its_thread() -> None:
    """And is told from a condition that was met."""
    threads, log = Threads(), []

    def script() -> Script:
        log.append((yield Until(lambda: False, 50)))

    ended = threads.start(script())

    assert threads.fired("thread0")
    assert (log, ended()) == ([False], True)
    assert not threads.fired("thread0")
