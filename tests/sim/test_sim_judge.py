"""Whole boards with one wrong program in Xen's image: the properties find what it does."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from bus.journal import HubEvent
from bus.world.sim import Outcome, World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import resolve
from deploy.run_sim import ENDINGS
from proto.board import Board
from proto.gic import LR
from proto.ids import HUB, CpuIndex, pe_node
from proto.image import Program, defined_in
from proto.messages import AtomicOp
from proto.platform import RTC_SPI
from proto.psci import PsciError
from proto.scenario import DomainSpec, ExpectLine, ExpectPower, Role, Step, TypeLine
from proto.units import MS
from services.monitor.verdict import Judge, Verdict
from services.pcpu.node import XEN_PACKAGE, PeNode
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.state import SystemState

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

BOOTED = (Step(expect=ExpectLine(domain=0, any_of=("dom0: up",), since="start")),)
LONG = Step(wait_ms=1200)
"""Longer than the judge has patience."""
CYCLE = (
    *BOOTED,
    Step(type_line=TypeLine(domain=0, line="echo mem > /sys/power/state")),
    Step(power=ExpectPower(state="sleeping")),
    Step(irq="rtc"),
    Step(power=ExpectPower(state="on")),
)
HARDWARE = DomainSpec(id=0, role=Role.HARDWARE, tick_us=50_000)
TWO_VCPUS = DomainSpec(id=0, role=Role.HARDWARE, vcpus=2, tick_us=50_000)
THREE = (HARDWARE, *(DomainSpec(id=number, tick_us=50_000) for number in (1, 2)))
UNPLUG = (
    Step(expect=ExpectLine(domain=1, any_of=("dom1: up",), since="start")),
    *BOOTED,
    *(
        step
        for cpu in (3, 2, 1)
        for step in (
            Step(type_line=TypeLine(domain=0, line=f"xen-hptool cpu-offline {cpu}")),
            Step(expect=ExpectLine(domain=0, any_of=(f"cpu {cpu} offline: 0",))),
        )
    ),
    LONG,
)


def xen(name: str) -> Program:
    """A program of Xen as it should be."""
    return defined_in(XEN_PACKAGE)[name]


def board(*steps: Step, domains: tuple[DomainSpec, ...] = (HARDWARE,)) -> Board:
    """Four PEs, the corrected design, and guests with slow ticks."""
    of = resolve("baseline")
    scenario = replace(of.scenario, domains=domains, steps=steps, points=(), outcomes=())
    return replace(of, scenario=scenario)


def judged(of: Board, relinked: Mapping[str, Program]) -> Verdict:
    """The verdict on a run of the board, some symbols of Xen relinked."""
    nodes = build_nodes(of)
    for cpu in of.platform.cpus:
        nodes[pe_node(cpu)] = PeNode(of, cpu, relinked=relinked)
    judge = Judge(of, "sim")
    world = World(nodes, of.platform.latencies, RandomStrategy(1), judge.feed)
    outcome = world.run(of.scenario.time_limit_ms * MS)
    assert outcome is Outcome.ENDED
    judge.feed(HubEvent("end", HUB, ENDINGS[outcome], world.now))
    return judge.conclude(torn=False)


def texts(verdict: Verdict) -> list[tuple[str, str]]:
    """Properties and texts of the findings."""
    return [(finding.property, finding.text) for finding in verdict.findings]


def test_nothing_is_found_without_a_wrong_program() -> None:
    """The boards below, with Xen as it should be."""
    suspended = judged(board(*CYCLE, LONG), {})
    unplugged = judged(board(*UNPLUG, domains=THREE), {})
    secondary = judged(board(*BOOTED, LONG, domains=(TWO_VCPUS,)), {})

    for verdict in (suspended, unplugged, secondary):
        assert (texts(verdict), verdict.undecided, verdict.verdict) == ([], (), "pass")
    assert {suspended.properties[name] for name in ("I3", "I4", "I5", "I6", "I7")} == {"pass"}
    assert unplugged.properties["I7"] == "pass"


def test_i5_finds_an_interrupt_that_xen_delivers_twice() -> None:
    """The guest has handled it and the device has released it, but its LR is filled again."""
    left = [2]

    async def vgic_sync_to_lrs(pe: Pe, vcpu: Vcpu) -> None:
        before = pe.lrs
        await xen("vgic_sync_to_lrs")(pe, vcpu)
        placed = [lr for lr in pe.lrs if lr not in before and LR.VIRTUAL_ID.get(lr) == RTC_SPI]
        if placed and left[0]:
            left[0] -= 1
            pending = pe.xen.vcpu[vcpu.index].vgic_pending[0]
            await pe.atomic(AtomicOp.SET, pending, 1 << RTC_SPI)

    verdict = judged(board(*CYCLE, LONG), {"vgic_sync_to_lrs": vgic_sync_to_lrs})

    assert verdict.verdict == "violated"
    assert set(texts(verdict)) == {
        (
            "I5",
            "assertion 1 of INTID 34 during a suspend attempt was delivered more than once",
        ),
        (
            "lrs",
            "domain 0 vCPU 0 was entered with INTID 34 in a list register that stands for "
            "INTID 34, which is not active",
        ),
    }


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            "never",
            "domain 0 vCPU 1 had not started at the end, 1 s after accepted CPU_ON",
        ),
        ("elsewhere", "domain 0 vCPU 1 was started by CPU_ON with x0 0x2 instead of 0x1"),
    ],
)
def test_i3_finds_an_accepted_cpu_on_without_its_start(wrong: str, text: str) -> None:
    """Xen says SUCCESS, and nothing or something else happens."""

    async def do_psci_cpu_on(pe: Pe, vcpu: Vcpu, args: tuple[int, int, int]) -> int:
        if wrong == "never":
            return PsciError.SUCCESS
        code: int = await xen("do_psci_cpu_on")(pe, vcpu, (args[0], args[1], args[2] + 1))
        return code

    steps = (Step(expect=ExpectLine(any_of=("Xen is up",), since="start")), LONG)
    verdict = judged(board(*steps, domains=(TWO_VCPUS,)), {"do_psci_cpu_on": do_psci_cpu_on})

    assert ("I3", text) in texts(verdict)


def test_i3_finds_an_initiator_that_stays_asleep() -> None:
    """The host is back, its guest is not: nobody takes back the pause of its hypercall."""

    async def finish_continuation(pe: Pe, vcpu: Vcpu, result: int) -> None:
        return

    verdict = judged(board(*CYCLE, LONG), {"finish_continuation": finish_continuation})

    assert ("I3", "domain 0 vCPU 0 had not started at the end, 1 s after its interrupt 34") in (
        texts(verdict)
    )


def test_i6_finds_a_frozen_set_that_is_not_emptied() -> None:
    """R7 forgets its last line."""

    async def set_frozen_cpus(pe: Pe, mask: int) -> None:
        if mask:
            await xen("set_frozen_cpus")(pe, mask)

    verdict = judged(board(*CYCLE, LONG), {"set_frozen_cpus": set_frozen_cpus})

    assert texts(verdict) == [
        ("I6", "frozen_cpus is 0xe after R7: the frozen set did not end empty")
    ]


def test_i4_finds_a_secondary_without_its_ppis() -> None:
    """Bug keep-irqs-breaks-delivery: a CPU that comes back does not request its PPIs again."""

    async def init_ppis(pe: Pe, cpu: CpuIndex) -> int:
        if await pe.load(pe.xen.system.system_state) == SystemState.RESUME:
            return 0
        error: int = await xen("init_ppis")(pe, cpu)
        return error

    verdict = judged(board(*CYCLE, LONG), {"init_ppis": init_ppis})

    found = [text for name, text in texts(verdict) if name == "I4"]
    assert len(found) == 3
    assert found[0].startswith("CPU1: GICD_ISENABLER is not as it was before S3: INTID 25: 0x1 bef")


def test_i7_finds_interrupts_left_with_an_unplugged_cpu() -> None:
    """Bug offlined-cpu-still-irq-target, outside of a suspend."""

    async def gicv2_set_irq_affinity(pe: Pe, intid: int, cpu: CpuIndex) -> None:
        return

    relinked = {"gicv2_set_irq_affinity": gicv2_set_irq_affinity}
    verdict = judged(board(*UNPLUG, domains=THREE), relinked)

    assert sorted(texts(verdict)) == [
        ("I7", "INTID 41 targets 0x02, of which no CPU is online, 1 s after CPU1 was unplugged"),
        ("I7", "INTID 42 targets 0x04, of which no CPU is online, 1 s after CPU2 was unplugged"),
    ]
