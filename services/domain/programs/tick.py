"""The guest's time: a periodic tick and one sleeper on the virtual timer."""

from proto import timer
from proto.image import symbol
from proto.units import US
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.memory import PerCpu, own, set_own
from services.domain.programs.workload import violation

WAKEUPS_MAX = 10_000
"""Interrupts a sleeper may see before its own deadline."""


def start_tick(cpu: GuestCpu) -> None:
    """Let the tick begin one period from now."""
    check_count(cpu)
    set_own(cpu, PerCpu.SLEEP_UNTIL, 0)
    set_own(cpu, PerCpu.NEXT_TICK, cpu.count() + cpu.domain.spec.tick_us * US)
    _program(cpu)


def stop_tick(cpu: GuestCpu) -> None:
    """Switch the virtual timer off."""
    cpu.set_timer(0)


def check_count(cpu: GuestCpu) -> None:
    """The virtual count never goes backwards."""
    count, last = cpu.count(), own(cpu, PerCpu.LAST_COUNT)
    if count < last:
        violation(cpu, f"CNTVCT went back from {last} to {count}")
    set_own(cpu, PerCpu.LAST_COUNT, count)


def _program(cpu: GuestCpu) -> None:
    """Aim the comparator at whatever is due next."""
    deadline = own(cpu, PerCpu.NEXT_TICK)
    sleep_until = own(cpu, PerCpu.SLEEP_UNTIL)
    cpu.set_timer(timer.ENABLE, min(deadline, sleep_until) if sleep_until else deadline)


@symbol
async def linux_timer_interrupt(cpu: GuestCpu) -> None:
    """arch_timer_handler_virt: nothing to do unless the condition is met."""
    if not cpu.timer_ctl() & timer.ISTATUS:
        return
    check_count(cpu)
    count, next_tick = cpu.count(), own(cpu, PerCpu.NEXT_TICK)
    if 0 < own(cpu, PerCpu.SLEEP_UNTIL) <= count:
        set_own(cpu, PerCpu.SLEEP_UNTIL, 0)
    if count >= next_tick:
        period = cpu.domain.spec.tick_us * US
        set_own(cpu, PerCpu.WORK_DUE, 1)
        # Ticks missed while frozen are not made up for.
        set_own(cpu, PerCpu.NEXT_TICK, count + period - (count - next_tick) % period)
    _program(cpu)


@symbol
async def linux_sleep(cpu: GuestCpu, duration_ns: int) -> None:
    """Wait with interrupts on, leaving the PE to others."""
    set_own(cpu, PerCpu.SLEEP_UNTIL, cpu.count() + duration_ns)
    _program(cpu)
    for _ in range(WAKEUPS_MAX):
        # Masked: an interrupt between the look and the WFI would be slept through.
        await cpu.irq_disable()
        if not own(cpu, PerCpu.SLEEP_UNTIL):
            break
        await cpu.wfi()
        await cpu.irq_enable()
    await cpu.irq_enable()
