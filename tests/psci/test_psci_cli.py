"""`torpor psci` as a user sees it: lines, exit codes, JSON, JUnit."""

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from vector_bench import case_text

from deploy.cli.main import main
from deploy.psci.report import VectorReport

RIGHT = case_text("- {pe: C0, call: VERSION, at_least: 1}")
WRONG = case_text("- {pe: C0, call: VERSION, expect: DENIED}")


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run folders belong to the test."""
    monkeypatch.setenv("TORPOR_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def torpor(*words: str) -> int:
    """Exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_all_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each case, then the sum."""
    assert torpor("psci", write("right.yaml", RIGHT)) == 0

    assert capsys.readouterr().out.splitlines() == ["ok     one", "1 passed, 0 failed"]


def test_one_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """What came, where it is, how to see it again; the other file's cases run all the same."""
    files = (write("wrong.yaml", WRONG), write("right.yaml", RIGHT))
    assert torpor("psci", *files, "--seed", "5") == 1

    first, where, again, ok, last = capsys.readouterr().out.splitlines()
    assert first.startswith("FAILED one: steps[0]: C0 VERSION: expected DENIED, came 0x1000")
    assert "wrong.yaml; position " in where
    assert again.endswith("psci wrong.yaml --case one --world sim --seed 5")
    assert (ok, last) == ("ok     one", "1 passed, 1 failed")


def test_a_malformed_file_stops_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything runs, in one line."""
    files = (write("right.yaml", RIGHT), write("bad.yaml", RIGHT.replace("VERSION", "BOOT")))
    assert torpor("psci", *files) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("torpor: bad.yaml: case one: at steps[0].call: expected")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing.yaml",), "nothing.yaml: cannot be read"),
        (("right.yaml", "--case", "two"), "--case: there is no case 'two'"),
        (
            ("right.yaml", "--junit", "none/report.xml"),
            "--junit: none/report.xml cannot be written",
        ),
        (("right.yaml", "--jobs", "2"), "--jobs has no meaning in the sim world"),
        (("right.yaml", "--time-scale", "2"), "--time-scale has no meaning in the sim world"),
        (("right.yaml", "--world", "moon"), "'moon'"),
    ],
)
def test_bad_usage(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, exit code 2."""
    write("right.yaml", RIGHT)
    assert torpor("psci", *words) == 2

    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The report on stdout, lines for people on stderr."""
    assert torpor("psci", write("wrong.yaml", WRONG), "--json") == 1

    captured = capsys.readouterr()
    report = msgspec.json.decode(captured.out, type=VectorReport)
    assert (report.passed, report.failed, report.died) == (0, 1, 0)
    (case,) = report.cases
    assert (case.file, case.id, case.status) == ("wrong.yaml", "one", "failed")
    assert case.position > 0
    assert Path(case.journal).exists()
    assert captured.err.startswith("FAILED one")


def test_junit(tmp_path: Path) -> None:
    """A suite for each file, a failure with what came instead."""
    files = (write("wrong.yaml", WRONG), write("right.yaml", RIGHT))
    assert torpor("psci", *files, "--junit", "report.xml") == 1

    wrong, right = ElementTree.fromstring(Path("report.xml").read_bytes())
    assert (wrong.get("name"), wrong.get("failures"), wrong.get("tests")) == ("wrong", "1", "1")
    assert (right.get("name"), right.get("failures")) == ("right", "0")
    failure = wrong.find("testcase/failure")
    assert failure is not None
    assert "expected DENIED" in (failure.get("message") or "")


def test_a_shipped_file_by_its_name_and_one_case(capsys: pytest.CaptureFixture[str]) -> None:
    """Its other cases are left out."""
    assert torpor("psci", "features", "--case", "version") == 0

    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("ok     version")
    assert last == "1 passed, 0 failed"


def test_a_node_that_raises_is_no_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case has died, exit code 3."""
    from services.bare.node import BarePeNode

    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(BarePeNode, "_enter", broken)
    assert torpor("psci", write("right.yaml", RIGHT)) == 3

    out = capsys.readouterr().out
    assert "DIED   one: RuntimeError: out of order" in out
    assert "0 passed, 0 failed, 1 died" in out
