"""The distributor that guests see: what reads back, what reaches the hardware, what is refused."""

import pytest
from xen_bench import Bench, board

from proto.gic import GICD, SGIR
from proto.platform import GICD_BASE, RTC_SPI, TTY_SPI
from services.pcpu.pe import Pe
from services.pcpu.xen.vgic_v2 import vgic_v2_distr_mmio

READ = None
OWN, FOREIGN = TTY_SPI + 1, TTY_SPI
BEYOND = 96


def accesses(*todo: tuple[int, int, int | None], domain: int = 1) -> tuple[list[int | None], Bench]:
    """Answers to accesses (offset, width, value or READ) of vCPU 0 of a domain with two."""
    answers: list[int | None] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus_of(domain)[0]
        pe.current = vcpu
        for offset, width, value in todo:
            answers.append(
                await vgic_v2_distr_mmio(
                    pe, vcpu, GICD_BASE + offset, width, value is not None, value or 0
                )
            )

    bench = Bench(program, of=board(2, (2, 2)))
    assert bench.halts == []
    return answers, bench


def written(bench: Bench, offset: int) -> list[int]:
    """Values written to a register of the real distributor."""
    at = GICD_BASE + offset
    return [value for _, kind, where, value in bench.gic.log if (kind, where) == ("write", at)]


def test_enabling_an_spi_reaches_the_hardware_if_it_is_the_guests() -> None:
    """Another domain's is enabled for nobody."""
    word = 1 << OWN % 32 | 1 << FOREIGN % 32
    answers, bench = accesses(
        (GICD.ISENABLER.word(OWN), 4, word),
        (GICD.ISENABLER.word(OWN), 4, READ),
        (GICD.ICENABLER.word(OWN), 4, 1 << OWN % 32),
        (GICD.ICENABLER.word(OWN), 4, READ),
        (GICD.ISENABLER.word(16), 4, 1 << 27),
        (GICD.ISENABLER.word(16), 4, READ),
    )

    assert answers == [0, word, 0, 1 << FOREIGN % 32, 0, 1 << 27]
    assert written(bench, GICD.ISENABLER.word(OWN)) == [1 << OWN % 32]
    assert written(bench, GICD.ICENABLER.word(OWN)) == [1 << OWN % 32]


def test_priorities_read_back_as_written() -> None:
    """By byte and by word, private and shared."""
    word, byte = GICD.IPRIORITYR.word(TTY_SPI), GICD.IPRIORITYR.byte(TTY_SPI + 1)
    private = GICD.IPRIORITYR.byte(27)
    answers, _ = accesses(
        (word, 4, 0xA0B0C0D0),
        (byte, 1, 0x55),
        (word, 4, READ),
        (byte, 1, READ),
        (private, 1, 0x78),
        (private, 1, READ),
        (GICD.IPRIORITYR.word(24), 4, READ),
    )

    assert answers == [0, 0, 0xA0B055D0, 0x55, 0, 0x78, 0x7800_0000]


def test_targets_name_one_vcpu() -> None:
    """The lowest named; naming none changes nothing; private ones go to the reader."""
    word = GICD.ITARGETSR.word(TTY_SPI)
    answers, bench = accesses(
        (word, 4, READ),
        (word, 4, 0x0003_0200),
        (word, 4, READ),
        (GICD.ITARGETSR.byte(TTY_SPI + 1), 1, 0xF8),
        (word, 4, READ),
        (GICD.ITARGETSR.word(0), 4, 0x0202_0202),
        (GICD.ITARGETSR.word(0), 4, READ),
    )

    assert answers == [0x0101_0101, 0, 0x0101_0201, 0, 0x0101_0201, 0, 0x0101_0101]
    # Only the guest's own reaches the hardware: vCPU 1 of it is on CPU 0 still.
    assert written(bench, GICD.ITARGETSR.byte(OWN)) == [1 << 0]


def test_triggers_read_back_and_reach_the_hardware_of_the_hardware_domain() -> None:
    """When the interrupt is enabled; SGIs are edge, PPIs level, whatever is written."""
    config, enable = GICD.ICFGR.word(RTC_SPI), GICD.ISENABLER.word(RTC_SPI)
    edge = 0b10 << RTC_SPI % 16 * 2
    todo = (
        (config, 4, edge),
        (config, 4, READ),
        (GICD.ICFGR.word(0), 4, 0),
        (GICD.ICFGR.word(0), 4, READ),
        (GICD.ICFGR.word(16), 4, 0xFFFF_FFFF),
        (GICD.ICFGR.word(16), 4, READ),
        (enable, 4, 1 << RTC_SPI % 32),
    )
    answers, bench = accesses(*todo, domain=0)

    assert answers == [0, edge, 0, 0xAAAA_AAAA, 0, 0, 0]
    assert written(bench, config) == [edge]


def test_identification_and_control() -> None:
    """As many CPUs as the domain has vCPUs."""
    answers, _ = accesses(
        (GICD.TYPER.offset, 4, READ),
        (GICD.IIDR.offset, 4, READ),
        (GICD.CTLR.offset, 4, 0xFF),
        (GICD.CTLR.offset, 4, READ),
        (GICD.TYPER.offset, 4, 5),
    )

    assert answers == [1 << 5 | 2, 0x43B, 0, 1, 0]


def test_setting_pending_injects_and_the_rest_of_the_state_is_hidden() -> None:
    """SGIs are made by SGIR only, the guest's SPI by the hardware; the state reads as zero."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        pe.current = vcpu
        for offset, value in (
            (GICD.ISPENDR.word(0), 1 << 27 | 1 << 3),
            (GICD.ISPENDR.word(TTY_SPI), 1 << TTY_SPI % 32 | 1 << OWN % 32),
        ):
            await vgic_v2_distr_mmio(pe, vcpu, GICD_BASE + offset, 4, True, value)
        seen.append(await pe.load(pe.xen.vcpu[0].vgic_pending[0]))

    bench = Bench(program)
    hidden = (GICD.ISPENDR, GICD.ICPENDR, GICD.ISACTIVER, GICD.ICACTIVER)
    answers, _ = accesses(
        *((register.word(TTY_SPI), 4, READ) for register in hidden),
        (GICD.ICPENDR.word(TTY_SPI), 4, 1),
        (GICD.ICACTIVER.word(TTY_SPI), 4, 1),
        (GICD.ISACTIVER.word(TTY_SPI), 4, 0),
    )

    assert seen == [1 << 27 | 1 << OWN]
    assert written(bench, GICD.ISPENDR.word(TTY_SPI)) == [1 << TTY_SPI % 32]
    assert answers == [0] * 7


@pytest.mark.parametrize(
    ("offset", "width", "value"),
    [
        (GICD.ISENABLER.word(32), 1, READ),
        (GICD.CTLR.offset, 1, READ),
        (GICD.ICFGR.word(32), 1, 1),
        (GICD.IPRIORITYR.word(32), 2, READ),
        (GICD.ISACTIVER.word(32), 4, 1),
        (0xFFC, 4, READ),
    ],
)
def test_what_no_register_takes_is_refused(offset: int, width: int, value: int | None) -> None:
    """A wrong width, a hole, and making an interrupt active."""
    assert accesses((offset, width, value))[0] == [None]


def test_interrupts_beyond_the_platforms_do_not_exist() -> None:
    """They read as zero and ignore writes."""
    registers = (GICD.ISENABLER, GICD.IPRIORITYR, GICD.ITARGETSR, GICD.ICFGR)
    for register in registers:
        at = register.word(BEYOND)
        assert accesses((at, 4, 0xFFFF_FFFF), (at, 4, READ))[0] == [0, 0]


def test_sgis_reach_the_siblings_they_name() -> None:
    """By list, by all but self, and self, each with its source."""
    pending: list[list[int]] = []
    sources: list[int] = []

    async def program(pe: Pe) -> None:
        pe.current = pe.xen.vcpus[1]
        for word in (SGIR.TARGETS.put(0b101), SGIR.TARGET_FILTER.put(1), SGIR.TARGET_FILTER.put(2)):
            await vgic_v2_distr_mmio(
                pe, pe.current, GICD_BASE + GICD.SGIR.offset, 4, True, word | SGIR.INTID.put(5)
            )
            cells = [cell.vgic_pending[0] for cell in pe.xen.vcpu]
            pending.append([value >> 5 for value in await pe.load_burst(cells)])
            await pe.store_burst(cells, [0] * len(cells))
        sources.extend([await pe.load(cell.sgi_sources[0]) for cell in pe.xen.vcpu])

    Bench(program, of=board(1, (3,)))

    assert pending == [[1, 0, 1], [1, 0, 1], [0, 1, 0]]
    assert sources == [1 << 5 * 8 + 1] * 3
