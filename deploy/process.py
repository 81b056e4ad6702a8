"""One process of a live board: `python -m deploy.process --run DIR --name pcpu0 ...`.

Started by a supervisor, it dies with it, however that ends, and writes JSON logs to
`DIR/logs/NAME.jsonl`. As a container's only process it has none: it ends with the run, or when it
is told to, and logs to stdout. Its last line on stderr says why it failed.
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
from typing import Any, TextIO, cast

import msgspec
import structlog

from bus.clock import BoardClock
from bus.gate import Gate
from bus.host import FIRST_LIFE, Host, HubIsSilent, Identity, RefusedByHub, Watch
from bus.hub import Plan
from bus.interconnect import Control, Interconnect, Overseer
from bus.journal import Header, JournalWriter
from bus.keys import KeyFileError, KeyPair
from bus.link import Limits, LinkError, Lock, Termination
from bus.runfolder import KEYS, RunFolderError
from bus.runner import NodeCrash, Runner
from deploy.runstate import RunLog
from deploy.session import (
    INTERCONNECT,
    MONITOR,
    Session,
    credentials,
    own_keys,
    read_session,
)
from proto.board import Board
from proto.codec import Undecodable
from proto.ids import OPERATOR, NodeId
from proto.node import Node
from proto.permissions import permissions

EXIT_FAULT = 70
"""A node raised, or was sent what it cannot decode: a fault of the code, not of the host."""
EXIT_REFUSED = 78
"""The hub did not take this process in."""

EXIT_SILENT = 69
"""The hub has not been heard of for too long, or cannot be reached."""

ALIVE = Path("/tmp/alive")  # noqa: S108 - a container's own, which nobody else sees
"""What a container's process touches at each beat; its health is the age of this file."""

NOBODY = -1
"""No supervisor: the process is a container's."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Entry point; exits 0 when terminated or the run is over, else with one of the codes above."""
    args = _arguments()
    unattended = args.parent == NOBODY
    if not unattended:
        _die_with(args.parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business.
    termination = Termination()
    termination.install()
    folder = Path(args.run)
    board, session = read_session(folder)
    # A board is only run by the code it was resolved with; the hub compares the hashes.
    board = msgspec.structs.replace(board, code=_function(session.code)())
    stream = sys.stdout if unattended else _log_file(folder / "logs" / f"{args.name}.jsonl")
    log = _open_log(stream, session, board, args.name)
    build = cast(Callable[[Board, NodeId], Node], _function(session.build))
    nodes = {node: build(board, node) for node in session.processes[args.name]}
    log.info("built", nodes=list(nodes))
    keys = Path(args.keys) if args.keys else folder / KEYS
    try:
        if args.name == INTERCONNECT:
            own = own_keys(session, keys, INTERCONNECT)
            _interconnect(board, session, nodes, own, args.control_fd, termination)
            return
        host = Host(
            Identity(
                args.name,
                board.composition,
                session.token,
                credentials=credentials(session, keys, args.name),
            ),
            nodes,
            (args.endpoint, args.pulse) if args.endpoint else session.endpoints,
            board.scenario.seed,
            Limits(session.queued_frames),
            termination,
            lambda crash: _log_crash(log, crash),
            Watch(unattended=True, on_beat=ALIVE.touch) if unattended else None,
        )
        with _advice(args.name, session, log):
            host.run()
    except NodeCrash as crash:
        _fail(str(crash), EXIT_FAULT)
    except Undecodable as error:
        log.error("undecodable", exc_info=True)
        _fail(str(error), EXIT_FAULT)
    except (HubIsSilent, LinkError) as error:
        log.error("lost", reason=str(error))
        _fail(str(error), EXIT_SILENT)
    except (RefusedByHub, KeyFileError, RunFolderError) as refusal:
        log.error("refused", reason=str(refusal))
        _fail(str(refusal), EXIT_REFUSED)
    finally:
        log.info("ended")


def _interconnect(
    board: Board,
    session: Session,
    nodes: Mapping[NodeId, Node],
    own: KeyPair | None,
    control_fd: int,
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
    plan = Plan(
        others,
        board.composition,
        session.token,
        session.queue_limit,
        (OPERATOR,) if board.scenario.open else (),
        session.ring,
        permissions(board),
    )
    unattended = control_fd == NOBODY
    overseer: Overseer = (
        RunLog(board, session) if unattended else Control(socket.socket(fileno=control_fd))
    )
    Interconnect(
        plan,
        session.endpoints,
        JournalWriter(Path(session.journal), header),
        Runner(nodes, FIRST_LIFE, f"{board.scenario.seed}/{INTERCONNECT}"),
        BoardClock(session.time_scale),
        overseer,
        Limits(session.queued_frames),
        termination,
        None if own is None or session.ring is None else Lock(own, Gate(session.ring)),
        ALIVE.touch if unattended else None,
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
    parser.add_argument("--keys", default="", help="folder of this process's private key")
    parser.add_argument("--parent", default=NOBODY, type=int, help="pid of the supervisor")
    parser.add_argument("--endpoint", default="", help="where the hub listens for turns")
    parser.add_argument("--pulse", default="", help="where the hub feels pulses")
    parser.add_argument("--control-fd", default=NOBODY, type=int, help="socket to the supervisor")
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


def _log_file(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8", buffering=1)


def _open_log(
    stream: TextIO, session: Session, board: Board, process: str
) -> structlog.typing.FilteringBoundLogger:
    """A JSON-lines logger bound to what every line must say."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(
        run=session.run, world="live", seed=board.scenario.seed, process=process
    )
    return logger


if __name__ == "__main__":
    main()
