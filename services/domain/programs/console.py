"""The guest's console on its passed-through serial port: printk, and a line discipline."""

from proto.devices import PL011
from proto.image import symbol
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.memory import RECEIVED_BYTES, Kernel, kernel, received_byte

LINE_ENDS = (ord("\n"), ord("\r"))


def printk(cpu: GuestCpu, text: str) -> None:
    """Print one line."""
    cpu.fifo_write(text.encode() + b"\n")


@symbol
async def linux_tty_startup(cpu: GuestCpu) -> None:
    """Let received data interrupt."""
    await cpu.write(cpu.domain.tty + PL011.IMSC.offset, PL011.INT_RX)


@symbol
async def linux_tty_interrupt(cpu: GuestCpu) -> None:
    """Take received bytes and acknowledge a break; what comes later interrupts again.

    The last read gives the line time to fall before the interrupt is deactivated.
    """
    tty = cpu.domain.tty
    status = await cpu.read(tty + PL011.RIS.offset)
    if status & PL011.INT_RX:
        receive(cpu, await cpu.fifo_read())
    if status & PL011.INT_BREAK:
        await cpu.write(tty + PL011.ICR.offset, PL011.INT_BREAK)
    await cpu.read(tty + PL011.RIS.offset)


def receive(cpu: GuestCpu, data: bytes) -> None:
    """Keep received bytes for the shell; what does not fit is dropped, as a tty does."""
    head = cpu.load_word(kernel(Kernel.RECEIVED_HEAD))
    tail = cpu.load_word(kernel(Kernel.RECEIVED_TAIL))
    for byte in data[: RECEIVED_BYTES - (tail - head)]:
        cpu.store_word(received_byte(tail), byte)
        tail += 1
    cpu.store_word(kernel(Kernel.RECEIVED_TAIL), tail)


def has_line(cpu: GuestCpu) -> bool:
    """Whether a whole line, or all that the buffer holds, waits for the shell."""
    head = cpu.load_word(kernel(Kernel.RECEIVED_HEAD))
    tail = cpu.load_word(kernel(Kernel.RECEIVED_TAIL))
    if tail - head >= RECEIVED_BYTES:
        return True
    return any(cpu.load_word(received_byte(at)) in LINE_ENDS for at in range(head, tail))


def take_line(cpu: GuestCpu) -> str:
    """Take the oldest line out of the buffer, without its end."""
    head = cpu.load_word(kernel(Kernel.RECEIVED_HEAD))
    tail = cpu.load_word(kernel(Kernel.RECEIVED_TAIL))
    data = bytearray()
    while head < tail:
        byte = cpu.load_word(received_byte(head))
        head += 1
        if byte in LINE_ENDS:
            break
        data.append(byte)
    cpu.store_word(kernel(Kernel.RECEIVED_HEAD), head)
    return data.decode(errors="replace")
