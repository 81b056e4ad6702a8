"""What the processes of one run share besides the board, and the keys that they are given.

Everything lies in the run folder: the session and the board are no secret, each private key is for
its own process.
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bus.keys import Credentials, KeyPair, Keyring, make_keys, read_key, write_key
from bus.link import new_keys
from bus.runfolder import BOARD, KEYS, SESSION
from proto.board import Board
from proto.codec import decoder, encode
from proto.ids import CLIENT, HUB, NodeId

INTERCONNECT = "interconnect"
"""Name of the process that runs the hub."""

MONITOR = "monitor"
"""Name of the process that follows the journal."""

KEYS_VARIABLE = "TORPOR_KEYS"
"""Where a client's private key lies if it is not in the run folder."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """How the processes of one run find and prove each other.

    The endpoints are where the hub binds, for turns and for pulses; `ring` is None if the run is
    not secured. `build` and `code` are `module:function`: build a node from board and node id, and
    hash the code that this process runs. `queue_limit` bounds the messages that wait for one
    process, `queued_frames` the frames inside each connection.
    """

    run: str
    token: str
    endpoints: tuple[str, str]
    journal: str
    time_scale: float
    processes: dict[str, tuple[NodeId, ...]]
    build: str = "deploy.composition:build_node"
    code: str = "deploy.loading:code_hash"
    queue_limit: int = 16_384
    queued_frames: int = 4_096
    ring: Keyring | None = None


def new_token() -> str:
    """A word that only the processes of one run know."""
    return secrets.token_hex(16)


def issue_keys(processes: Iterable[str], folder: Path) -> Keyring:
    """Make the keys of a run and write each private one to a file named for its owner.

    Owners are the processes and `client`; the hub's key is the interconnect's. Raises
    `KeyFileError`.
    """
    ring, private = make_keys((name for name in processes if name != INTERCONNECT), new_keys)
    private[INTERCONNECT] = private.pop(HUB)
    for owner, pair in private.items():
        write_key(folder, owner, pair)
    return ring


def write_session(folder: Path, board: Board, session: Session) -> None:
    """Put board and session where the processes look for them."""
    (folder / BOARD).write_bytes(encode(board))
    (folder / SESSION).write_bytes(encode(session))


def read_session(folder: Path) -> tuple[Board, Session]:
    """Board and session of a run; raises OSError and `Undecodable`."""
    board = decoder(Board)((folder / BOARD).read_bytes())
    return board, decoder(Session)((folder / SESSION).read_bytes())


def own_keys(session: Session, keys: Path, process: str) -> KeyPair | None:
    """The keys of a process, None in a run that is not secured; raises `KeyFileError`."""
    return None if session.ring is None else read_key(keys, process)


def credentials(session: Session, keys: Path, process: str) -> Credentials | None:
    """What a process joins with, None in a run that is not secured; raises `KeyFileError`."""
    own = own_keys(session, keys, process)
    return None if own is None or session.ring is None else Credentials(own, session.ring.hub)


def client_credentials(session: Session, run: Path) -> Credentials | None:
    """What a person's command joins with: the client's key of the run folder, or `$TORPOR_KEYS`.

    Raises `KeyFileError`.
    """
    elsewhere = os.environ.get(KEYS_VARIABLE)
    return credentials(session, Path(elsewhere) if elsewhere else run / KEYS, CLIENT)
