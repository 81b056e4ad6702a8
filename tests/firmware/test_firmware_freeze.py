"""CPU_FREEZE: only CPU_ON releases."""

from firmware_bench import BOOT, ENTRY, Bench, script

from proto.messages import Rail, ResetReason
from proto.psci import Psci, mpidr

ON_1 = (Psci.CPU_ON, mpidr(0, 1), ENTRY, 1)
INFO_1 = (Psci.AFFINITY_INFO, mpidr(0, 1), 0)
FREEZE = script((Psci.CPU_FREEZE,))


def test_interrupts_do_not_release_it():
    """It is OFF to everybody, and stays where it is."""
    bench = Bench({BOOT: script(ON_1, 400_000, INFO_1), ENTRY: FREEZE}, irqs=[(500_000, 1)]).run()

    assert bench.pes[0].codes == [0, 1]
    assert bench.pes[1].entered == [(ENTRY, 1)]
    assert bench.pes[1].on


def test_cpu_on_releases_it_through_reset():
    """It comes back at the new entry, as after CPU_OFF."""
    again = (Psci.CPU_ON, mpidr(0, 1), ENTRY + 0x100, 2)
    bench = Bench({BOOT: script(ON_1, 400_000, again), ENTRY: FREEZE}).run()

    assert bench.pes[1].entered == [(ENTRY, 1), (ENTRY + 0x100, 2)]
    assert [rail for _, rail in bench.sends("scp", Rail)][1:] == [
        Rail(True, ResetReason.POWER_ON_REQUEST),
        Rail(False),
        Rail(True, ResetReason.POWER_ON_REQUEST),
    ]


def test_cpu_on_between_the_state_and_the_wfi():
    """OFF is published before the WFI, so the request may come first; it is not lost."""
    for seed in range(60):

        def boot(pe):
            yield ON_1
            for _ in range(60):
                yield 3_000
                if (yield Psci.CPU_ON, mpidr(0, 1), ENTRY + 0x100, 2) == 0:
                    return

        bench = Bench({BOOT: boot, ENTRY: FREEZE}, seed=seed).run()
        assert bench.pes[1].entered[-1] == (ENTRY + 0x100, 2)


def test_the_system_sleeps_with_it():
    """SYSTEM_SUSPEND takes it for OFF and cuts its power; CPU_ON brings it up afterwards."""
    resume = ENTRY + 0x200
    bench = Bench(
        {
            BOOT: script(ON_1, 400_000, (Psci.SYSTEM_SUSPEND, resume, 0)),
            ENTRY: FREEZE,
            resume: script(INFO_1, (Psci.CPU_ON, mpidr(0, 1), ENTRY + 0x100, 2)),
        },
        wakes={"rtc": [(9_000_000, 34, True)]},
    ).run()

    assert bench.pes[0].codes == [0, 1, 0]
    assert bench.pes[1].entered == [(ENTRY, 1), (ENTRY + 0x100, 2)]
