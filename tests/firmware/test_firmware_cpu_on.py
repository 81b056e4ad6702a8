"""CPU_ON: refusals, their order, the winner of a race, the finish on the target."""

from collections import Counter

import pytest
from firmware_bench import BOOT, ENTRY, Bench, script

from proto.messages import PowerOn, Rail, Store
from proto.platform import DRAM_BASE, DRAM_SIZE, SRAM_BASE
from proto.psci import Affinity, Psci, PsciError, mpidr
from proto.turn import Send

JUNK = 0xDEAD_BEEF_0000_0000
SUCCESS = PsciError.SUCCESS
ALREADY_ON = PsciError.ALREADY_ON
ON_PENDING = PsciError.ON_PENDING
INVALID_ADDRESS = PsciError.INVALID_ADDRESS
INVALID_PARAMETERS = PsciError.INVALID_PARAMETERS


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (Psci.CPU_ON, (mpidr(0, 1), ENTRY, 0), SUCCESS),
        (Psci.CPU_ON, (mpidr(0, 0), ENTRY, 0), ALREADY_ON),
        (Psci.CPU_ON, (mpidr(0, 2), ENTRY, 0), INVALID_PARAMETERS),
        (Psci.CPU_ON, (1 << 31 | 1, ENTRY, 0), INVALID_PARAMETERS),
        (Psci.CPU_ON, (1 << 32 | 1, ENTRY, 0), INVALID_PARAMETERS),
        (Psci.CPU_ON_32, (1 << 24 | 1, ENTRY, 0), INVALID_PARAMETERS),
        (Psci.CPU_ON, (mpidr(0, 1), ENTRY + 1, 0), INVALID_ADDRESS),
        (Psci.CPU_ON, (mpidr(0, 1), ENTRY + 2, 0), INVALID_ADDRESS),
        (Psci.CPU_ON, (mpidr(0, 1), 0, 0), INVALID_ADDRESS),
        (Psci.CPU_ON, (mpidr(0, 1), SRAM_BASE, 0), INVALID_ADDRESS),
        (Psci.CPU_ON, (mpidr(0, 1), DRAM_BASE + DRAM_SIZE, 0), INVALID_ADDRESS),
        (Psci.CPU_ON, (mpidr(0, 1), DRAM_BASE + DRAM_SIZE - 4, 0), SUCCESS),
        (Psci.CPU_ON, (mpidr(0, 1), JUNK | ENTRY, 0), INVALID_ADDRESS),
        (Psci.CPU_ON_32, (JUNK | mpidr(0, 1), JUNK | ENTRY, 0), SUCCESS),
    ],
)
def test_refusals(function, args, expected):
    """Each argument rule has its own code; an SMC32 call has no upper halves."""
    bench = Bench({BOOT: script((function, *args))}).run()

    assert bench.pes[0].codes == [expected]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((mpidr(3, 0), ENTRY + 1, 0), INVALID_PARAMETERS),
        ((mpidr(0, 0), ENTRY + 1, 0), INVALID_ADDRESS),
        ((mpidr(0, 0), ENTRY, 0), ALREADY_ON),
    ],
)
def test_precedence(args, expected):
    """MPIDR comes before entry, entry before state."""
    bench = Bench({BOOT: script((Psci.CPU_ON, *args))}).run()

    assert bench.pes[0].codes == [expected]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((mpidr(1, 1), ENTRY, 0), PsciError.DENIED),
        ((mpidr(1, 1), ENTRY + 1, 0), INVALID_ADDRESS),
        ((mpidr(1, 0), ENTRY, 0), SUCCESS),
    ],
)
def test_a_pe_that_policy_keeps_off(args, expected):
    """DENIED comes behind the arguments' rules; AFFINITY_INFO says why, and nothing is powered."""
    info = (Psci.AFFINITY_INFO, mpidr(1, 1), 0)
    bench = Bench({BOOT: script((Psci.CPU_ON, *args), info)}, disabled=(3,)).run()

    assert bench.pes[0].codes == [expected, PsciError.DISABLED]
    assert not bench.pes[3].on


def test_target_enters_with_the_context_id():
    """The PE arrives at the entry with all 64 bits of context id in x0 and is ON."""
    calls = script((Psci.CPU_ON, mpidr(1, 1), ENTRY, JUNK | 5))
    bench = Bench({BOOT: calls}).run()

    assert bench.pes[3].entered == [(ENTRY, JUNK | 5)]
    assert bench.published(3) == ["ON_PENDING", "ON"]


def test_smc32_context_id_is_zero_extended():
    """What lies in the upper halves of an SMC32 call reaches neither entry nor x0."""
    calls = script((Psci.CPU_ON_32, JUNK | mpidr(1, 1), JUNK | ENTRY, JUNK | 5))
    bench = Bench({BOOT: calls}).run()

    assert bench.pes[3].entered == [(ENTRY, 5)]


def test_second_call_before_entry_and_after():
    """A PE on its way answers ON_PENDING, one that has arrived ALREADY_ON."""
    again = (Psci.CPU_ON, mpidr(0, 1), ENTRY + 4, 2)
    calls = script((Psci.CPU_ON, mpidr(0, 1), ENTRY, 1), again, 200_000, again)
    bench = Bench({BOOT: calls}, points={"el3.warm_boot pe1": (0, 50_000)}).run()

    assert bench.pes[0].codes == [SUCCESS, ON_PENDING, ALREADY_ON]
    assert bench.pes[1].entered == [(ENTRY, 1)]


@pytest.mark.parametrize("injected", [1, -6, -3])
def test_power_on_failure_puts_the_target_back_to_off(injected):
    """A platform that cannot power the PE up is INTERNAL_FAILURE, and a later call may win."""
    call = (Psci.CPU_ON, mpidr(0, 1), ENTRY, 1)
    bench = Bench({BOOT: script(call)}, points={"el3.CPU_ON pe1": (injected, 0)}).run()

    assert bench.pes[0].codes == [PsciError.INTERNAL_FAILURE]
    assert bench.published(1) == ["ON_PENDING", "OFF"]
    assert bench.affinity(1) is Affinity.OFF
    assert not bench.sends("el3.pe0", PowerOn)
    assert not bench.pes[1].on


def test_refused_calls_never_reach_the_point():
    """The injection point lies behind all refusals."""
    calls = script((Psci.CPU_ON, mpidr(0, 0), ENTRY, 1), (Psci.CPU_ON, mpidr(0, 0), 3, 1))
    bench = Bench({BOOT: calls}, points={"el3.CPU_ON pe0": (1, 0)}).run()

    assert bench.operator.reached == []


def race(seed):
    """PE0 and PE2 turn PE1 on at the same time, each with an entry of its own."""
    other = ENTRY + 0x100
    programs = {
        BOOT: script(
            (Psci.CPU_ON, mpidr(1, 0), other, 0), 60_000, (Psci.CPU_ON, 1, ENTRY + 0x200, 200)
        ),
        other: script(30_000, (Psci.CPU_ON, mpidr(0, 1), ENTRY + 0x300, 300)),
    }
    bench = Bench(programs, seed=seed).run()
    return bench.pes[0].codes[1], bench.pes[2].codes[0], bench


def test_two_racing_callers_have_exactly_one_winner():
    """Whatever the order, one call wins and the target starts once, with the winner's arguments."""
    seen = Counter()
    for seed in range(300):
        first, second, bench = race(seed)
        codes = sorted([first, second])
        seen[first, second] += 1

        assert codes in ([ON_PENDING, SUCCESS], [ALREADY_ON, SUCCESS])
        winner = 200 if first == SUCCESS else 300
        assert bench.pes[1].entered == [(ENTRY + winner // 100 * 0x100, winner)]
        assert bench.published(1) == ["ON_PENDING", "ON"]

    winners = {"first": 0, "second": 0}
    for (first, _), times in seen.items():
        winners["first" if first == SUCCESS else "second"] += times
    assert min(winners.values()) > 20, seen


def test_cpu_on_against_cpu_off():
    """CPU_ON sees ON until OFF is published; once it wins, the cut finishes and the PE restarts."""
    seen = Counter()
    for seed in range(300):
        again = ENTRY + 0x100

        def boot(pe, again=again):
            yield Psci.CPU_ON, mpidr(0, 1), ENTRY, 1
            yield 40_000
            while True:
                code = yield Psci.CPU_ON, mpidr(0, 1), again, 2
                if code == SUCCESS:
                    return
                yield 500

        bench = Bench({BOOT: boot, ENTRY: script((Psci.CPU_OFF,))}, seed=seed).run()
        retries = bench.pes[0].codes[1:-1]
        rails = [body.on for _, body in bench.sends("scp", Rail)]

        assert set(retries) <= {ALREADY_ON, ON_PENDING}
        assert bench.pes[1].entered == [(ENTRY, 1), (again, 2)]
        assert bench.published(1) == ["ON_PENDING", "ON", "OFF", "ON_PENDING", "ON"]
        assert rails == [True, True, False, True]
        [(asked, _)] = bench.sends("el3.pe0", PowerOn)[1:]
        [(cut, _)] = [(at, body) for at, body in bench.sends("scp", Rail) if not body.on]
        seen["before the cut" if asked < cut else "after the cut"] += 1

    assert min(seen["before the cut"], seen["after the cut"]) > 20, seen


def test_the_target_cannot_overtake_the_call_that_wakes_it():
    """The woken PE enters only after the caller has dropped the target's lock."""
    for seed in range(100):
        bench = Bench({BOOT: script((Psci.CPU_ON, mpidr(0, 1), ENTRY, 1))}, seed=seed).run()
        lock = bench.el3s[0].memory.cpus[1].cpu_lock
        unlocked = [
            turn.node
            for turn in bench.turns
            for effect in turn.effects
            if isinstance(effect, Send)
            and isinstance(effect.body, Store)
            and effect.body.address == lock
        ]

        assert unlocked == ["el3.pe0", "el3.pe1"]
