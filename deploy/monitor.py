"""The monitor process's work: tail the journal, keep advisory verdicts, log what is found.

It hosts no node and answers nobody. A fault of its own is logged and ends the monitoring, never the
run: the verdict that counts is the check of the finished journal.
"""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bus.journal import JournalError, JournalTail, tail_journal
from services.monitor.follow import Follower, Log

POLL_S = 0.2
"""How long a finding may wait to be logged."""


@contextmanager
def monitoring(journal: Path, log: Log) -> Iterator[None]:
    """Follow a journal in a thread while the body runs, and to its end afterwards."""
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(journal, log, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(path: Path, log: Log, stop: threading.Event) -> None:
    try:
        tail = _open(path, stop)
        if tail is not None:
            with closing(tail):
                _feed(tail, log, stop)
    except Exception as error:  # noqa: BLE001 - an adviser must not take the run with it
        log.warning("monitor failed", reason=f"{type(error).__name__}: {error}")


def _open(path: Path, stop: threading.Event) -> JournalTail | None:
    """The journal, once the hub has created it; None if the run ends before that."""
    while True:
        try:
            return tail_journal(path)
        except JournalError:
            if stop.wait(POLL_S):
                return None


def _feed(tail: JournalTail, log: Log, stop: threading.Event) -> None:
    follower: Follower | None = None
    stopping = False
    while True:
        records = tail.poll()
        if follower is None and tail.header is not None:
            follower = Follower(tail.header.board, tail.header.world, log)
        if follower is not None:
            follower.feed(records)
        if stopping:
            return
        # One more look after the end: the last records are the interesting ones.
        stopping = stop.wait(POLL_S)
