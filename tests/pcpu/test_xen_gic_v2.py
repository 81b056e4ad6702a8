"""The GICv2 driver: what suspend saves, and in which order resume writes it back."""

import pytest
from xen_bench import Bench, board

from proto.gic import GICC, GICD
from proto.hypercall import Errno
from proto.platform import GICC_BASE, GICD_BASE
from services.pcpu.pe import Pe
from services.pcpu.xen.gic_v2 import gic_resume, gic_suspend
from services.pcpu.xen.memory import XEN_VIRT_OFFSET

CTLR, APR = GICC_BASE + GICC.CTLR.offset, GICC_BASE + GICC.APR.offset
DISTRIBUTOR = GICD_BASE + GICD.CTLR.offset
ARRAYS = {
    "ISENABLER": GICD.ISENABLER,
    "ICENABLER": GICD.ICENABLER,
    "ISACTIVER": GICD.ISACTIVER,
    "ICACTIVER": GICD.ICACTIVER,
    "IPRIORITYR": GICD.IPRIORITYR,
    "ITARGETSR": GICD.ITARGETSR,
    "ICFGR": GICD.ICFGR,
}


ORDERS = {
    "configuration_first": {},
    "enables_first": {"gic_restore_arrays": "gic_restore_arrays_enables_first"},
}


def name_of(address: int) -> str:
    """The array an address belongs to, or the address."""
    for name, array in ARRAYS.items():
        if array.covers(address - GICD_BASE):
            return name
    return hex(address)


def cycle(**relink: str) -> Bench:
    """Give every word a value of its own, save, restore."""

    async def program(pe: Pe) -> None:
        for name in ("ISENABLER", "ISACTIVER", "IPRIORITYR", "ITARGETSR", "ICFGR"):
            for word in range(64):
                offset = ARRAYS[name].offset + 4 * word
                if ARRAYS[name].first_intid(offset) < pe.board.platform.intids:
                    await pe.write(GICD_BASE + offset + XEN_VIRT_OFFSET, word + 1)
        await pe.write(CTLR + XEN_VIRT_OFFSET, 0x201)
        assert not await gic_suspend(pe)
        await gic_resume(pe)

    return Bench(program, of=board(1, **relink))


def test_the_arrays_come_back_in_the_order_of_the_profile() -> None:
    """Configuration before enables, or the seed's other way round."""
    orders = {}
    for order, relink in ORDERS.items():
        log = cycle(**relink).gic.log
        saved = max(at for at, (_, kind, where, _) in enumerate(log) if kind == "read")
        writes = [name_of(where) for _, kind, where, _ in log[saved:] if kind == "write"]
        orders[order] = list(dict.fromkeys(name for name in writes if name in ARRAYS))

    assert orders == {
        "configuration_first": [
            "ICENABLER",
            "ICFGR",
            "IPRIORITYR",
            "ITARGETSR",
            "ISENABLER",
            "ICACTIVER",
            "ISACTIVER",
        ],
        "enables_first": [
            "ICENABLER",
            "ISENABLER",
            "ICACTIVER",
            "ISACTIVER",
            "IPRIORITYR",
            "ITARGETSR",
            "ICFGR",
        ],
    }


def test_what_was_saved_is_what_is_written_back() -> None:
    """Word for word, and the CPU interface last."""
    log = cycle().gic.log
    read = {where: value for _, kind, where, value in log if kind == "read"}
    last = {where: value for _, kind, where, value in log if kind == "write"}

    for where, value in read.items():
        if name_of(where) in ARRAYS:
            assert last[where] == value, name_of(where)
    writes = [(where, value) for _, kind, where, value in log if kind == "write"]
    assert writes[-1] == (CTLR, 0x201)
    assert writes.index((DISTRIBUTOR, read[DISTRIBUTOR])) < len(writes) - 1


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("gic_quiesce_nothing", 0),
        ("gic_quiesce", -Errno.EBUSY),
        ("gic_quiesce_closed", -Errno.EBUSY),
    ],
)
def test_an_active_priority_is_busy(mode: str, result: int) -> None:
    """A visible GICC_APR bit refuses the suspend and leaves the interface as it was."""
    results: list[int] = []

    async def program(pe: Pe) -> None:
        await pe.write(CTLR + XEN_VIRT_OFFSET, 0x201)
        await pe.write(APR + XEN_VIRT_OFFSET, 1)
        results.append(await gic_suspend(pe))

    bench = Bench(program, of=board(1, gic_quiesce=mode))

    assert results == [result]
    assert bench.gic.registers[CTLR] == 0x201


def test_closed_means_closed() -> None:
    """Interface with bypass off, then the distributor, before anything is saved."""

    async def program(pe: Pe) -> None:
        await pe.write(CTLR + XEN_VIRT_OFFSET, 0x201)
        await pe.write(DISTRIBUTOR + XEN_VIRT_OFFSET, 1)
        await gic_suspend(pe)

    gic = Bench(program, of=board(1, gic_quiesce="gic_quiesce_closed")).gic

    assert gic.registers[CTLR] == 0x200 | GICC.CTLR_BYPASS_DISABLE
    assert gic.registers[DISTRIBUTOR] == 0
    closed = gic.log.index(("pe0", "write", DISTRIBUTOR, 0))
    assert all(
        name_of(where) not in ARRAYS for _, kind, where, _ in gic.log[:closed] if kind == "read"
    )
