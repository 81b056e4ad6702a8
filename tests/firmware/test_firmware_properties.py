"""Rules that hold in general: one winner, the tree, OS-initiated mode; random calls and seeds."""

from firmware_bench import BOOT, ENTRY, Bench, script
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.psci import Affinity, Psci, PsciError, mpidr
from proto.traces import AffinityState, PeHalted
from services.firmware.memory import LocalState

SEEDS = st.integers(0, 2**32 - 1)
RUN, RETENTION, OFF = LocalState.RUN, LocalState.RETENTION, LocalState.OFF
STATES = {
    0x0: (RETENTION, RUN, RUN),
    0x4000_0003: (OFF, RUN, RUN),
    0x4000_0023: (OFF, RETENTION, RUN),
    0x4000_0033: (OFF, OFF, RUN),
    0x4000_0333: (OFF, OFF, OFF),
}
NAMES = {RUN: "run", RETENTION: "standby", OFF: "power-down"}
TABLE = {value: tuple(NAMES[s] for s in states) for value, states in STATES.items()}
CHOICES = st.sampled_from(sorted(STATES))
AT_REST = 900_000
LEAVES = {2: mpidr(1, 0), 3: mpidr(1, 1)}


def released(cells, memory):
    """Whether no lock is left behind."""
    locks = [domain.lock for domain in memory.domains] + [cpu.cpu_lock for cpu in memory.cpus]
    return not any(cells[lock] for lock in locks)


@given(SEEDS, st.lists(st.integers(0, 60_000), min_size=8, max_size=8))
@settings(max_examples=60, deadline=None)
def test_exactly_one_winner_of_each_off_period(seed, pauses):
    """Three PEs start a fourth again and again while it goes away: one SUCCESS, one entry each."""

    def caller(first):
        def program(pe):
            for pause in pauses[first:] + pauses[:first]:
                yield pause
                code = yield Psci.CPU_ON, mpidr(1, 1), ENTRY, pe.cpu
                assert code in (0, PsciError.ALREADY_ON, PsciError.ON_PENDING)

        return program

    def boot(pe):
        yield Psci.CPU_ON, mpidr(0, 1), ENTRY + 0x100, 0
        yield Psci.CPU_ON, mpidr(1, 0), ENTRY + 0x200, 0
        yield from caller(0)(pe)

    programs = {
        BOOT: boot,
        ENTRY: script((Psci.CPU_OFF,)),
        ENTRY + 0x100: caller(3),
        ENTRY + 0x200: caller(5),
    }
    bench = Bench(programs, seed=seed).run()
    won = [pe.cpu for pe in bench.pes[:3] for code in _answers(pe) if code == 0]
    entered = [x0 for entry, x0 in bench.pes[3].entered]
    pending = [t.state for t in bench.traces(AffinityState) if t.cpu == 3].count("ON_PENDING")

    assert sorted(won) == sorted(entered)
    assert pending == len(entered)
    assert not bench.traces(PeHalted)
    assert released(bench.dram.cells, bench.el3s[0].memory)


def _answers(pe):
    """Answers to the CPU_ON calls of the race."""
    return pe.codes[2:] if pe.cpu == 0 else pe.codes


@given(SEEDS, CHOICES, CHOICES)
@settings(max_examples=60, deadline=None)
def test_the_shallowest_request_wins(seed, first, second):
    """Two PEs of a cluster go to sleep at once, in any order, while PE 0 runs."""
    calls = {2: first, 3: second}
    boot = script(
        *((Psci.CPU_ON, target, ENTRY + 0x100 * cpu, 0) for cpu, target in LEAVES.items())
    )
    sleepers = {
        ENTRY + 0x100 * cpu: script((Psci.CPU_SUSPEND, value, ENTRY, 0))
        for cpu, value in calls.items()
    }
    bench = Bench({BOOT: boot, **sleepers}, seed=seed, power_states=TABLE).run()
    memory, cells = bench.el3s[0].memory, bench.dram.cells

    assert cells[memory.clusters[1].local_state] == min(STATES[v][1] for v in calls.values())
    assert cells[memory.system.local_state] == RUN
    assert [cells[memory.cpus[cpu].local_state] for cpu in calls] == [
        STATES[value][0] for value in calls.values()
    ]
    assert [bench.affinity(cpu) for cpu in calls] == [Affinity.ON] * 2
    assert released(cells, memory)


@given(SEEDS, CHOICES, CHOICES, st.integers(300_000, 900_000))
@settings(max_examples=60, deadline=None)
def test_one_awake_pe_keeps_its_domains_running(seed, first, second, at):
    """Whoever wakes takes everything above it along; the other one sleeps on."""
    boot = script(
        *((Psci.CPU_ON, target, ENTRY + 0x100 * cpu, 0) for cpu, target in LEAVES.items())
    )
    programs = {
        BOOT: boot,
        ENTRY + 0x200: script((Psci.CPU_SUSPEND, first, ENTRY, 0)),
        ENTRY + 0x300: script((Psci.CPU_SUSPEND, second, ENTRY, 0)),
    }
    bench = Bench(programs, seed=seed, power_states=TABLE, irqs=[(at, 2)]).run()
    memory, cells = bench.el3s[0].memory, bench.dram.cells

    assert cells[memory.clusters[1].local_state] == RUN
    assert cells[memory.cpus[2].local_state] == RUN
    assert cells[memory.cpus[3].local_state] == STATES[second][0]


@given(SEEDS, CHOICES, CHOICES, st.integers(0, 40_000))
@settings(max_examples=60, deadline=None)
def test_os_initiated_mode_never_lies(seed, first, second, pause):
    """A node sleeps only if all below it do at least as deeply, and just as the last one named."""
    boot = script(
        (Psci.SET_SUSPEND_MODE, 1),
        *((Psci.CPU_ON, target, ENTRY + 0x100 * cpu, 0) for cpu, target in LEAVES.items()),
    )
    calls = {2: first, 3: second}
    programs = {
        BOOT: boot,
        ENTRY + 0x200: script((Psci.CPU_SUSPEND, first, ENTRY, 0)),
        ENTRY + 0x300: script(pause, (Psci.CPU_SUSPEND, second, ENTRY, 0)),
    }
    bench = Bench(programs, seed=seed, power_states=TABLE).run()
    memory, cells = bench.el3s[0].memory, bench.dram.cells
    cluster = cells[memory.clusters[1].local_state]
    cores = [cells[memory.cpus[cpu].local_state] for cpu in calls]

    assert cluster <= min(cores)
    assert cells[memory.system.local_state] == RUN
    for cpu, value in calls.items():
        refused = bench.pes[cpu].codes
        if refused:
            assert refused[0] in (PsciError.DENIED, PsciError.INVALID_PARAMETERS)
            assert STATES[value][1] is not RUN
        else:
            assert cells[memory.cpus[cpu].local_state] == STATES[value][0]
    if cluster:
        assert cluster in {STATES[value][1] for value in calls.values()}
    assert released(cells, memory)


def test_a_deeper_tree():
    """Nested clusters are levels of their own: a group sleeps when both of its clusters do."""
    clusters = ((1,), (1, 1))
    down = {0x4000_0000: ("power-down",) * 3, 0x4000_0001: ("power-down",) * 2}
    group = (Psci.NODE_HW_STATE, 1 << 16, 2)
    for second, expected in ((0x4000_0000, 1), (0x4000_0001, 0)):
        programs = {
            BOOT: script(
                (Psci.CPU_ON, 1 << 16, ENTRY, 0),
                (Psci.CPU_ON, 1 << 16 | 1 << 8, ENTRY + 0x100, 0),
                AT_REST,
                group,
            ),
            ENTRY: script((Psci.CPU_SUSPEND, 0x4000_0000, ENTRY, 0)),
            ENTRY + 0x100: script((Psci.CPU_SUSPEND, second, ENTRY, 0)),
        }
        bench = Bench(programs, clusters=clusters, power_states=down).run()
        assert bench.pes[0].codes == [0, 0, expected]
