"""A sequence diagram of a few messages, as Mermaid text and as SVG."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from deploy.shrink.essence import Row
from proto.units import US

LANE: Final = 230
"""Width of a lane in pixels."""
TOP: Final = 64
STEP: Final = 30
NOTE: Final = 17
MARGIN: Final = 110
"""Room for the times on the left."""

STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#1b1f24}"
    ".time{fill:#57606a;font-size:11px}.name{font-weight:600;font-size:13px}"
    ".lane{stroke:#afb8c1}.box{fill:#eef2f6;stroke:#8c959f}"
    ".message{stroke:#1b1f24;fill:none}.decisive{stroke:#b3261e;stroke-width:2.4;fill:none}"
    ".badge{fill:#b3261e}.digit{fill:#fff;font-weight:700;font-size:11px}"
    ".note{fill:#57606a;font-size:11px;font-style:italic}.proof{fill:#b3261e;font-weight:600}"
)


def mermaid(rows: Sequence[Row]) -> str:
    """The diagram as Mermaid text; the decisive pair is numbered, and stands on red."""
    return "\n".join(_mermaid(rows)) + "\n"


def _mermaid(rows: Sequence[Row]) -> Iterator[str]:
    yield "sequenceDiagram"
    for lane in _lanes(rows):
        yield f"    participant {_identifier(lane)} as {lane}"
    for row in rows:
        node = _identifier(row.node)
        source = _identifier(row.src or row.node)
        number = f"({row.mark}) " if row.mark else ""
        if row.mark:
            yield "    rect rgb(255, 226, 224)"
        yield f"    {source}->>{node}: {number}{_plain(row.label)}"
        if row.mark:
            yield "    end"
        for note in row.notes:
            yield f"    Note over {node}: {_plain(note)}"


def _identifier(lane: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in lane)


def _plain(text: str) -> str:
    """Text without the signs that end a message, or begin a comment or a tag, in Mermaid."""
    for sign, instead in ((";", ","), ("#", "no. "), ("<", "["), (">", "]"), ("%%", "%")):
        text = text.replace(sign, instead)
    return text


def svg(rows: Sequence[Row], title: str) -> str:
    """The diagram as a picture of its own; times are board time in microseconds."""
    lanes = _lanes(rows)
    height = TOP + sum(_height(row) for row in rows) + STEP
    width = MARGIN + LANE * max(1, len(lanes))
    places = {lane: MARGIN + LANE * index + LANE // 2 for index, lane in enumerate(lanes)}
    body = "\n".join(_svg(rows, places, height))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        '<defs><marker id="head" markerWidth="9" markerHeight="9" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _svg(rows: Sequence[Row], places: dict[str, int], height: int) -> Iterator[str]:
    for lane, x in places.items():
        yield f'<line class="lane" x1="{x}" y1="{TOP - 20}" x2="{x}" y2="{height - 12}"/>'
        yield f'<rect class="box" x="{x - 60}" y="14" width="120" height="28" rx="4"/>'
        yield _text(x, 33, lane, "name", "middle")
    y = TOP
    for row in rows:
        yield _text(8, y + 4, f"{row.now / US:.2f} us", "time", "start")
        yield from _arrow(row, places, y)
        for number, note in enumerate(row.notes):
            style = "note proof" if row.proof else "note"
            # A note hangs to the right of its lane, in the last lane to the left.
            x = places[row.node]
            is_last = x == max(places.values()) and len(places) > 1
            side = (x - 8, "end") if is_last else (x + 8, "start")
            yield _text(side[0], y + NOTE * (number + 1), note, style, side[1])
        y += _height(row)


def _arrow(row: Row, places: dict[str, int], y: int) -> Iterator[str]:
    to_x = places[row.node]
    from_x = places.get(row.src or "", to_x - 46)
    style = "decisive" if row.mark else "message"
    yield (
        f'<line class="{style}" x1="{from_x}" y1="{y}" x2="{to_x}" y2="{y}" '
        'marker-end="url(#head)"/>'
    )
    middle = (from_x + to_x) // 2
    yield _text(middle, y - 5, row.label, "proof" if row.mark else "", "middle")
    if row.mark:
        yield f'<circle class="badge" cx="{to_x}" cy="{y}" r="9"/>'
        yield _text(to_x, y + 4, str(row.mark), "digit", "middle")


def _text(x: int, y: int, text: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _lanes(rows: Sequence[Row]) -> list[str]:
    """Every node that sends or receives: PEs with their firmware, guests, and then the blocks."""
    lanes = {lane for row in rows for lane in (row.src, row.node) if lane}
    return sorted(lanes, key=_place)


def _place(lane: str) -> tuple[int, str, str]:
    name = lane.removeprefix("el3.")
    kind = 0 if name.startswith("pe") else 1 if name.startswith("dom") else 2
    return kind, name, lane if kind else str(lane != name)


def _height(row: Row) -> int:
    return STEP + NOTE * len(row.notes)
