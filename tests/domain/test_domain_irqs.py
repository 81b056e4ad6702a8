"""Virtual interrupts as a guest takes them."""

from domain_bench import Wires, pending_lr
from entry_bench import PE0, SPEC, entered, image, only_exit, state

from proto.gic import GICC
from proto.messages import (
    ExitReason,
    VcpuKick,
    VcpuLoad,
    VcpuRun,
    VirtualDeactivate,
)
from proto.platform import GICC_BASE
from proto.traces import GuestIrq, GuestWork
from services.domain.guest_cpu import GuestCpu

# -- virtual interrupts


async def taking(cpu: GuestCpu, x0: int) -> None:
    """Opens its interrupts and computes."""
    cpu.msr("VBAR_EL1", cpu.address("linux_vectors"))
    await cpu.write(GICC_BASE + GICC.PMR.offset, 0xF0)
    await cpu.write(GICC_BASE + GICC.CTLR.offset, 0b111)
    await cpu.irq_enable()
    await cpu.work(1_000)
    await cpu.hvc(0, 1)


async def handler(cpu: GuestCpu) -> None:
    """Acknowledges, computes a little and ends."""
    iar = await cpu.read(GICC_BASE + GICC.IAR.offset)
    await cpu.work(10)
    await cpu.write(GICC_BASE + GICC.EOIR.offset, iar)


def test_an_interrupt_is_taken_inside_work_and_its_eret_goes_on() -> None:
    """The handler's time does not count for the work below it, and PSTATE.I is restored."""
    wires = entered(taking, vector=handler)
    wires.now = 400
    wires.send(PE0, VcpuKick(0, 1))
    wires.send(PE0, VcpuRun(0, 2, (pending_lr(40, 40), pending_lr(27), 0, 0)))

    assert wires.traces[1:] == [GuestIrq(1, 0, 27)]
    assert wires.timers == {"work.0": 410}
    wires.fire("work.0")
    assert wires.traces[2:] == [GuestIrq(1, 0, 40)]
    assert wires.fire("work.0") == [VirtualDeactivate(0, 40)]
    assert wires.timers == {"work.0": 420 + 600}
    exit_ = only_exit(wires.fire("work.0"))
    assert (exit_.reason, exit_.lrs[1] >> 28 & 3) == (ExitReason.HVC, 0)


def test_a_masked_interrupt_waits_in_its_list_register() -> None:
    """PSTATE.I keeps it pending; opening takes it before the next instruction."""
    seen = []

    async def masked(cpu: GuestCpu, x0: int) -> None:
        cpu.msr("VBAR_EL1", cpu.address("linux_vectors"))
        await cpu.write(GICC_BASE + GICC.PMR.offset, 0xF0)
        await cpu.write(GICC_BASE + GICC.CTLR.offset, 0b111)
        await cpu.work(100)
        seen.append("before")
        await cpu.irq_enable()
        seen.append("after")
        await cpu.wfi()

    async def noting(cpu: GuestCpu) -> None:
        await handler(cpu)
        seen.append("handled")

    wires = Wires(SPEC, image(masked, noting))
    wires.send(PE0, VcpuLoad(1, 0, 0, state()))
    wires.send(PE0, VcpuRun(0, 1, (pending_lr(27), 0, 0, 0)))
    assert wires.traced(GuestIrq) == []
    wires.fire("work.0")
    wires.fire("work.0")

    assert seen == ["before", "handled", "after"]


def test_a_guest_without_vectors_halts() -> None:
    """An interrupt with no program at VBAR_EL1 is reported; the guest spins until kicked."""

    async def program(cpu: GuestCpu, x0: int) -> None:
        await cpu.write(GICC_BASE + GICC.PMR.offset, 0xF0)
        await cpu.write(GICC_BASE + GICC.CTLR.offset, 0b111)
        await cpu.irq_enable()
        await cpu.wfi()

    wires = Wires(SPEC, image(program))
    wires.send(PE0, VcpuLoad(1, 0, 0, state()))

    assert wires.send(PE0, VcpuRun(0, 1, (pending_lr(27), 0, 0, 0))) == []
    (work,) = wires.traced(GuestWork)
    assert (work.intact, work.detail) == (False, "halted: no exception vectors at 0x0")
    assert only_exit(wires.send(PE0, VcpuKick(0, 1))).reason is ExitReason.IRQ
