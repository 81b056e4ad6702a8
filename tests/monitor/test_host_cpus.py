"""I4, I6 and I7 on hand-made journals: what belongs to a CPU that goes and comes back."""

import pytest
from hand_made import Script, texts

from proto.gic import GICC, GICD
from proto.ids import GICD_NODE
from proto.messages import RegWrite
from proto.platform import GICC_BASE, GICD_BASE
from proto.traces import CpuMissing, FrozenCpus, IntState, Online, PePower, SystemState
from proto.units import S
from services.monitor.prop import PATIENCE_NS

SPI = 34
PPI = 26
GIC_STEPS = (
    (GICD_BASE + GICD.ISENABLER.offset, 1 << PPI),
    (GICD_BASE + GICD.IPRIORITYR.word(PPI), 0xA0 << 16),
    (GICC_BASE + GICC.PMR.offset, 0xFF),
    (GICC_BASE + GICC.CTLR.offset, GICC.CTLR_ENABLE | GICC.CTLR_EOIMODE),
)
"""What CPU1 sets up for itself: address and value of each write."""


@pytest.fixture
def script() -> Script:
    """A booted board whose CPU1 has set its own bank up."""
    booted = Script()
    booted.boot()
    write(booted, GICD_BASE + GICD.IGROUPR.offset, 0xFFFFFFFF, "el3.pe1", secure=True)
    write(booted, GICD_BASE + GICD.IGROUPR.word(SPI), 0xFFFFFFFF, "el3.pe0", secure=True)
    write(booted, GICC_BASE + GICC.PMR.offset, 0xFF, "el3.pe1", secure=True)
    set_up(booted)
    return booted


def write(
    script: Script, address: int, value: int, src: str = "pe1", width: int = 4, secure: bool = False
) -> None:
    """A posted register write that arrives at once."""
    body = RegWrite(0, address, value, width, posted=True, secure=secure)
    script.message(src, GICD_NODE, body)


def set_up(script: Script, forgotten: int | None = None) -> None:
    """CPU1 sets its bank up, but for one step."""
    for number, (address, value) in enumerate(GIC_STEPS):
        if number != forgotten:
            write(script, address, value)


def tear_down(script: Script) -> None:
    """CPU1 releases its PPI and closes its interface, and loses its priorities with the power."""
    write(script, GICD_BASE + GICD.ICENABLER.offset, 1 << PPI)
    write(script, GICD_BASE + GICD.IPRIORITYR.word(PPI), 0)
    write(script, GICC_BASE + GICC.PMR.offset, 0)
    write(script, GICC_BASE + GICC.CTLR.offset, 0)


def route(script: Script, targets: int) -> None:
    """The SPI is enabled and goes to these CPUs."""
    write(script, GICD_BASE + GICD.ITARGETSR.byte(SPI), targets, "pe0", width=1)
    write(script, GICD_BASE + GICD.ISENABLER.word(SPI), 1 << SPI % 32, "pe0")


def unplug(script: Script) -> None:
    """CPU1 goes, and its power."""
    script.trace("pe1", Online(1, False))
    script.trace("pe1", PePower(False))


def later(script: Script, ns: int) -> None:
    """Time passes, and some interrupt comes."""
    script.now += ns
    script.trace(GICD_NODE, IntState(27, 0, True, False))


# -- I4


@pytest.mark.parametrize(
    ("forgotten", "finding"),
    [
        (None, ""),
        (0, "CPU1: GICD_ISENABLER is not as it was before S3: INTID 26: 0x1 before, 0x0 after"),
        (1, "CPU1: GICD_IPRIORITYR is not as it was before S3: INTID 26: 0xd0 before, 0x80 after"),
        (2, "CPU1: GICC_PMR is not as it was before S3: 0xf8 before, 0x80 after"),
        (3, "CPU1: GICC_CTLR is not as it was before S3: 0x201 before, 0x0 after"),
    ],
)
def test_i4_compares_what_a_secondary_sets_up(
    script: Script, forgotten: int | None, finding: str
) -> None:
    """Bug keep-irqs-breaks-delivery."""
    script.fall_asleep()
    tear_down(script)
    script.decide()
    script.sleep()
    set_up(script, forgotten)
    script.wake_up()
    later(script, PATIENCE_NS + 1)
    script.end()
    verdict = script.judged()

    assert texts(verdict, "I4") == ([finding] if finding else [])
    assert verdict.properties["I4"] == ("violated" if finding else "pass")


def test_i4_a_secondary_may_come_online_before_its_timers(script: Script) -> None:
    """R7 waits until it is online only; an interrupt may keep it from the rest for a while."""
    script.fall_asleep()
    tear_down(script)
    script.decide()
    script.sleep()
    script.wake_up()
    script.end()
    assert script.judged().properties["I4"] == "inconclusive"

    set_up(script)
    script.end()
    verdict = script.judged()

    assert (verdict.findings, verdict.undecided) == ((), ())


def test_i4_what_a_secondary_has_sent_counts_as_written(script: Script) -> None:
    """R7 ends on CPU0 while a posted write of CPU1 is still on its way."""
    script.fall_asleep()
    tear_down(script)
    set_up(script, forgotten=2)
    late = script.send("pe1", GICD_NODE, RegWrite(0, *GIC_STEPS[2], posted=True))
    script.wake_up()
    found_before = texts(script.judged(), "I4")
    script.deliver(GICD_NODE, late)

    assert found_before == texts(script.judged(), "I4") == []


def test_i4_a_secondary_that_is_missing_is_not_compared(script: Script) -> None:
    """I7 has its say about it."""
    script.fall_asleep()
    tear_down(script)
    script.trace("pe0", CpuMissing(1, -5))
    script.wake_up(cpu1=False)

    assert texts(script.judged(), "I4") == []


def test_i4_a_journal_without_r7_is_inconclusive(script: Script) -> None:
    """CPU1 may still set its bank up."""
    script.fall_asleep()
    tear_down(script)
    verdict = script.judged()

    assert texts(verdict, "I4") == []
    assert verdict.properties["I4"] == "inconclusive"


# -- I6


@pytest.mark.parametrize(("emptied", "verdict"), [(True, "pass"), (False, "violated")])
def test_i6_the_frozen_set_ends_empty(script: Script, emptied: bool, verdict: str) -> None:
    """A CPU that stays in it would be brought up again by the next resume."""
    script.fall_asleep()
    script.trace("pe0", FrozenCpus(0b10))
    script.decide()
    script.sleep()
    if emptied:
        script.trace("pe0", FrozenCpus(0))
    script.wake_up()
    script.end()
    judged = script.judged()

    assert judged.properties["I6"] == verdict
    if not emptied:
        assert texts(judged, "I6") == [
            "frozen_cpus is 0x2 after R7: the frozen set did not end empty"
        ]


def test_i6_a_frozen_set_inside_an_attempt_is_inconclusive(script: Script) -> None:
    """It is not empty before R7, and that is right."""
    script.fall_asleep()
    script.trace("pe0", FrozenCpus(0b10))
    verdict = script.judged()

    assert texts(verdict, "I6") == []
    assert verdict.properties["I6"] == "inconclusive"


# -- I7


@pytest.mark.parametrize(
    ("targets", "after_ns", "verdict"),
    [
        (0b10, 2 * S, "violated"),
        (0b10, 1000, "inconclusive"),
        (0b11, 2 * S, "pass"),
        (0b01, 2 * S, "pass"),
    ],
)
@pytest.mark.parametrize("seen", [False, True])
def test_i7_an_unplug_leaves_no_spi_behind(
    script: Script, seen: bool, targets: int, after_ns: int, verdict: str
) -> None:
    """Judged a second after the power is off, at an event or at the end of the journal."""
    route(script, targets)
    unplug(script)
    if seen:
        later(script, after_ns)
    script.now += after_ns
    script.end()
    judged = script.judged()

    assert judged.properties["I7"] == verdict
    if verdict == "violated":
        assert texts(judged, "I7") == [
            "INTID 34 targets 0x02, of which no CPU is online, 1 s after CPU1 was unplugged"
        ]


def test_i7_an_spi_may_follow_in_time(script: Script) -> None:
    """The scheduler moves it with its vCPU."""
    route(script, 0b10)
    unplug(script)
    script.now += S // 2
    route(script, 0b01)
    later(script, S)
    script.end()

    assert script.judged().properties["I7"] == "pass"


def test_i7_a_cpu_that_is_back_is_no_longer_judged(script: Script) -> None:
    """Its SPIs have a target again."""
    route(script, 0b10)
    unplug(script)
    script.trace("pe1", PePower(True), Online(1, True))
    later(script, 2 * S)
    script.end()

    assert texts(script.judged(), "I7") == []


def test_i7_the_end_of_an_attempt_judges_an_unplug_before_it(script: Script) -> None:
    """What is said twice is not clearer."""
    route(script, 0b10)
    unplug(script)
    script.trace("pe0", SystemState("suspend"))
    later(script, 2 * S)
    inside = texts(script.judged(), "I7")
    script.trace("pe0", SystemState("active"))
    later(script, 2 * S)

    assert inside == []
    assert texts(script.judged(), "I7") == ["INTID 34 targets 0x02, of which no CPU is online"]
