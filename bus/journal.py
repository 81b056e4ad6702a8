"""The journal: a header, then everything that crossed the hub, as a stream of MessagePack objects.

Records stand in hub order; a record's *position* is its index among the records, from 0. Writers
hand whole records to the operating system, so a killed process leaves at most one torn record at
the end of the file, and every record before it can be read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import msgpack  # type: ignore[import-untyped]  # the package ships no types
import msgspec

from proto.board import Board
from proto.codec import Undecodable, decoder, encode
from proto.turn import Turn

MAGIC = "torpor-journal"
SCHEMA = 1

_BUFFER_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 20

HubEventKind = Literal[
    "peer_up",
    "peer_down",
    "peer_slow",
    "peer_paused",
    "peer_back",
    "client_up",
    "client_down",
    "undeliverable",
    "undecodable",
    "unauthorised",
    "overflow",
    "flood",
    "stale",
    "end",
]


class JournalError(ValueError):
    """A file that is no journal this Torpor can read, or that cannot be written; one line."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First object of a journal: what it is a journal of, enough to replay it.

    `world` is `live` or `sim`; `composition` is the board's hash; one nanosecond of board time
    took `time_scale` nanoseconds of real time (1.0 in sim).
    """

    magic: str = MAGIC
    schema: int = SCHEMA
    world: str
    seed: int
    composition: str
    board: Board
    time_scale: float = 1.0


class HubEvent(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="hub"):
    """Something the hub itself saw: `who` is the peer or node it is about."""

    kind: HubEventKind
    who: str
    text: str
    now_ns: int


Record = Turn | HubEvent


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal as read: `torn` means that the file ends inside a record."""

    header: Header
    records: list[Record]
    torn: bool


class JournalWriter:
    """Writes a new journal; an existing file is replaced.

    Records are buffered until `flush`, `close` or 64 KiB. Raises `JournalError` if the file cannot
    be created; a disk that is full surfaces as OSError.
    """

    def __init__(self, path: Path, header: Header) -> None:
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise JournalError(f"cannot write journal {path}: {error.strerror}") from error
        self._buffer = bytearray(encode(header))
        self.flush()

    def append(self, record: Record) -> None:
        """Add a record."""
        self.append_raw(encode(record))

    def append_raw(self, data: bytes) -> None:
        """Add one record that is encoded already."""
        self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand everything so far to the operating system: it survives this process."""
        buffer = self._buffer
        while buffer:
            written = self._file.write(buffer)
            del buffer[:written]

    def close(self) -> None:
        """Flush and close the file; closing twice is allowed."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> "JournalWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class JournalTail:
    """Follows a journal that is being written.

    `header` is None until the file has a complete one. Raises `JournalError` like `read_journal`.
    """

    def __init__(self, path: Path) -> None:
        self.header: Header | None = None
        self._path = path
        self._file = _open(path)
        self._splitter = _Splitter(path)
        self._position = 0

    @property
    def torn(self) -> bool:
        """Whether the file, as far as it has been read, ends inside an object."""
        return self._splitter.torn or self.header is None

    def poll(self) -> list[Record]:
        """The complete records written since the last call, oldest first."""
        records: list[Record] = []
        while chunk := _read(self._file, self._path):
            objects = self._splitter.feed(chunk)
            if self.header is None and objects:
                self.header = _header(self._path, objects.pop(0))
            for data in objects:
                records.append(_record(self._path, self._position, data))
                self._position += 1
        return records

    def close(self) -> None:
        """Stop following."""
        self._file.close()


def tail_journal(path: Path) -> JournalTail:
    """A follower of a journal that may still grow."""
    return JournalTail(path)


def read_journal(path: Path) -> Journal:
    """All complete records of a journal.

    Raises `JournalError` with one line for a file that cannot be read, is no journal, is of another
    schema, or holds an object that is no record.
    """
    tail = JournalTail(path)
    try:
        records = tail.poll()
    finally:
        tail.close()
    if tail.header is None:
        raise JournalError(f"{path} is not a journal: it has no complete header")
    return Journal(tail.header, records, tail.torn)


class _Mark(msgspec.Struct):
    """The two fields of a header that every schema has."""

    magic: str
    schema: int


_decode_mark = decoder(_Mark)
_decode_header = decoder(Header)
_decode_record: Callable[[bytes], Record] = msgspec.msgpack.Decoder(Record).decode


class _Splitter:
    """Cuts a byte stream into complete MessagePack objects."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unpacker = msgpack.Unpacker(max_buffer_size=0)
        self._pending = bytearray()
        self._offset = 0

    @property
    def torn(self) -> bool:
        """Whether bytes of an incomplete object are left."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that are complete with these bytes."""
        unpacker, pending = self._unpacker, self._pending
        unpacker.feed(data)
        pending += data
        objects: list[bytes] = []
        start = 0
        try:
            while True:
                unpacker.skip()
                end = unpacker.tell() - self._offset
                objects.append(bytes(pending[start:end]))
                start = end
        except msgpack.OutOfData:
            pass
        except ValueError as error:
            raise JournalError(
                f"{self._path} is not a journal: no MessagePack object at byte "
                f"{self._offset + start}"
            ) from error
        del pending[:start]
        self._offset += start
        return objects


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise JournalError(f"cannot read journal {path}: {error.strerror}") from error


def _read(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.read(_CHUNK_BYTES)
    except OSError as error:
        raise JournalError(f"cannot read journal {path}: {error.strerror}") from error


def _header(path: Path, data: bytes) -> Header:
    try:
        mark = _decode_mark(data)
    except Undecodable as error:
        raise JournalError(f"{path} is not a journal: it does not begin with a header") from error
    if mark.magic != MAGIC:
        raise JournalError(
            f"{path} is not a journal: expected the mark {MAGIC!r}, found {mark.magic!r}"
        )
    if mark.schema != SCHEMA:
        raise JournalError(
            f"{path} is a journal of schema {mark.schema}; this Torpor reads {SCHEMA}"
        )
    try:
        return _decode_header(data)
    except Undecodable as error:
        raise JournalError(f"{path} has a damaged header: {error}") from error


def _record(path: Path, position: int, data: bytes) -> Record:
    try:
        return _decode_record(data)
    except msgspec.MsgspecError as error:
        raise JournalError(f"{path}: record {position} is damaged: {error}") from error
