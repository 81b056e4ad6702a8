"""The report names what a block lost with its power, for people and for machines."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.cli.report import report_on, show
from deploy.composition import build_nodes
from deploy.loading import Overrides, resolve
from proto.platform import IOMMU_SPI
from proto.scenario import DomainSpec, ExpectLine, PointAction, Role, Step, TypeLine
from proto.units import MS
from services.monitor.verdict import Judge, Loss


def test_a_lost_edge_is_a_line_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault comes when the interface is closed, and the GIC loses its power with it."""
    of = resolve("baseline", Overrides(platform="uni", profile="v11"))
    scenario = {
        "domains": (DomainSpec(id=0, role=Role.HARDWARE, tick_us=50_000),),
        "steps": (
            Step(expect=ExpectLine(domain=0, any_of=("up,",), since="start")),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 0.1")),
            Step(wait_ms=200),
        ),
        "points": (PointAction(point="after S9", irq="iommu", hold_us=200),),
        "outcomes": (),
    }
    of = replace(of, scenario=replace(of.scenario, **scenario))
    judge = Judge(of, "sim")
    World(build_nodes(of), of.platform.latencies, RandomStrategy(1), judge.feed).run(1_000 * MS)
    report = report_on(of, "sim", judge.conclude(torn=False), Path("journal"))

    (loss,) = report.lost
    assert loss == Loss(intid=IOMMU_SPI, block="gicd", position=loss.position)

    show(report, Console(stderr=True, width=120))

    assert f"lost: INTID 36 in gicd (record {loss.position})" in capsys.readouterr().err
