"""CPU_SUSPEND and CPU_DEFAULT_SUSPEND: standby, power-down, and power-downs given up."""

import pytest
from firmware_bench import BOOT, ENTRY, LATENCIES, Bench, script
from msgspec.structs import replace

from proto.gic import GICC
from proto.messages import Rail, ResetReason
from proto.platform import GICC_BASE, PowerStateFormat
from proto.psci import Affinity, Psci, PsciError, mpidr
from services.firmware.memory import LocalState

RESUME = ENTRY + 0x1000
STANDBY, DOWN, CLUSTER_DOWN = 0x0, 0x4000_0003, 0x4000_0033
SUSPEND = Psci.CPU_SUSPEND
BAD_ENTRY = 0x1000
INVALID = PsciError.INVALID_PARAMETERS
NOT_THERE = PsciError.INVALID_ADDRESS
ON_1 = (Psci.CPU_ON, mpidr(0, 1), ENTRY, 0)
LATE = 900_000
SLOW_CUT = replace(LATENCIES, block_power=(300_000, 300_000))


def taking(call):
    """Make a call, then take what ended it."""

    def program(pe):
        yield call
        pe.take()
        yield (Psci.VERSION,)

    return program


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((1 << 29, RESUME, 0), INVALID),
        ((1 << 31, RESUME, 0), INVALID),
        ((0x4000_0099, RESUME, 0), INVALID),
        ((0x4000_0099, BAD_ENTRY, 0), INVALID),
        ((DOWN, BAD_ENTRY, 0), NOT_THERE),
        ((DOWN, RESUME | 1, 0), NOT_THERE),
    ],
)
def test_refusals(args, expected):
    """A state that nobody knows comes before a bad entry; the PE goes on."""
    bench = Bench({BOOT: script((SUSPEND, *args), (Psci.VERSION,))}).run()
    assert bench.pes[0].codes == [expected, 0x10003]


def test_formats():
    """Each format knows its own values, and the other one's bits have to be zero."""
    original = {"power_state_format": PowerStateFormat.ORIGINAL}
    calls = [(SUSPEND, value, BAD_ENTRY, 0) for value in (0x1_0000, DOWN)]
    flags = (Psci.FEATURES, SUSPEND)

    assert Bench({BOOT: script(*calls, flags)}, **original).run().pes[0].codes == [
        NOT_THERE,
        INVALID,
        1,
    ]
    assert Bench({BOOT: script(*calls, flags)}).run().pes[0].codes == [INVALID, NOT_THERE, 3]


def test_standby_ends_with_an_interrupt_in_place():
    """SUCCESS, no reset, the entry point is not looked at, and the PE was ON all the time."""
    bench = Bench({BOOT: taking((SUSPEND, STANDBY, BAD_ENTRY, 0))}, irqs=[(LATE, 0)]).run()

    assert bench.pes[0].codes == [0, 0x10003]
    assert bench.pes[0].entered == [(BOOT, 0)]
    assert len(bench.sends("scp", Rail)) == 1
    assert bench.affinity(0) is Affinity.ON


def test_standby_without_an_interrupt_lasts():
    """Nothing else ends it."""
    assert Bench({BOOT: script((SUSPEND, STANDBY, 0, 0))}).run().pes[0].codes == []


@pytest.mark.parametrize("function", [SUSPEND, Psci.CPU_DEFAULT_SUSPEND])
def test_power_down_resumes_at_the_entry(function):
    """The rail goes off, an interrupt brings it back, the PE enters with its context."""
    args = (DOWN, RESUME, 77) if function == SUSPEND else (RESUME, 77)
    bench = Bench({BOOT: script((function, *args)), RESUME: script()}, irqs=[(LATE, 0)]).run()
    rails = [rail for _, rail in bench.sends("scp", Rail)]

    assert bench.pes[0].entered == [(BOOT, 0), (RESUME, 77)]
    assert bench.pes[0].codes == []
    assert rails == [
        Rail(True, ResetReason.COLD),
        Rail(False),
        Rail(True, ResetReason.WAKE),
    ]
    assert bench.affinity(0) is Affinity.ON


def test_smc32_context_is_zero_extended():
    """The 32-bit call takes low halves only."""
    call = (Psci.CPU_SUSPEND_32, DOWN | 1 << 40, RESUME | 1 << 40, 5 << 32 | 6)
    bench = Bench({BOOT: script(call)}, irqs=[(LATE, 0)]).run()
    assert bench.pes[0].entered[1:] == [(RESUME, 6)]


@pytest.mark.parametrize("state", [STANDBY, DOWN])
def test_pending_interrupt_is_success_in_place(state):
    """Nothing is powered down if an interrupt waits already."""
    bench = Bench({BOOT: script(200_000, (SUSPEND, state, RESUME, 0))}, irqs=[(1, 0)]).run()

    assert bench.pes[0].codes == [0]
    assert bench.pes[0].entered == [(BOOT, 0)]


def test_a_suspended_pe_is_on():
    """AFFINITY_INFO says ON, CPU_ON says ALREADY_ON, SYSTEM_SUSPEND is DENIED."""
    calls = (
        (Psci.AFFINITY_INFO, mpidr(0, 1), 0),
        ON_1,
        (Psci.SYSTEM_SUSPEND, RESUME, 0),
    )
    boot = script(ON_1, 600_000, *calls)
    bench = Bench({BOOT: boot, ENTRY: script((SUSPEND, DOWN, RESUME, 0))}).run()

    assert bench.pes[0].codes == [0, Affinity.ON, PsciError.ALREADY_ON, PsciError.DENIED]


def test_an_interrupt_never_starts_a_pe_that_is_off():
    """The same signal that wakes a suspended PE leaves one alone that called CPU_OFF."""
    bench = Bench({BOOT: script(ON_1), ENTRY: script((Psci.CPU_OFF,))}, irqs=[(LATE, 1)]).run()
    assert bench.pes[1].entered == [(ENTRY, 0)]


def test_late_interrupt_gives_the_power_down_up():
    """After the WFI, before the cut: SUCCESS in place, and everything is as it was before."""
    bench = Bench(
        {BOOT: taking((SUSPEND, CLUSTER_DOWN, RESUME, 0))},
        clusters=(1, 1),
        irqs=[(150_000, 0)],
        latencies=SLOW_CUT,
    ).run()
    memory, cells = bench.el3s[0].memory, bench.dram.cells
    ctlr = [v for _, a, v in bench.gicd.written if a == GICC_BASE + GICC.CTLR.offset]

    assert bench.pes[0].codes == [0, 0x10003]
    assert len(bench.sends("scp", Rail)) == 1
    assert cells[memory.clusters[0].local_state] == LocalState.RUN
    assert cells[memory.cpus[0].local_state] == LocalState.RUN
    assert not [d for d in memory.domains if cells[d.lock]]
    assert len(ctlr) == 3  # set up, closed, open again


def test_interrupts_at_any_time_are_never_lost():
    """Whenever the interrupt comes, the PE goes on once: in place, or at the entry."""
    ways = set()
    for at in range(20_000, 300_000, 3_000):
        bench = Bench(
            {BOOT: taking((SUSPEND, DOWN, RESUME, 0)), RESUME: taking((Psci.VERSION,))},
            seed=at,
            irqs=[(at, 0)],
        ).run()
        entered, codes = bench.pes[0].entered[1:], bench.pes[0].codes
        ways.add((len(entered), *codes))

    assert ways == {(0, 0, 0x10003), (1, 0x10003, 0x10003)}


def test_late_interrupt_and_system_suspend():
    """Where the platform gives SYSTEM_SUSPEND up too, it returns SUCCESS and nothing was cut."""
    bench = Bench(
        {BOOT: taking((Psci.SYSTEM_SUSPEND, RESUME, 0))},
        irqs=[(150_000, 0)],
        late_abandon=True,
        latencies=replace(LATENCIES, system_power=(300_000, 300_000)),
    ).run()

    assert bench.pes[0].codes == [0, 0x10003]
    assert bench.operator.led == []
    assert bench.dram.cells[bench.el3s[0].memory.system.local_state] == LocalState.RUN
