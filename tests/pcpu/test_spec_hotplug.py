"""A CPU that goes and one that comes: the order of what happens, and who is told of a veto."""

import pytest
from xen_bench import Bench, board

from proto.gic import PPI_HYP_TIMER
from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.image import Program
from proto.psci import Psci, PsciError
from proto.timer import ENABLE
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.cpu import cpu_down
from services.pcpu.xen.notifier import CpuEvent
from services.pcpu.xen.setup import start_secondary
from services.pcpu.xen.smpboot import arch_cpu_die, stop_cpu
from services.pcpu.xen.time import init_timers

TARGET = CpuIndex(1)


def stubs(log: list[str], *symbols: str) -> dict[str, Program]:
    """Symbols that only note that they were called, and succeed."""

    def stub(name: str) -> Program:
        async def program(pe: Pe, *args: object) -> int:
            log.append(name)
            return 0

        return program

    return {name: stub(name) for name in symbols}


@pytest.mark.parametrize(
    ("vetoed", "error", "expected"),
    [
        (
            None,
            0,
            ["rcu_barrier", "DOWN_PREPARE", "stop_machine_run", "arch_cpu_die", "DEAD"],
        ),
        (CpuEvent.DOWN_PREPARE, -Errno.ENOMEM, ["rcu_barrier", "DOWN_PREPARE", "DOWN_FAILED"]),
    ],
)
def test_a_cpu_goes_down_in_this_order(
    vetoed: CpuEvent | None, error: int, expected: list[str]
) -> None:
    """The barrier comes before everything; a veto is told to those who have agreed."""
    log: list[str] = []
    errors: list[int] = []

    async def chain(pe: Pe, cpu: CpuIndex, event: CpuEvent) -> int:
        log.append(event.name)
        return -Errno.ENOMEM if event is vetoed else 0

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, 0b11)
        errors.append(await cpu_down(pe, TARGET))

    links = stubs(log, "rcu_barrier", "stop_machine_run", "arch_cpu_die")
    Bench(program, of=board(2), relinked=links | {"cpu_notifier_call_chain": chain})

    assert log == expected
    assert errors == [error]


def test_a_secondary_comes_up_in_this_order() -> None:
    """Traps and its GIC interface before it is online; what may allocate with IRQs on."""
    log: list[str] = []

    async def chain(pe: Pe, cpu: CpuIndex, event: CpuEvent) -> int:
        log.append(event.name)
        return 0

    async def note_irqs(pe: Pe) -> None:
        log.append("IRQs masked" if pe.irq_masked else "IRQs on")

    async def program(pe: Pe) -> None:
        await pe.irq_disable()
        await start_secondary(pe, TARGET)

    steps = ("init_traps", "gic_init_secondary_cpu", "set_cpu_online", "init_ppis")
    rest = ("setup_virt_paging_one", "check_local_cpu_errata", "idle_loop", "set_processor_id")
    links = stubs(log, *steps, *rest) | {"cpu_notifier_call_chain": chain, "init_timers": note_irqs}
    Bench(program, of=board(2), relinked=links)

    assert log == [
        "set_processor_id",
        "init_traps",
        "setup_virt_paging_one",
        "gic_init_secondary_cpu",
        "STARTING",
        "set_cpu_online",
        "IRQs on",
        "init_ppis",
        "check_local_cpu_errata",
        "idle_loop",
    ]


def test_a_cpu_that_comes_up_silences_its_comparator() -> None:
    """Its state is UNKNOWN after reset: a deadline that it still held would raise the line."""

    async def program(pe: Pe) -> None:
        pe.set_cnthp(ENABLE, pe.now + MS)
        await init_timers(pe)
        await pe.delay(5 * MS)

    log = Bench(program).gic.log

    assert [entry for entry in log if entry[1:3] == ("wire", PPI_HYP_TIMER)] == []


def test_a_dying_cpu_says_so_before_cpu_off() -> None:
    """So whoever polls the flag may ask firmware while the CPU is still on."""
    flags: list[int] = []

    async def call_psci_cpu_off(pe: Pe) -> None:
        flags.append(await pe.load(pe.xen.system.cpu_is_dead))
        assert pe.irq_masked

    async def program(pe: Pe) -> None:
        await stop_cpu(pe)

    bench = Bench(program, relinked={"call_psci_cpu_off": call_psci_cpu_off})

    assert bench.halts == []
    assert flags == [1]


def test_the_flag_is_polled_every_100_ms_without_a_limit() -> None:
    """The boot CPU waits as long as it takes, and says so every second."""
    times: list[int] = []

    async def boot(pe: Pe) -> None:
        began = pe.now
        await arch_cpu_die(pe, TARGET)
        times.append((pe.now - began) // MS)

    async def target(pe: Pe) -> None:
        await pe.delay(2_350 * MS)
        await pe.store(pe.xen.system.cpu_is_dead, 1)

    bench = Bench(boot, target, of=board(2, cpu_kill="cpu_kill_believed"))

    assert times == [2_400]
    assert bench.uart.text.count("CPU 1 still not dead...") == 2


def test_published_xen_panics_when_cpu_off_returns() -> None:
    """With firmware's answer as its last word."""

    async def program(pe: Pe) -> None:
        await stop_cpu(pe)

    bench = Bench(
        program,
        of=board(1, cpu_off_refused="cpu_off_refused_panic"),
        smc=lambda function, args: PsciError.DENIED if function == Psci.CPU_OFF else 0,
    )

    assert bench.halts[0] == "PSCI cpu off failed for CPU0 err=-3 (DENIED)"
