"""docs/PROPERTIES.md has a row for each property, with its kind."""

from pathlib import Path

from services.monitor.properties import PROPERTIES

PAGE = Path(__file__).parents[2] / "docs" / "PROPERTIES.md"


def test_each_property_has_its_row() -> None:
    """A property that no page names is found by nobody; I12 compares two journals."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[1] in ("always", "eventually"):
            rows[cells[0]] = cells[1]

    assert rows.pop("I12") == "always"
    assert rows == {kind.name: kind.kind for kind in PROPERTIES}
