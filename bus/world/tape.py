"""The tape: every choice of one run, enough to give the same journal again."""

from pathlib import Path

import msgspec

from proto.board import Board
from proto.codec import Undecodable, decoder, encode

MAGIC = "torpor-tape"
SCHEMA = 1


class TapeError(ValueError):
    """A file that is no tape this Torpor can read."""


class Tape(msgspec.Struct, frozen=True, kw_only=True):
    """The choices of a run with what they belong to.

    Latencies stand as offsets in nanoseconds from the least of their range, picks as indexes.
    """

    magic: str = MAGIC
    schema: int = SCHEMA
    composition: str
    board: Board
    strategy: str
    seed: int
    choices: tuple[int, ...]
    windows: bool = False
    """Whether the strategy picked orders only, see `bus.world.strategies`."""
    stopped_ns: int = 0
    """Board time at which the run was stopped before its scenario's time limit; 0 if it was not."""

    def write(self, path: Path) -> None:
        """Write the tape to a file."""
        path.write_bytes(encode(self))


_decode = decoder(Tape)


def read_tape(path: Path) -> Tape:
    """The tape in a file; raises `TapeError` with one line saying what was expected."""
    try:
        tape = _decode(path.read_bytes())
    except Undecodable as error:
        raise TapeError(f"{path} is not a tape: {error}") from error
    if tape.magic != MAGIC:
        raise TapeError(f"{path} is not a tape: expected the mark {MAGIC!r}, found {tape.magic!r}")
    if tape.schema != SCHEMA:
        raise TapeError(f"{path} is a tape of schema {tape.schema}; this Torpor reads {SCHEMA}")
    return tape
