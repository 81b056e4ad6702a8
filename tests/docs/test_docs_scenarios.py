"""docs/SCENARIOS.md against the product: fields, scenarios, points, commands; nothing else."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from deploy.loading import DEPLOY, load
from deploy.points import POINTS
from proto import scenario as contracts
from proto.platform import POWER_MODELS, Platform
from proto.scenario import OUTCOMES, POWER_STATES, Scenario, Spec
from services.domain.programs import PROGRAMS
from services.domain.programs.shell import COMMANDS
from services.pcpu.xen.notifier import CpuEvent
from services.pcpu.xen.suspend import STEPS

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "SCENARIOS.md").read_text(encoding="utf-8")
SHIPPED = sorted(path.stem for path in (DEPLOY / "scenarios").glob("*.yaml"))
SPECS = [
    kind
    for kind in vars(contracts).values()
    if isinstance(kind, type) and issubclass(kind, Spec) and kind is not Spec
]


def section(title: str) -> str:
    """The text under a heading, up to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.M | re.S)
    assert found is not None, f"there is no section {title}"
    return found[1]


def first_column(title: str) -> list[str]:
    """The marked words in the first column of a section's tables, headings left out."""
    return [
        word
        for line in section(title).splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    ]


def test_every_shipped_scenario_has_one_row() -> None:
    """And no row is about a scenario that is not shipped."""
    assert sorted(first_column("The shipped scenarios")) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_the_row_says_profile_and_outcomes(name: str) -> None:
    """As the file does."""
    scenario = load(Scenario, DEPLOY / "scenarios" / f"{name}.yaml")
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]

    assert cells[1] == scenario.profile
    named = [outcome for outcome in OUTCOMES if f"`{outcome}`" in cells[3]]
    # A scenario may also allow what hardly ever happens; the row says what to expect.
    assert set(named) <= set(scenario.outcomes)
    assert bool(named) == bool(scenario.outcomes)


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Scenario", Scenario),
        ("Domain", contracts.DomainSpec),
        ("Point action", contracts.PointAction),
        ("Expected finding", contracts.Finding),
        ("Profile", contracts.Profile),
        ("Platform", Platform),
    ],
)
def test_every_field_has_a_row(title: str, kind: type[msgspec.Struct]) -> None:
    """In the order of the type."""
    assert first_column(title) == list(kind.__struct_encode_fields__)


def test_every_field_of_a_step_has_a_row() -> None:
    """Its kinds, then the fields of those that have some."""
    parts = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section("Step"), re.M)
    kinds = [name for name in first_column("Step") if name not in {part for part, _ in parts}]
    fields: dict[str, set[str]] = {}
    for part, field in parts:
        fields.setdefault(part, set()).add(field)

    assert {*kinds, *fields} == set(contracts.Step.__struct_encode_fields__)
    assert fields == {
        "type": set(contracts.TypeLine.__struct_fields__),
        "expect": set(contracts.ExpectLine.__struct_fields__),
        "power": set(contracts.ExpectPower.__struct_fields__),
        "reached": set(contracts.ExpectPoint.__struct_fields__),
        "xl": set(contracts.XlCommand.__struct_encode_fields__),
        "wake": set(contracts.Wake.__struct_fields__),
        "repeat": set(contracts.Repeat.__struct_fields__),
    }


@pytest.mark.parametrize("kind", SPECS, ids=lambda kind: kind.__name__)
def test_no_field_is_forgotten(kind: type[Spec]) -> None:
    """Whatever is added to the contracts shows up here."""
    missing = [name for name in kind.__struct_encode_fields__ if f"`{name}`" not in TEXT]

    assert missing == []


def test_values_are_named() -> None:
    """Words that a field may hold."""
    words = (*OUTCOMES, *POWER_STATES, *POWER_MODELS, *PROGRAMS, *STEPS)

    assert [word for word in words if f"`{word}`" not in TEXT] == []


def points_in_the_code() -> set[str]:
    """The names of all points, places that depend on the board as `<N>` and `<D>`."""
    patterns: set[str] = set()
    for path in sorted((ROOT / "services").rglob("*.py")):
        for name in re.findall(r"\.point\(\s*f?\"([^\"]+)\"", path.read_text(encoding="utf-8")):
            pattern = re.sub(r"pe\{[^}]*\}", "pe<N>", name)
            pattern = re.sub(r" d\{[^}]*\}", " d<D>", pattern)
            pattern = pattern.replace("S{step.label}", "S<step>")
            pattern = pattern.replace("{step.label}", "S<step>")
            patterns.add(pattern.replace("{step.undo_label}", "R<step>"))
    patterns.remove("{event.value} pe<N>")
    return patterns | {f"{event.value} pe<N>" for event in CpuEvent}


def test_every_point_has_a_row() -> None:
    """And every row is a point of the code, and one that a scenario may name."""
    rows = first_column("Armed points")

    assert len(rows) == len(set(rows))
    assert set(rows) == points_in_the_code() == set(POINTS)


def test_points_of_shipped_scenarios_match_a_row() -> None:
    """With numbers for the places that depend on the board."""
    places = {"<N>": r"\d+", "<D>": r"\d+", "<step>": r"\d+"}
    rows = [
        re.sub("|".join(places), lambda place: places[place[0]], re.escape(name))
        for name in first_column("Armed points")
    ]
    for name in SHIPPED:
        for action in load(Scenario, DEPLOY / "scenarios" / f"{name}.yaml").points:
            assert any(re.fullmatch(row, action.point) for row in rows), action.point


def test_every_command_of_the_shell_has_a_row() -> None:
    """By its first word."""
    assert {line.split()[0] for line in first_column("The guests' shell")} == set(COMMANDS)


def test_the_example_is_a_scenario(tmp_path: Path) -> None:
    """What a reader copies loads."""
    lines = section("Write your own").splitlines()
    begin = lines.index("    name: wake-after-save")
    end = next(index for index, line in enumerate(lines) if index > begin and not line)
    path = tmp_path / "example.yaml"
    path.write_text("\n".join(line[4:] for line in lines[begin:end]))

    assert yaml.safe_load(path.read_text())["name"] == "wake-after-save"
    assert load(Scenario, path).outcomes == ("abandoned",)
