"""Each failure of host suspend, in each profile, ends as `docs/ERROR_PATHS.md` says."""

import pytest

from deploy.error_paths import COMMITTED, HEAD, PROFILES, Failure, failures, line, row

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

ROWS = [(profile, failure) for profile in PROFILES for failure in failures(profile)]
STEPS = {"seed": 13, "v8": 13, "v11": 14, "baseline": 13}
"""How many of S0 to S13 there are; only v11 has S4, the console's synchronous mode."""


def sections() -> dict[str, list[str]]:
    """Lines of each profile's table on the page."""
    found: dict[str, list[str]] = {}
    for part in COMMITTED.read_text().split("\n## ")[1:]:
        name, *lines = part.splitlines()
        found[name] = [text for text in lines if text.startswith("|")]
    return found


@pytest.mark.parametrize(
    ("profile", "failure"), ROWS, ids=[f"{profile}-{f.step}-{f.what}" for profile, f in ROWS]
)
def test_a_failure_ends_as_the_page_says(profile: str, failure: Failure) -> None:
    """Made again, the run gives the page's line: what is seen, unwound, left off, and judged."""
    assert line(row(profile, failure).cells) in sections()[profile]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_page_has_every_step_and_nothing_else(profile: str) -> None:
    """A heading, then one line for each failure, in order; no step of the profile is left out."""
    lines = sections()[profile]
    known = failures(profile)

    assert lines[0] == line(HEAD)
    assert [text.split(" | ")[:2] for text in lines[2:]] == [
        [f"| {failure.step}", failure.what] for failure in known
    ]
    assert len({f.step for f in known if f.step.startswith("S")}) == STEPS[profile]
    assert {f"R{number}" for number in (0, 1, 2, 3, 4, 5, 7, 8, 9)} <= {f.step for f in known}


def test_an_aborted_suspend_looks_like_a_very_short_sleep() -> None:
    """Whatever failed, no error reaches the guest, but through x0 in the series of 2025-03."""
    came_back = [
        cells[3]
        for profile in ("v8", "v11", "baseline")
        for cells in (text.split(" | ") for text in sections()[profile][2:])
        if cells[2] in ("aborted", "denied", "abandoned")
    ]

    assert len(came_back) > 30
    assert set(came_back) == {"starts at its entry, x0 = 0"}
