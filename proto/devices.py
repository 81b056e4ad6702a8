"""Register maps of the devices, shared by the nodes that implement and the software that drives.

Offsets are from the base of each device's frame (`proto.platform`: UART_BASE, TTY_BASE, RTC_BASE,
IOMMU_BASE). Every register is 32 bits wide. An offset that is in no table aborts.
"""

from proto.registers import Access, Word


class PL011:
    """Serial ports: Xen's console `uart` and the pass-through ports `tty<d>`.

    Source: DDI 0183 (PrimeCell UART PL011), Summary of registers.
    """

    DR = Word("UARTDR", 0x000, Access.RW)
    FR = Word("UARTFR", 0x018, Access.RO)
    CR = Word("UARTCR", 0x030, Access.RW)
    IMSC = Word("UARTIMSC", 0x038, Access.RW)
    RIS = Word("UARTRIS", 0x03C, Access.RO)
    MIS = Word("UARTMIS", 0x040, Access.RO)
    ICR = Word("UARTICR", 0x044, Access.WO)

    FR_RXFE = 1 << 4
    """The receive FIFO is empty."""
    FR_TXFE = 1 << 7
    """The transmit FIFO is empty: always, because output leaves at once."""

    CR_UARTEN = 1 << 0
    CR_TXE = 1 << 8
    CR_RXE = 1 << 9

    INT_RX = 1 << 4
    """Receive interrupt: the FIFO holds data. Falls when it is read empty, not by ICR."""
    INT_BREAK = 1 << 9
    """Break: the button the operator presses. Drives the line whatever IMSC says, until ICR."""


class RTC:
    """The always-on clock `rtc`: a 64-bit count of nanoseconds of board time and one alarm.

    Reading COUNT_LO latches COUNT_HI. With CTRL.ENABLE the alarm fires once, as soon as the count
    has reached ALARM: STATUS.ALARM is set, ENABLE falls. The line is high while STATUS.ALARM is.
    """

    COUNT_LO = Word("RTC_COUNT_LO", 0x00, Access.RO)
    COUNT_HI = Word("RTC_COUNT_HI", 0x04, Access.RO)
    ALARM_LO = Word("RTC_ALARM_LO", 0x08, Access.RW)
    ALARM_HI = Word("RTC_ALARM_HI", 0x0C, Access.RW)
    CTRL = Word("RTC_CTRL", 0x10, Access.RW)
    STATUS = Word("RTC_STATUS", 0x14, Access.W1C)

    CTRL_ENABLE = 1 << 0
    STATUS_ALARM = 1 << 0


class IOMMU:
    """The IOMMU: translation control, context table base, fault status.

    The fault interrupt is an edge: one pulse for each fault.
    """

    CR = Word("IOMMU_CR", 0x00, Access.RW)
    CBASE_LO = Word("IOMMU_CBASE_LO", 0x04, Access.RW)
    CBASE_HI = Word("IOMMU_CBASE_HI", 0x08, Access.RW)
    FSR = Word("IOMMU_FSR", 0x0C, Access.W1C)

    CR_ENABLE = 1 << 0
    FSR_FAULT = 1 << 0
