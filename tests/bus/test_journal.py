"""The journal: what was written is read, a torn tail costs one record, other files are refused."""

from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.journal import (
    SCHEMA,
    Header,
    HubEvent,
    JournalError,
    JournalWriter,
    Record,
    read_journal,
    tail_journal,
)
from proto.board import Board
from proto.codec import encode
from proto.ids import DRAM, Incarnation, NodeId
from proto.messages import FifoWrite, Load
from proto.traces import Phase
from proto.turn import (
    CancelTimer,
    Fired,
    MessageId,
    Received,
    Send,
    SetTimer,
    Start,
    Trace,
    Turn,
)

PE0 = NodeId("pe0")
ONE = Incarnation(1)

RECORDS: list[Record] = [
    Turn(PE0, ONE, 0, Start(), 0, 0, (Send(DRAM, Load(1, 0x8000_0000)),)),
    HubEvent("peer_up", "pcpu0", "", 5),
    Turn(DRAM, ONE, 0, Received(MessageId(PE0, ONE, 0)), 10, 0, ()),
    Turn(PE0, ONE, 1, Fired("bus"), 20, 1, (SetTimer("a", 30, 40), CancelTimer("b"))),
    Turn(PE0, ONE, 2, Fired("a"), 35, 1, (Trace(Phase("S0", "enter", "begin")),)),
    Turn(PE0, ONE, 3, Fired("x"), 36, 1, (Send(DRAM, FifoWrite(0xFF00_0000, bytes(70_000))),)),
    HubEvent("end", "hub", "done", 50),
]


def header_of(board: Board) -> Header:
    return Header(world="live", seed=7, composition=board.composition, board=board, time_scale=2.0)


def write(path: Path, board: Board, records: list[Record]) -> None:
    with JournalWriter(path, header_of(board)) as journal:
        for record in records:
            journal.append(record)


def test_what_was_written_is_read(tmp_path: Path, board: Board) -> None:
    """Header, turns and hub events come back equal and in order."""
    write(tmp_path / "j", board, RECORDS)

    journal = read_journal(tmp_path / "j")
    assert journal.header == header_of(board)
    assert journal.records == RECORDS
    assert not journal.torn


def test_the_same_records_give_the_same_bytes(tmp_path: Path, board: Board) -> None:
    """Nothing but header and records enters the file."""
    write(tmp_path / "a", board, RECORDS)
    write(tmp_path / "b", board, RECORDS)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_raw_and_typed_records_are_the_same(tmp_path: Path, board: Board) -> None:
    """A turn that arrived encoded is journalled as it stands."""
    write(tmp_path / "a", board, RECORDS)
    with JournalWriter(tmp_path / "b", header_of(board)) as journal:
        for record in RECORDS:
            journal.append_raw(encode(record))

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_any_torn_tail_costs_only_the_torn_record(tmp_path: Path, board: Board) -> None:
    """Cut anywhere behind the header, a journal gives every record that is complete."""
    records = RECORDS[:4]
    write(tmp_path / "j", board, records)
    data = (tmp_path / "j").read_bytes()
    ends = [len(encode(header_of(board)))]
    for record in records:
        ends.append(ends[-1] + len(encode(record)))

    for cut in range(ends[0], len(data) + 1):
        (tmp_path / "cut").write_bytes(data[:cut])
        journal = read_journal(tmp_path / "cut")
        complete = sum(end <= cut for end in ends) - 1
        assert journal.records == records[:complete]
        assert journal.torn == (cut not in ends)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_follower_sees_every_record_once(
    tmp_path_factory: pytest.TempPathFactory, board: Board, data: st.DataObject
) -> None:
    """However the file grows, polls together give the records in order."""
    folder = tmp_path_factory.mktemp("tail")
    write(folder / "j", board, RECORDS[:5])
    content = (folder / "j").read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    seen: list[Record] = []
    with (folder / "growing").open("wb", buffering=0) as file:
        tail = tail_journal(folder / "growing")
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            file.write(content[start:end])
            seen += tail.poll()

    assert seen == RECORDS[:5]
    assert tail.header == header_of(board)
    assert not tail.torn
    tail.close()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no complete header"),
        (b"\x7fELF junk", "does not begin with a header"),
        (b"name: scenario\n", "does not begin with a header"),
        (b"\xc1\xc1", "no MessagePack object at byte 0"),
        (msgpack.packb({"magic": "torpor-tape", "schema": 1}), "expected the mark"),
        (msgpack.packb({"magic": "torpor-journal", "schema": 99}), f"reads {SCHEMA}"),
        (msgpack.packb({"magic": "torpor-journal", "schema": SCHEMA}), "damaged header"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    """A file that is no journal, or of another schema, says so."""
    (tmp_path / "j").write_bytes(content)

    with pytest.raises(JournalError) as refusal:
        read_journal(tmp_path / "j")
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_damaged_record_is_named(tmp_path: Path, board: Board) -> None:
    """An object that is no record is refused with its position."""
    write(tmp_path / "j", board, RECORDS[:2])
    with (tmp_path / "j").open("ab") as file:
        file.write(msgpack.packb(["turn", 1]))

    with pytest.raises(JournalError, match="record 2 is damaged"):
        read_journal(tmp_path / "j")


def test_paths_that_cannot_be_opened_are_refused(tmp_path: Path, board: Board) -> None:
    """Missing files and folders give a JournalError, for readers and writers."""
    with pytest.raises(JournalError, match="cannot read"):
        read_journal(tmp_path / "missing")
    with pytest.raises(JournalError, match="cannot read"):
        read_journal(tmp_path)
    with pytest.raises(JournalError, match="cannot write"):
        JournalWriter(tmp_path / "no" / "j", header_of(board))
