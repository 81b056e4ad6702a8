"""One process of a live board: `python -m deploy.process --run DIR --name pcpu0 ...`.

Started by the supervisor only. It dies with its supervisor, however that ends, and writes JSON logs
to `DIR/logs/NAME.jsonl`; its last line on stderr says why it failed.
"""

import argparse
import ctypes
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from bus.clock import BoardClock
from bus.host import FIRST_LIFE, Host, Identity, RefusedByHub
from bus.hub import Plan
from bus.interconnect import Control, Interconnect
from bus.journal import Header, JournalWriter
from bus.link import Limits, Termination
from bus.runner import NodeCrash, Runner
from proto.board import Board
from proto.codec import Undecodable, decoder
from proto.ids import OPERATOR, NodeId
from proto.node import Node

INTERCONNECT = "interconnect"
"""Name of the process that runs the hub."""

MONITOR = "monitor"
"""Name of the process that follows the journal."""

EXIT_FAULT = 70
"""A node raised, or was sent what it cannot decode: a fault of the code, not of the host."""
EXIT_REFUSED = 78
"""The hub did not take this process in."""

_PR_SET_PDEATHSIG = 1


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What the processes of one run share besides the board; kept in the private run folder.

    `build` and `code` are `module:function`: build a node from board and node id, and hash the
    code that this process runs. `queue_limit` bounds the messages that wait for one process,
    `queued_frames` the frames inside each connection.
    """

    run: str
    token: str
    endpoint: str
    journal: str
    time_scale: float
    processes: dict[str, tuple[NodeId, ...]]
    build: str
    code: str
    queue_limit: int
    queued_frames: int


def main() -> None:
    """Entry point; exits 0 when terminated, else with one of the codes above."""
    args = _arguments()
    _die_with(args.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business.
    termination = Termination()
    termination.install()
    folder = Path(args.run)
    board = decoder(Board)((folder / "board.msgpack").read_bytes())
    session = decoder(Session)((folder / "session.msgpack").read_bytes())
    # A board is only run by the code it was resolved with; the hub compares the hashes.
    board = msgspec.structs.replace(board, code=_function(session.code)())
    log = _open_log(folder / "logs" / f"{args.name}.jsonl", session, board, args.name)
    build = cast(Callable[[Board, NodeId], Node], _function(session.build))
    nodes = {node: build(board, node) for node in session.processes[args.name]}
    log.info("built", nodes=list(nodes))
    try:
        if args.name == INTERCONNECT:
            _interconnect(board, session, nodes, socket.socket(fileno=args.control_fd), termination)
            return
        host = Host(
            Identity(args.name, board.composition, session.token),
            nodes,
            args.endpoint,
            board.scenario.seed,
            Limits(session.queued_frames),
            termination,
            lambda crash: _log_crash(log, crash),
        )
        with _advice(args.name, session, log):
            host.run()
    except NodeCrash as crash:
        _fail(str(crash), EXIT_FAULT)
    except Undecodable as error:
        log.error("undecodable", exc_info=True)
        _fail(str(error), EXIT_FAULT)
    except RefusedByHub as refusal:
        log.error("refused", reason=str(refusal))
        _fail(str(refusal), EXIT_REFUSED)
    finally:
        log.info("ended")


def _interconnect(
    board: Board,
    session: Session,
    nodes: Mapping[NodeId, Node],
    control: socket.socket,
    termination: Termination,
) -> None:
    """Run the hub and the nodes that it hosts itself."""
    others = {name: hosted for name, hosted in session.processes.items() if name != INTERCONNECT}
    header = Header(
        world="live",
        seed=board.scenario.seed,
        composition=board.composition,
        board=board,
        time_scale=session.time_scale,
    )
    Interconnect(
        Plan(
            others,
            board.composition,
            session.token,
            session.queue_limit,
            (OPERATOR,) if board.scenario.open else (),
        ),
        session.endpoint,
        JournalWriter(Path(session.journal), header),
        Runner(nodes, FIRST_LIFE, f"{board.scenario.seed}/{INTERCONNECT}"),
        BoardClock(session.time_scale),
        Control(control),
        Limits(session.queued_frames),
        termination,
    ).run()


def _advice(
    name: str, session: Session, log: structlog.typing.FilteringBoundLogger
) -> AbstractContextManager[None]:
    """What the monitor process does beside its place on the bus; the others do nothing."""
    if name != MONITOR:
        return nullcontext()
    # Only this process needs the judge's code.
    from deploy.monitor import monitoring

    return monitoring(Path(session.journal), log)


def _log_crash(log: structlog.typing.FilteringBoundLogger, crash: NodeCrash) -> None:
    log.error(
        "crashed",
        node=crash.node,
        virtual_time=crash.now,
        cause=None if crash.cause is None else list(msgspec.structs.astuple(crash.cause)),
        exc_info=crash.__cause__,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.process")
    parser.add_argument("--run", required=True, help="run folder")
    parser.add_argument("--name", required=True, help="name of this process")
    parser.add_argument("--parent", required=True, type=int, help="pid of the supervisor")
    parser.add_argument("--endpoint", default="", help="where the hub listens")
    parser.add_argument("--control-fd", default=-1, type=int, help="socket to the supervisor")
    return parser.parse_args()


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, also if that has just happened."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(0)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _fail(reason: str, code: int) -> None:
    sys.stderr.write(reason + "\n")
    sys.exit(code)


def _open_log(
    path: Path, session: Session, board: Board, process: str
) -> structlog.typing.FilteringBoundLogger:
    """A JSON-lines logger bound to what every line must say."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(path.open("a", encoding="utf-8", buffering=1)),
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(
        run=session.run, world="live", seed=board.scenario.seed, process=process
    )
    return logger


if __name__ == "__main__":
    main()
