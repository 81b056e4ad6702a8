"""Whole boards with one wrong program in Xen's image: I7, I8, I10 and I11 find what it does."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from bus.journal import HubEvent
from bus.world.sim import Outcome, World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import Overrides, resolve
from deploy.run_sim import ENDINGS
from proto.board import Board
from proto.ids import HUB, DomainId, pe_node
from proto.image import Program, defined_in
from proto.scenario import (
    DomainSpec,
    ExpectLine,
    ExpectPoint,
    Parking,
    PointAction,
    Role,
    Step,
    TypeLine,
    XlCommand,
)
from proto.timer import ENABLE
from proto.traces import HeapUse
from proto.units import MS
from services.monitor.verdict import Judge, Verdict
from services.pcpu.node import XEN_PACKAGE, PeNode
from services.pcpu.pe import Pe

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]


def xen(name: str) -> Program:
    """A program of Xen as it should be."""
    return defined_in(XEN_PACKAGE)[name]


def board(
    profile: str = "baseline",
    points: tuple[PointAction, ...] = (),
    alarm_s: str = "0.4",
    seed: int = 1,
) -> Board:
    """Domain 1 sleeps by itself, then domain 0 has the host sleep for a moment."""
    of = resolve("baseline", Overrides(profile=profile, seed=seed))
    sleeper = "vpsci.SYSTEM_SUSPEND d1"
    awake = () if of.profile.parking is Parking.SHUTDOWN else (DomainSpec(id=2, tick_us=50_000),)
    scenario = replace(
        of.scenario,
        domains=(
            DomainSpec(id=0, role=Role.HARDWARE, tick_us=50_000),
            DomainSpec(id=1, tick_us=50_000),
            *awake,
        ),
        steps=(
            *(
                Step(expect=ExpectLine(domain=domain, any_of=("up,",), since="start"))
                for domain in (0, 1)
            ),
            Step(wait_ms=10),
            Step(type_line=TypeLine(domain=1, line="echo mem > /sys/power/state")),
            Step(wait_ms=10),
            Step(type_line=TypeLine(domain=0, line=f"rtcwake -m mem -s {alarm_s}")),
            Step(wait_ms=1_500),
        ),
        points=(PointAction(point=sleeper), *points),
        outcomes=(),
        expected_findings=(),
    )
    return replace(of, scenario=scenario)


def judged(of: Board, relinked: Mapping[str, Program]) -> Verdict:
    """The verdict on a run of the board, some symbols of Xen relinked."""
    nodes = build_nodes(of)
    for cpu in of.platform.cpus:
        nodes[pe_node(cpu)] = PeNode(of, cpu, relinked=relinked)
    judge = Judge(of, "sim")
    world = World(nodes, of.platform.latencies, RandomStrategy(of.scenario.seed), judge.feed)
    outcome = world.run(of.scenario.time_limit_ms * MS)
    assert outcome is Outcome.ENDED
    judge.feed(HubEvent("end", HUB, ENDINGS[outcome], world.now))
    return judge.conclude(torn=False)


def texts(verdict: Verdict, name: str) -> list[str]:
    """Texts of a property's findings."""
    return [finding.text for finding in verdict.findings if finding.property == name]


@pytest.mark.parametrize("profile", ["baseline", "v11"])
def test_nothing_is_found_without_a_wrong_program(profile: str) -> None:
    """The boards below, with Xen as it should be; a slow secondary may keep one from sleeping."""
    reached: set[str] = set()
    for seed in range(1, 5):
        verdict = judged(board(profile, seed=seed), {})

        assert [finding for finding in verdict.findings if not finding.expected] == []
        assert verdict.verdict == "pass"
        reached |= {name for name, result in verdict.properties.items() if result == "pass"}
    assert {"I7", "I8", "I10", "I11"} <= reached


def test_i7_finds_vcpus_left_with_a_cpu_that_does_not_come_back() -> None:
    """Nobody tells the scheduler that CPU1 is lost."""

    async def cpu_disable_scheduler(pe: Pe, cpu: int) -> int:
        return 0

    lost = PointAction(point="el3.CPU_ON pe1", occurrence=2, return_code=-6)
    relinked = {"cpu_disable_scheduler": cpu_disable_scheduler}
    right, wrong = judged(board(points=(lost,)), {}), judged(board(points=(lost,)), relinked)

    assert texts(right, "I7") == []
    assert "domain 1 vCPU 0 is placed on CPU1, which is offline" in texts(wrong, "I7")


def test_i8_finds_a_timer_that_keeps_the_host_awake() -> None:
    """time_suspend leaves the comparator armed, and it expires before firmware looks."""

    async def time_suspend(pe: Pe) -> int:
        pe.set_cnthp(ENABLE, pe.now + 1 * MS)
        return 0

    held = PointAction(point="before S13", hold_us=5_000)
    verdict = judged(board(points=(held,), alarm_s="1.0"), {"time_suspend": time_suspend})

    assert texts(verdict, "I8") == [
        "INTID 26, Xen's timer, kept the system awake: nothing else was pending for CPU0"
    ]


def test_i10_finds_a_blocked_domain_that_the_thaw_wakes() -> None:
    """thaw_domains lets everybody run, whoever slept by himself."""

    async def thaw_domains(pe: Pe) -> None:
        await xen("thaw_domains")(pe)
        await pe.links["vcpu_unblock"](pe, pe.xen.vcpus_of(DomainId(1))[0])

    verdict = judged(board(), {"thaw_domains": thaw_domains})

    assert texts(verdict, "I10") == ["domain 1 woke, but no interrupt had come for it"]


def test_i10_finds_a_parked_domain_that_r9_resumes() -> None:
    """resume_initiator resumes everybody."""

    async def resume_initiator(pe: Pe) -> None:
        await xen("resume_initiator")(pe)
        await pe.links["domain_resume"](pe, DomainId(1))

    verdict = judged(board("v11"), {"resume_initiator": resume_initiator})

    assert texts(verdict, "I10") == ["domain 1 was resumed in R9, but domain 0 is the initiator"]


def test_i11_finds_an_allocation_under_stop_machine() -> None:
    """CPU_DYING frees: the other CPUs spin with IRQs off, and so does this one."""

    async def assert_alloc_context(pe: Pe, operation: str, what: str) -> None:
        """The assertion is compiled out."""
        online = (await pe.load(pe.xen.system.cpu_online_map)).bit_count()
        pe.trace(HeapUse(operation, what, pe.irq_masked, online))

    async def take_cpu_down(pe: Pe) -> int:
        await pe.links["xfree"](pe, "struct irqaction")
        error: int = await xen("take_cpu_down")(pe)
        return error

    verdict = judged(
        board(), {"assert_alloc_context": assert_alloc_context, "take_cpu_down": take_cpu_down}
    )

    found = texts(verdict, "I11")
    assert len(found) == 3
    assert found[0].startswith("xfree of struct irqaction on pe")


def test_a_resume_waits_for_the_context_of_the_domain() -> None:
    """`xl resume` comes while domain 1 has shut down and is still inside its SYSTEM_SUSPEND."""
    of = board("v11")
    asleep = "vpsci.SYSTEM_SUSPEND d1"
    typed = TypeLine(domain=1, line="echo mem > /sys/power/state")
    steps = (
        *of.scenario.steps[:3],
        Step(type_line=typed),
        Step(reached=ExpectPoint(point=asleep)),
        Step(xl=XlCommand(command="resume dom1", status=0)),
        Step(expect=ExpectLine(domain=1, any_of=("PM: suspend exit",), since="start")),
    )
    held = (PointAction(point=asleep, hold_us=20_000),)
    verdict = judged(
        replace(of, scenario=replace(of.scenario, steps=steps, points=held)), relinked={}
    )

    assert verdict.sometimes["resume_before_result"]
    assert (verdict.verdict, verdict.findings) == ("pass", ())


def test_two_control_domains_are_inside_their_calls_at_once() -> None:
    """A scenario that never has its race proves nothing about it."""
    verdicts = [
        judged(resolve("two-control-domains", Overrides(seed=seed)), {}) for seed in range(40)
    ]

    assert any(verdict.sometimes["two_control_domains_at_once"] for verdict in verdicts)
