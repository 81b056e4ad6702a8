"""The supervisor of a board that stays up, in the background: `python -m deploy.daemon`.

Started by `torpor up` only, which writes an `Order` to its stdin and reads its `Word`s, one JSON
line each, from a pipe. It lives in a session of its own, so it survives the shell.
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from bus.runfolder import RunFolder, RunFolderError
from deploy.composition import processes
from deploy.supervisor import LiveEvent, LiveOptions, Supervisor
from proto.board import Board
from proto.codec import decoder


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What board to run, where (None: a fresh folder), how fast, over what and how secured."""

    board: Board
    folder: str | None
    time_scale: float
    transport: Literal["ipc", "tcp"]
    curve: bool


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of the order: `refused`, `running`, or how the run has ended."""

    state: str
    folder: str = ""
    reason: str = ""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m deploy.daemon")
    parser.add_argument("--report-fd", required=True, type=int, help="where words are written")
    report_fd: int = parser.parse_args().report_fd
    os.set_inheritable(report_fd, False)
    order = decoder(Order)(sys.stdin.buffer.read())

    def say(word: Word) -> None:
        with suppress(BrokenPipeError):  # `torpor up` has heard all it wanted.
            os.write(report_fd, msgspec.json.encode(word) + b"\n")

    try:
        folder = RunFolder(None if order.folder is None else Path(order.folder))
    except RunFolderError as error:
        say(Word(state="refused", reason=str(error)))
        return
    with folder:
        _log_to(folder.logs / "supervisor.err")
        where = str(folder.path)

        def on_event(event: LiveEvent) -> None:
            if event.kind == "started":
                say(Word(state="running", folder=where))

        options = LiveOptions(
            time_scale=order.time_scale,
            transport=order.transport,
            curve=order.curve,
            tell_growth=False,
        )
        result = Supervisor(order.board, folder, processes(order.board), options, on_event).run()
    say(Word(state=result.outcome, folder=where, reason=result.died or result.reason))


def _log_to(path: Path) -> None:
    """What this process prints from now on is for a file: the shell goes its own way."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


if __name__ == "__main__":
    main()
