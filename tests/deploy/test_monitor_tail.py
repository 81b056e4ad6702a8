"""The monitor's tail: follows a journal that comes into being, grows and ends."""

import threading
from pathlib import Path

from bus.journal import Header, JournalWriter
from deploy.loading import resolve
from deploy.monitor import monitoring
from proto.ids import Incarnation, NodeId
from proto.traces import PeHalted
from proto.turn import Start, Trace, Turn


class Log:
    """A logger that remembers, and tells when it has something."""

    def __init__(self) -> None:
        self.said = threading.Event()
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **values: object) -> None:
        self.lines.append((event, values))
        self.said.set()

    warning = info


def halted(node: str) -> Turn:
    """A turn with a finding in it."""
    effects = (Trace(PeHalted("BUG")),)
    return Turn(NodeId(node), Incarnation(1), 0, Start(), 0, 0, effects)


def test_findings_are_logged_while_the_journal_grows(tmp_path: Path) -> None:
    """The journal may come later than the monitor."""
    board, log, path = resolve("baseline"), Log(), tmp_path / "journal"
    header = Header(world="live", seed=0, composition=board.composition, board=board)
    with monitoring(path, log), JournalWriter(path, header) as writer:
        writer.append(halted("pe1"))
        writer.flush()
        assert log.said.wait(10)
        writer.append(halted("pe2"))

    assert [values["text"] for _, values in log.lines] == ["pe1 halted: BUG", "pe2 halted: BUG"]


def test_a_run_without_a_journal_ends_the_monitor(tmp_path: Path) -> None:
    """The hub never came to create one."""
    log = Log()
    with monitoring(tmp_path / "journal", log):
        pass

    assert log.lines == []


def test_a_damaged_journal_ends_the_monitor_not_the_run(tmp_path: Path) -> None:
    """Its trouble is logged."""
    path, log = tmp_path / "journal", Log()
    path.write_bytes(b"\xc1 not a journal")
    with monitoring(path, log):
        assert log.said.wait(10)

    assert log.lines[0][0] == "monitor failed"
