"""docs/PROTOCOL.md against the contracts: every name and every field, and nothing else."""

from pathlib import Path
from typing import Any, get_args

import pytest

from bus.frames import (
    Bye,
    Crash,
    Deliver,
    Ended,
    Go,
    Hello,
    Ping,
    Pong,
    Refused,
    Welcome,
)
from bus.journal import HubEventKind
from proto.messages import Body
from proto.permissions import BARE, TABLE, Row
from proto.traces import TraceBody
from proto.turn import (
    CancelTimer,
    Envelope,
    Fired,
    MessageId,
    Received,
    Send,
    SetTimer,
    Start,
    Trace,
    Turn,
)

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "PROTOCOL.md"

RECORDS = (
    *(Turn, Start, Received, Fired),
    *(Send, SetTimer, CancelTimer, Trace),
    *(MessageId, Envelope),
)
FRAMES = (Hello, Refused, Go, Deliver, Welcome, Ended, Bye, Ping, Pong, Crash)


def table_rows(heading: str) -> list[list[str]]:
    """Cells of all rows of the tables whose first column has this heading."""
    rows: list[list[str]] = []
    inside = False
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == heading:
            inside = True
        elif inside and not cells[0].startswith("---"):
            rows.append(cells)
    return rows


def named(heading: str, fields_column: int = 1) -> dict[str, list[str]]:
    """First column to the fields listed, both without their marks."""
    found: dict[str, list[str]] = {}
    for cells in table_rows(heading):
        name = cells[0].split("`")[1]
        assert name not in found, f"{name} stands twice under {heading}"
        fields = cells[fields_column].replace("`", "")
        found[name] = [] if fields == "-" else fields.split(", ")
    return found


def defined(classes: Any) -> dict[str, list[str]]:
    return {kind.__name__: list(kind.__struct_fields__) for kind in classes}


def test_every_message_stands_in_the_tables() -> None:
    """With its fields in their order; no table names a message that does not exist."""
    assert named("Message") == defined(get_args(Body))


def test_every_message_names_its_link() -> None:
    """The row of the latency table."""
    links = {cells[0].strip("`"): cells[4].strip("`") for cells in table_rows("Message")}

    assert links == {kind.__name__: kind.link for kind in get_args(Body)}


def test_every_trace_stands_in_the_table() -> None:
    """With its fields in their order; and no other."""
    assert named("Trace") == defined(get_args(TraceBody))


def test_turns_and_their_parts_stand_in_the_table() -> None:
    """What a journal is made of."""
    assert named("Record") == defined(RECORDS)


def test_frames_stand_in_the_table() -> None:
    """Between processes and hub; a turn's fields are listed with the turns."""
    found = named("Frame", fields_column=2)
    found.pop("Turn")

    assert found == defined(FRAMES)


def test_what_the_hub_notes_stands_in_the_table() -> None:
    """Every kind of record that is no turn."""
    kinds = [cells[0].strip("`") for cells in table_rows("HubEvent")]

    assert sorted(kinds) == sorted(get_args(HubEventKind))


NAMES = {role: f"{role}<N>" for role in ("pe", "dom", "tty", "client")} | {"el3": "el3.pe<N>"}


def as_written(row: Row) -> list[str]:
    """The cells of a row of the table of permissions."""
    only = ["own number"] * row.own + [row.condition] * bool(row.condition)
    sender, receiver = (NAMES.get(role, role) for role in (row.sender, row.receiver))
    types = ", ".join(kind.__name__ for kind in row.types)
    return [sender, receiver, types, ", ".join(only) or "-"]


def test_who_may_send_what_to_whom_stands_in_the_tables() -> None:
    """Row by row as it is enforced; every condition is explained, and no other."""
    written = [[cell.replace("`", "") for cell in cells] for cells in table_rows("Sender")]
    explained = {cells[0].strip("`") for cells in table_rows("Condition")}

    assert written == [as_written(row) for row in (*TABLE, *BARE)]
    assert explained == {row.condition for row in TABLE + BARE} - {""}


@pytest.mark.parametrize(
    "heading", ["Message", "Sender", "Condition", "Trace", "Record", "Frame", "HubEvent"]
)
def test_every_row_says_something(heading: str) -> None:
    """No empty cells."""
    assert all(all(cells) for cells in table_rows(heading))
