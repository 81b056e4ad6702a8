"""One run in the live world: real processes, followed through the journal they write."""

from collections.abc import Callable, Sequence

from bus.journal import JournalError, JournalTail, Record, tail_journal
from bus.runfolder import RunFolder
from deploy.composition import processes
from deploy.supervisor import LiveEvent, LiveOptions, LiveResult, Supervisor
from proto.board import Board


def run_live(
    board: Board,
    folder: RunFolder,
    options: LiveOptions,
    on_records: Callable[[Sequence[Record]], None],
    on_pids: Callable[[dict[str, int]], None] | None = None,
) -> LiveResult:
    """Run a board on processes until the scenario, the time or a process ends.

    `on_records` is told what the journal has grown by, `on_pids` the processes once all have
    started.
    """
    tail: JournalTail | None = None

    def on_event(event: LiveEvent) -> None:
        nonlocal tail
        if on_pids is not None and event.kind == "started":
            on_pids(dict(event.pids))
        if tail is None:
            try:
                tail = tail_journal(event.journal)
            except JournalError:  # The hub has not created it yet; the next event finds it.
                return
        on_records(tail.poll())

    try:
        return Supervisor(board, folder, processes(board), options, on_event).run()
    finally:
        if tail is not None:
            tail.close()
