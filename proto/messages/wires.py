"""Interrupt wires."""

from typing import ClassVar

from proto.messages.base import Message


class Wire(Message, frozen=True):
    """An interrupt line into `gicd`: `cpu` is the PE of a PPI and -1 for an SPI."""

    intid: int
    level: bool
    cpu: int = -1
    link: ClassVar[str] = "wire"


class IrqOutput(Message, frozen=True):
    """nIRQCPU of one CPU interface: `gicd` to a PE."""

    level: bool
    link: ClassVar[str] = "wire"


class WakeLine(Message, frozen=True):
    """A wake source's own always-on line, or the GIC's wake request, into `scp`.

    `cpu` is the PE whose wakeup output the GIC raises; -1 for a source's own line, which names no
    PE.
    """

    intid: int
    level: bool
    cpu: int = -1
    link: ClassVar[str] = "wire"


class VirtualDeactivate(Message, frozen=True):
    """A guest's deactivation of a list register with HW=1: a domain's posted write to `gicd`."""

    cpu: int
    intid: int
    link: ClassVar[str] = "device"
