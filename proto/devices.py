"""Register maps of the devices, shared by the nodes that implement and the software that drives.

Offsets are from the base of each device's frame (`proto.platform`: UART_BASE, TTY_BASE, RTC_BASE,
IOMMU_BASE). Every register is 32 bits wide. An offset that is in no table aborts.
"""

from typing import ClassVar

from proto.platform import ConsoleDriver, IommuDriver
from proto.registers import Access, Bits, Word


class PL011:
    """Serial ports: the pass-through ports `tty<d>`, and Xen's console `uart` on some platforms.

    Output of a `tty<d>` leaves at once, that of `uart` at the speed of the line.
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
    FR_TXFF = 1 << 5
    """The transmit FIFO is full."""
    FR_TXFE = 1 << 7
    """The transmit FIFO is empty."""

    FIFO_SIZE = 16

    CR_UARTEN = 1 << 0
    CR_TXE = 1 << 8
    CR_RXE = 1 << 9

    INT_RX = 1 << 4
    """Receive interrupt: the FIFO holds data. Falls when it is read empty, not by ICR."""
    INT_TX = 1 << 5
    """Transmit interrupt: the FIFO has become empty. Falls when it is written, or by ICR."""
    INT_BREAK = 1 << 9
    """Break: the button the operator presses. Drives the line whatever IMSC says, until ICR."""


class SCIF:
    """Xen's console `uart` on most platforms: serial interface with FIFO of R-Car boards (HSCIF).

    The FIFO flags of SCFSR are levels and writing them changes nothing; its error flags are cleared
    by a written 0. The registers are 8 or 16 bits wide and are accessed as words.
    Source: Renesas R-Car Gen3 user's manual, HSCIF, Register descriptions; Linux, sh-sci.h.
    """

    SCSMR = Word("SCSMR", 0x00, Access.RW)
    SCBRR = Word("SCBRR", 0x04, Access.RW)
    SCSCR = Word("SCSCR", 0x08, Access.RW)
    SCFTDR = Word("SCFTDR", 0x0C, Access.WO)
    SCFSR = Word("SCFSR", 0x10, Access.RW)
    SCFRDR = Word("SCFRDR", 0x14, Access.RO)
    SCFCR = Word("SCFCR", 0x18, Access.RW)
    SCFDR = Word("SCFDR", 0x1C, Access.RO)
    """How many bytes the FIFOs hold: transmit from bit 8, receive from bit 0."""
    SCLSR = Word("SCLSR", 0x24, Access.RW)

    FIFO_SIZE = 128

    SCSCR_REIE = 1 << 3
    SCSCR_RE = 1 << 4
    SCSCR_TE = 1 << 5
    SCSCR_RIE = 1 << 6
    SCSCR_TIE = 1 << 7

    SCFSR_DR = 1 << 0
    SCFSR_RDF = 1 << 1
    """The receive FIFO holds data."""
    SCFSR_BRK = 1 << 4
    """A break was received; a written 0 clears it."""
    SCFSR_TDFE = 1 << 5
    """The transmit FIFO holds no more than its trigger level."""
    SCFSR_TEND = 1 << 6
    """The last byte has left."""
    SCFSR_ER = 1 << 7

    SCFCR_RFRST = 1 << 1
    SCFCR_TFRST = 1 << 2
    """While set, the transmit FIFO is held empty."""
    SCFCR_TTRG = Bits(5, 4)
    SCFCR_RTRG = Bits(7, 6)

    TRIGGER: ClassVar[tuple[int, ...]] = (8, 4, 2, 0)
    """SCFCR.TTRG to the level at which TDFE is set."""


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


class IPMMU:
    """The IOMMU of R-Car boards, IPMMU-VMSA: one root with its contexts, and a cache unit.

    A context translates, a micro-TLB of the cache unit sends one DMA master's accesses to a
    context. The fault interrupt is an edge: one pulse for each fault.
    Source: Renesas R-Car Gen3 user's manual, IPMMU; Linux, drivers/iommu/ipmmu-vmsa.c.
    """

    IMCTR = Word("IMCTR0", 0x000, Access.RW)
    IMTTBCR = Word("IMTTBCR0", 0x008, Access.RW)
    IMTTLBR = Word("IMTTLBR00", 0x010, Access.RW)
    IMTTUBR = Word("IMTTUBR00", 0x014, Access.RW)
    IMSTR = Word("IMSTR0", 0x020, Access.W1C)
    IMUCTR0 = Word("IMUCTR0", 0x300, Access.RW)
    IMUASID0 = Word("IMUASID0", 0x308, Access.RW)
    IMUCTR1 = Word("IMUCTR1", 0x310, Access.RW)
    IMUASID1 = Word("IMUASID1", 0x318, Access.RW)

    CONTEXT: ClassVar[tuple[Word, ...]] = (IMTTLBR, IMTTUBR, IMTTBCR, IMCTR)
    """Registers of a root context, in the order in which they are programmed."""
    MICRO_TLBS: ClassVar[tuple[Word, ...]] = (IMUASID0, IMUCTR0, IMUASID1, IMUCTR1)
    """Registers of the cache unit's micro-TLBs, likewise."""

    IMCTR_MMUEN = 1 << 0
    IMCTR_FLUSH = 1 << 1
    IMCTR_INTEN = 1 << 2
    IMSTR_TF = 1 << 0
    """Translation fault."""
    IMUCTR_MMUEN = 1 << 0
    IMUCTR_FLUSH = 1 << 1


class SMMUV3:
    """An SMMUv3: control, its queues' positions, and what becomes of accesses while it is off.

    Queues and tables lie in memory and are not modelled: a queue's entries count, not their
    content. Source: IHI 0070 (SMMU architecture version 3), Register formats.
    """

    IDR0 = Word("SMMU_IDR0", 0x00, Access.RO)
    CR0 = Word("SMMU_CR0", 0x20, Access.RW)
    CR0ACK = Word("SMMU_CR0ACK", 0x24, Access.RO)
    CR1 = Word("SMMU_CR1", 0x28, Access.RW)
    CR2 = Word("SMMU_CR2", 0x2C, Access.RW)
    GBPA = Word("SMMU_GBPA", 0x44, Access.RW)
    IRQ_CTRL = Word("SMMU_IRQ_CTRL", 0x50, Access.RW)
    IRQ_CTRLACK = Word("SMMU_IRQ_CTRLACK", 0x54, Access.RO)
    STRTAB_BASE = Word("SMMU_STRTAB_BASE", 0x80, Access.RW)
    STRTAB_BASE_CFG = Word("SMMU_STRTAB_BASE_CFG", 0x88, Access.RW)
    CMDQ_BASE = Word("SMMU_CMDQ_BASE", 0x90, Access.RW)
    CMDQ_PROD = Word("SMMU_CMDQ_PROD", 0x98, Access.RW)
    CMDQ_CONS = Word("SMMU_CMDQ_CONS", 0x9C, Access.RW)
    EVENTQ_BASE = Word("SMMU_EVENTQ_BASE", 0xA0, Access.RW)
    EVENTQ_PROD = Word("SMMU_EVENTQ_PROD", 0xA8, Access.RW)
    EVENTQ_CONS = Word("SMMU_EVENTQ_CONS", 0xAC, Access.RW)
    EVENTQ_IRQ_CFG0 = Word("SMMU_EVENTQ_IRQ_CFG0", 0xB0, Access.RW)
    """Address that the event queue's MSI is written to; 0 for none."""

    IDR0_MSI = 1 << 13
    CR0_SMMUEN = 1 << 0
    CR0_EVENTQEN = 1 << 2
    CR0_CMDQEN = 1 << 3
    GBPA_ABORT = 1 << 20
    GBPA_UPDATE = 1 << 31
    IRQ_CTRL_EVENTQ_IRQEN = 1 << 2


class SMMU:
    """An SMMUv1 or v2: global control and fault status.

    Source: IHI 0062 (SMMU architecture version 2), SMMU_sCR0, SMMU_sGFSR.
    """

    CR0 = Word("SMMU_sCR0", 0x00, Access.RW)
    GFSR = Word("SMMU_sGFSR", 0x48, Access.W1C)

    CR0_CLIENTPD = 1 << 0
    """Client accesses bypass the SMMU; set by reset."""
    CR0_GFIE = 1 << 2
    """Global faults are reported by an interrupt."""
    GFSR_ICF = 1 << 0
    """Invalid context fault."""


class ABSENT:
    """The empty frame of a board without an IOMMU: every access aborts."""


CONSOLES: dict[ConsoleDriver, type] = {ConsoleDriver.SCIF: SCIF, ConsoleDriver.PL011: PL011}
"""Register table of `uart`."""

IOMMUS: dict[IommuDriver, type] = {
    IommuDriver.IPMMU_VMSA: IPMMU,
    IommuDriver.SMMUV3: SMMUV3,
    IommuDriver.SMMU: SMMU,
    IommuDriver.NONE: ABSENT,
}
"""Register table of `iommu`."""
