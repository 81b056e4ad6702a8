"""Whole boards with each serial port and IOMMU, under each power model: who sleeps, who speaks."""

import pytest
from msgspec.structs import replace

from bus.journal import HubEvent
from bus.world.sim import Outcome, World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import resolve
from deploy.run_sim import ENDINGS
from proto.board import Board
from proto.ids import HUB, NodeId
from proto.messages import SerialOutput
from proto.platform import POWER_MODELS, ConsoleDriver, IommuDriver
from proto.scenario import (
    DomainSpec,
    ExpectLine,
    ExpectPower,
    PointAction,
    Relink,
    Role,
    Step,
    TypeLine,
)
from proto.traces import InterruptLost, PeHalted, Unpredictable
from proto.turn import Send, Trace, Turn
from proto.units import MS
from services.monitor.verdict import Judge, Verdict

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

HARDWARE = DomainSpec(id=0, role=Role.HARDWARE, tick_us=50_000)
ASLEEP = (
    Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),
    Step(type_line=TypeLine(domain=0, line="echo mem > /sys/power/state")),
    Step(power=ExpectPower(state="sleeping")),
)
CYCLE = (
    *ASLEEP,
    Step(irq="rtc"),
    Step(expect=ExpectLine(domain=0, any_of=("PM: suspend exit",))),
    Step(wait_ms=20),
)
FAULT = (*CYCLE, Step(irq="iommu"), Step(wait_ms=20))
TWICE = (*CYCLE, *CYCLE)


def fitted(
    *steps: Step,
    profile: str = "baseline",
    console: ConsoleDriver = ConsoleDriver.SCIF,
    iommu: IommuDriver = IommuDriver.IPMMU_VMSA,
    power_model: str = "all-lost",
    points: tuple[PointAction, ...] = (),
    relink: tuple[Relink, ...] = (),
) -> Board:
    """Four PEs with these devices."""
    of = resolve("baseline")
    scenario = replace(
        of.scenario,
        domains=(HARDWARE,),
        steps=steps,
        points=points,
        outcomes=(),
        power_model=power_model,
    )
    return replace(
        of,
        scenario=scenario,
        platform=replace(of.platform, console=console, iommu=iommu),
        profile=replace(of.profile, relink=(*of.profile.relink, *relink)),
    )


class Run:
    """A run of a board: the verdict, what Xen's console showed, and the traces."""

    def __init__(self, of: Board, seed: int = 1) -> None:
        self._turns: list[Turn] = []
        self._judge = Judge(of, "sim")
        world = World(build_nodes(of), of.platform.latencies, RandomStrategy(seed), self._feed)
        outcome = world.run(of.scenario.time_limit_ms * MS)
        assert outcome is Outcome.ENDED
        self._judge.feed(HubEvent("end", HUB, ENDINGS[outcome], world.now))
        self.verdict: Verdict = self._judge.conclude(torn=False)
        self.outcomes = [attempt.outcome for attempt in self.verdict.attempts]

    def _feed(self, turn: Turn) -> None:
        self._turns.append(turn)
        self._judge.feed(turn)

    @property
    def lines(self) -> list[str]:
        """Xen's console."""
        sent = [
            effect.body
            for turn in self._turns
            for effect in turn.effects
            if turn.node == NodeId("uart") and isinstance(effect, Send)
        ]
        return [body.line for body in sent if isinstance(body, SerialOutput)]

    def traces(self, kind: type) -> list[object]:
        """All traces of a class."""
        return [
            effect.event
            for turn in self._turns
            for effect in turn.effects
            if isinstance(effect, Trace) and isinstance(effect.event, kind)
        ]


@pytest.mark.parametrize("power_model", sorted(POWER_MODELS))
@pytest.mark.parametrize("iommu", [IommuDriver.IPMMU_VMSA, IommuDriver.SMMUV3, IommuDriver.NONE])
def test_every_iommu_that_can_sleeps_again_and_again(iommu: IommuDriver, power_model: str) -> None:
    """And reports a fault after the sleep as before, if there is one."""
    run = Run(fitted(*TWICE, *FAULT, iommu=iommu, power_model=power_model))

    assert run.verdict.verdict == "pass", run.verdict.findings
    assert run.outcomes == ["slept"] * 3
    assert run.traces(Unpredictable) == run.traces(InterruptLost) == []


def test_a_driver_without_a_hook_keeps_the_host_awake() -> None:
    """S5 gives -ENOSYS and is unwound; the domain that asked sees a short sleep."""
    run = Run(fitted(*CYCLE[:2], *CYCLE[4:], iommu=IommuDriver.SMMU))

    assert run.outcomes == ["aborted"]
    assert run.verdict.findings == ()


def test_a_hook_that_is_skipped_leaves_the_device_behind() -> None:
    """The series of 2025-03: the SMMU's fault goes unheard after the sleep."""
    skip = Relink(symbol="iommu_suspend", stand_in="iommu_suspend_if_hooked")
    lost = Run(fitted(*FAULT, iommu=IommuDriver.SMMU, relink=(skip,)))
    kept = Run(fitted(*FAULT, iommu=IommuDriver.SMMU, relink=(skip,), power_model="all-retained"))

    assert lost.outcomes == kept.outcomes == ["slept"]
    assert (len(lost.traces(InterruptLost)), len(kept.traces(InterruptLost))) == (1, 0)


def test_a_cache_unit_before_its_root_is_reported() -> None:
    """Only where the IPMMU has lost its contexts."""
    early = Relink(symbol="ipmmu_resume", stand_in="ipmmu_resume_cache_first")
    lost = Run(fitted(*CYCLE, relink=(early,)))
    kept = Run(fitted(*CYCLE, relink=(early,), power_model="all-retained"))

    assert (len(lost.traces(Unpredictable)), len(kept.traces(Unpredictable))) == (2, 0)


@pytest.mark.parametrize(
    ("occurrence", "outcomes", "halted"), [(2, ["aborted"], False), (3, ["slept"], True)]
)
def test_an_smmu_v3_that_does_not_answer(
    occurrence: int, outcomes: list[str], halted: bool
) -> None:
    """At S5 the attempt is given up; at R5 the machine stops, because DMA would stay blocked."""
    timeout = PointAction(point="smmuv3.CMD_SYNC", occurrence=occurrence, return_code=-110)
    steps = (*CYCLE[:2], *CYCLE[4:]) if not halted else (*ASLEEP, Step(irq="rtc"))
    panic = Step(expect=ExpectLine(any_of=("SMMUv3 resume failed: -110",)))
    run = Run(fitted(*steps, *([panic] * halted), iommu=IommuDriver.SMMUV3, points=(timeout,)))

    assert run.outcomes == outcomes
    assert bool(run.traces(PeHalted)) is halted


# -- the console


@pytest.mark.parametrize("power_model", sorted(POWER_MODELS))
@pytest.mark.parametrize("console", list(ConsoleDriver))
def test_which_console_speaks_after_the_sleep(console: ConsoleDriver, power_model: str) -> None:
    """A PL011 that has lost its power is silent: its driver has no callbacks."""
    run = Run(fitted(*CYCLE, console=console, power_model=power_model))

    speaks = console is ConsoleDriver.SCIF or power_model == "all-retained"
    assert (run.outcomes, run.verdict.verdict) == (["slept"], "pass")
    assert ("(XEN) Resume" in run.lines) is speaks
    assert run.lines[:2] == ["(XEN) Using PSCI v1.3", "(XEN) Brought up 4 CPUs"]


@pytest.mark.parametrize("console", list(ConsoleDriver))
def test_much_output_during_an_attempt(console: ConsoleDriver) -> None:
    """It leaves by the transmit interrupt in order, and no property takes that for a wake-up."""
    lost = tuple(
        PointAction(point=f"CPU_UP_PREPARE pe{cpu}", occurrence=2, return_code=-12)
        for cpu in (1, 2, 3)
    )
    run = Run(fitted(*CYCLE, console=console, power_model="all-retained", points=lost))

    assert run.verdict.verdict == "pass", run.verdict.findings
    assert run.lines[-4:] == [
        *(f"(XEN) Error bringing CPU{cpu} up: -12" for cpu in (1, 2, 3)),
        "(XEN) Resume",
    ]
