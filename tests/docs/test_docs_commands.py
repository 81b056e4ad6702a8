"""Links, commands and names in the documents: what a reader follows is there."""

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_command

from deploy.cli.main import app

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
IDS = [path.name for path in DOCUMENTS]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]  # a group, by its callbacks
MAKE_TARGETS = re.findall(
    r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_relative_links_lead_somewhere(path: Path) -> None:
    """To a file of the tree, from where the document lies."""
    text = path.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]

    assert [
        link
        for link in links
        if link and not link.startswith("http") and not (path.parent / link).exists()
    ] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_make_targets_exist(path: Path) -> None:
    """As `make` lists them."""
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"^    make ([a-z]+)|`make ([a-z]+)`", text, re.M)

    assert {first or second for first, second in used} <= set(MAKE_TARGETS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_commands_and_their_options_exist(path: Path) -> None:
    """Every `torpor` command that a document prints can be typed."""
    text = path.read_text(encoding="utf-8")
    for line in re.findall(r"(?:^ +|`)(?:\.venv/bin/)?torpor ([^`\n#]+)", text, re.M):
        words = line.split()
        if not words[0].isalpha():
            continue
        command = COMMANDS[words[0]]
        if words[0] == "journal":
            command = command.commands[words[1]]
        options = {name for option in command.params for name in option.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_scenarios_in_commands_exist() -> None:
    """Names after `torpor run`, as far as they are names."""
    shipped = {path.stem for path in (ROOT / "deploy" / "scenarios").glob("*.yaml")}
    used = {
        name
        for path in DOCUMENTS
        for name in re.findall(
            r"torpor run ([a-z][a-z-]*)\b(?![./])", path.read_text(encoding="utf-8")
        )
    }

    assert used
    assert used <= shipped


def test_performance_names_every_figure() -> None:
    """What `make bench` prints, with its aims."""
    text = (ROOT / "docs" / "PERFORMANCE.md").read_text(encoding="utf-8")
    table = text.split("## How to repeat it")[0]
    cells = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    rows = {row[1].strip(" `"): row[4].strip() for row in cells}
    sources = "".join(path.read_text() for path in sorted((ROOT / "benchmarks").glob("bench_*.py")))
    main = (ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8")
    aims = ast.literal_eval(re.search(r"^AIMS = (\{.*?^\})", main, re.M | re.S)[1])
    figures = re.findall(r"^        \"([^\"]+)\": ", sources, re.M)

    assert sorted(rows) == sorted(figures)
    assert {name: aim for name, aim in rows.items() if aim} == aims
