"""SYSTEM_RESET, SYSTEM_RESET2, SYSTEM_OFF2: what goes off, what comes back, what is refused."""

import pytest
from firmware_bench import BOOT, ENTRY, Bench, script

from proto.messages import BlockPower, Rail, ResetReason
from proto.psci import Affinity, Psci, PsciError, mpidr
from proto.traces import SystemPower

INVALID = PsciError.INVALID_PARAMETERS
ON_1 = (Psci.CPU_ON, mpidr(0, 1), ENTRY, 0)
ON_2 = (Psci.CPU_ON, mpidr(1, 0), ENTRY + 0x100, 0)


def first_time_only(*wishes):
    """A boot program that makes these calls in its first life alone."""
    lives = []

    def program(pe):
        lives.append(pe.now)
        if len(lives) == 1:
            yield from script(*wishes)(pe)

    return program


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ((Psci.SYSTEM_RESET,), "cold-boot"),
        ((Psci.SYSTEM_RESET2, 0, 99), "warm-boot"),
        ((Psci.SYSTEM_RESET2_32, 1 << 32, 0), "warm-boot"),
    ],
)
def test_reset_boots_pe_0_alone(call, shown):
    """Whoever calls and whatever the others do: PE 0 cold boots, all others are OFF."""
    suspended = script((Psci.CPU_SUSPEND, 0x4000_0003, ENTRY, 0))
    for seed in range(20):
        boot = first_time_only(ON_1, ON_2)
        bench = Bench(
            {BOOT: boot, ENTRY: suspended, ENTRY + 0x100: script(200_000, call)}, seed=seed
        ).run()

        assert bench.pes[0].entered == [(BOOT, 0), (BOOT, 0)]
        assert [bench.affinity(cpu) for cpu in range(4)] == [Affinity.ON] + [Affinity.OFF] * 3
        assert [pe.on for pe in bench.pes] == [True, False, False, False]
        assert bench.operator.led == [shown, "on"]
        assert [t.state for t in bench.traces(SystemPower)] == [shown, "on"]


def test_blocks_lose_their_state():
    """Every block goes off with `reset`, which no power model outlives, and on again."""
    bench = Bench({BOOT: first_time_only((Psci.SYSTEM_RESET,))}).run()
    orders = [body for _, body in bench.sends("scp", BlockPower)]

    assert orders == [BlockPower(False, True)] * 3 + [BlockPower(True)] * 3
    assert bench.sends("scp", Rail)[-1][1] == Rail(True, ResetReason.COLD)


def test_a_pe_that_was_pending_does_not_come_up():
    """The reset ends what CPU_ON had begun, whatever the seed."""
    for seed in range(60):
        boot = first_time_only(ON_1, (Psci.SYSTEM_RESET,))
        bench = Bench({BOOT: boot}, seed=seed).run()

        assert not bench.pes[1].on
        assert bench.affinity(1) is Affinity.OFF


def test_works_again_after_a_reset():
    """CPU_ON and CPU_OFF of the second life are those of the first."""
    lives = []

    def boot(pe):
        lives.append(pe.now)
        yield ON_1
        yield 300_000
        if len(lives) == 1:
            yield (Psci.SYSTEM_RESET,)

    bench = Bench({BOOT: boot, ENTRY: script((Psci.CPU_OFF,))}).run()

    assert bench.pes[0].codes == [0, 0]
    assert bench.pes[1].entered == [(ENTRY, 0)] * 2


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ((Psci.SYSTEM_RESET2, 1, 0), INVALID),
        ((Psci.SYSTEM_RESET2, 1 << 31, 0), INVALID),
        ((Psci.SYSTEM_OFF2, 2, 0), INVALID),
        ((Psci.SYSTEM_OFF2, 1, 1), INVALID),
        ((Psci.SYSTEM_OFF2, 1, 1 << 32), INVALID),
    ],
)
def test_refusals(call, expected):
    """Types that this platform does not have, and a cookie that must be zero."""
    assert Bench({BOOT: script(call)}).run().pes[0].codes == [expected]


@pytest.mark.parametrize("kind", [0, 1])
def test_hibernate_off(kind):
    """SYSTEM_OFF2 switches everything off, as SYSTEM_OFF does."""
    bench = Bench({BOOT: script((Psci.SYSTEM_OFF2, kind, 0))}).run()

    assert bench.operator.led == ["off"]
    assert not bench.pes[0].on
