"""Shrinking a failure to one delay and one pair of events, with everything that is written."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bus.world.delays import DelayStrategy
from bus.world.tape import read_tape
from deploy.explore.explorer import explore
from deploy.explore.failures import keep
from deploy.explore.play import play
from deploy.loading import Overrides, resolve
from deploy.shrink.again import rerun
from deploy.shrink.decisive import decisive_pair
from deploy.shrink.outputs import Shrunk, write
from deploy.shrink.reduce import reduce
from deploy.shrink.trial import Lab, case_of, reason_of
from proto.units import MS

pytestmark = [pytest.mark.sim, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent.parent


SCENARIO = """
name: one-cycle
platform: dual
domains:
  - {id: 0, vcpus: 1, role: hardware}
  - {id: 1, vcpus: 1}
steps:
  - expect: {domain: 0, any_of: ["dom0: up"], since: start}
  - wait_ms: 20
  - type: {domain: 0, line: "echo mem > /sys/power/state"}
  - power: {state: sleeping}
  - irq: rtc
  - expect: {domain: 0, any_of: ["PM: suspend exit"]}
outcomes: [slept]
"""


@pytest.fixture(scope="module")
def shrunk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shrunk, Lab]:
    """dead-flag-before-cpu-off, found by exploration and made as small as it can be."""
    folder = tmp_path_factory.mktemp("shrunk")
    scenario = folder / "one-cycle.yaml"
    scenario.write_text(SCENARIO)
    board = resolve(str(scenario), Overrides(mutants=("dead-flag-before-cpu-off",)))
    progress = explore(board, "pct", 1000)
    tape = read_tape(keep(board, progress.failures[0], folder, progress).tape)
    case, played = case_of(tape)
    assert played.verdict is not None
    finding = played.verdict.findings[0]
    lab = Lab(reason_of(finding), 3000, max(20 * MS, 2 * played.ended_ns))
    smallest = reduce(case, lab, lambda case, tries: None)
    pair = decisive_pair(smallest, Lab(lab.reason, 1000, lab.patience_ns))
    result = Shrunk(
        case=smallest,
        finding=finding,
        pair=pair,
        choices_before=len(tape.choices),
        delays_before=len(case.delays),
        tries=lab.tries,
        minimal=not lab.exhausted,
        folder=folder,
    )
    write(result, lab)
    return result, lab


def test_it_is_small_and_fails_alike(shrunk: tuple[Shrunk, Lab]) -> None:
    """At most a twentieth of the choices is left, and the same property is violated."""
    result, lab = shrunk
    strategy = DelayStrategy(result.case.delays, result.case.windows)

    assert result.minimal
    assert result.share <= 0.05
    assert lab.fails(result.case.board, strategy)


def test_no_delay_can_go(shrunk: tuple[Shrunk, Lab]) -> None:
    """Taking any one away, or making it a nanosecond shorter, loses the failure."""
    result, lab = shrunk
    delays = result.case.delays

    assert delays
    for name, extra in delays.items():
        without = {other: time for other, time in delays.items() if other != name}
        assert not lab.fails(result.case.board, DelayStrategy(without))
        assert not lab.fails(result.case.board, DelayStrategy({**delays, name: extra - 1}))


def test_the_decisive_pair_is_the_load_and_the_store_of_the_state(
    shrunk: tuple[Shrunk, Lab],
) -> None:
    """Firmware looks at a PE's state just before the PE says OFF."""
    result, _ = shrunk
    page = (result.folder / "report.md").read_text()

    assert result.pair is not None
    assert result.pair.node == "dram"
    first, second = page.split("## The decisive pair")[1].splitlines()[4:6]
    assert "Load el3.cpu[1].aff_info_state" in first
    assert "Store el3.cpu[1].aff_info_state" in second


def test_the_tape_replays_and_the_test_fails_until_it_is_mended(
    shrunk: tuple[Shrunk, Lab], tmp_path: Path
) -> None:
    """The written test is red with the bug, and green with a patch that asks firmware."""
    result, _ = shrunk
    (test,) = result.folder.glob("test_*.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    red = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    mended = tmp_path / "mended.py"
    mended.write_text(
        "from proto.patch import original, relink_xen\n"
        "from services.pcpu.xen import smpboot\n\n"
        "@relink_xen\n"
        "async def cpu_kill_believed(pe, cpu):\n"
        "    return await original(smpboot.cpu_kill)(pe, cpu)\n"
    )

    verdict = rerun(
        result.folder / "board.json",
        result.case.delays,
        patches={"dead_flag_before_cpu_off": mended},
    )

    assert red.returncode == 1, red.stdout + red.stderr
    assert "I1" in red.stdout
    assert not verdict.findings
    assert play(read_tape(result.tape).board, DelayStrategy(result.case.delays)).verdict


def test_the_diagrams_can_be_read(shrunk: tuple[Shrunk, Lab]) -> None:
    """The picture is well-formed, and both show the decisive pair with its numbers."""
    result, _ = shrunk
    picture = ET.parse(result.folder / "diagram.svg")
    text = (result.folder / "diagram.mmd").read_text()

    drawn = [element.text for element in picture.iter() if element.text]
    assert "1" in drawn
    assert "2" in drawn
    assert text.startswith("sequenceDiagram\n")
    assert "(1) Load el3.cpu[1].aff_info_state" in text
    for line in text.splitlines()[1:]:
        assert line.strip().startswith(("participant ", "Note over ", "rect ", "end")) or (
            "->>" in line and ": " in line
        )
