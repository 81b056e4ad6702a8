"""Cold boot, warm boot checks, and what the Secure side of the GIC is given."""

from firmware_bench import BOOT, ENTRY, Bench, script

from proto.gic import GICC, GICD
from proto.image import Image
from proto.messages import RegWrite
from proto.platform import FIRMWARE_TEXT, GICC_BASE, GICD_BASE
from proto.psci import Affinity, Psci, mpidr
from proto.traces import AffinityState
from services.firmware.bl31 import bl31_entrypoint
from services.firmware.memory import LocalState


def test_cold_boot_publishes_everybody_and_enters_xen():
    """The boot PE is ON, all others are OFF, and Xen starts with 0 in x0."""
    bench = Bench({}).run()

    assert bench.traces(AffinityState) == [
        AffinityState(0, "ON"),
        AffinityState(1, "OFF"),
        AffinityState(2, "OFF"),
        AffinityState(3, "OFF"),
    ]
    assert [bench.affinity(cpu) for cpu in range(4)] == [Affinity.ON, *[Affinity.OFF] * 3]
    assert [pe.entered for pe in bench.pes] == [[(BOOT, 0)], [], [], []]


def test_cold_boot_does_not_trust_what_sram_holds():
    """Every cell of the firmware gets its first value, whatever was in it."""
    bench = Bench({})
    layout = bench.el3s[0].memory.layout
    bench.dram.cells.update(dict.fromkeys(layout.names, 0xBAD))
    bench.run()

    assert 0xBAD not in bench.dram.cells.values()
    memory = bench.el3s[0].memory
    states = [bench.dram.cells[d.local_state] for d in (*memory.clusters, memory.system)]
    assert states == [LocalState.RUN, LocalState.OFF, LocalState.RUN]


def test_secure_gic_at_cold_boot():
    """All groups go to Non-secure while nothing is forwarded, then the Secure side is enabled."""
    bench = Bench({}).run()
    written = [(address, value) for _, address, value in bench.gicd.written]

    assert written == [
        (GICD_BASE + GICD.CTLR.offset, 0),
        (GICD_BASE + 0x84, 0xFFFFFFFF),
        (GICD_BASE + 0x88, 0xFFFFFFFF),
        (GICD_BASE + GICD.CTLR.offset, 1),
        (GICD_BASE + 0x80, 0xFFFFFFFF),
        (GICC_BASE + GICC.PMR.offset, 0xFF),
        (GICC_BASE + GICC.CTLR.offset, 0b1_1110_1001),
    ]


def test_a_secondary_sets_up_only_what_is_banked():
    """CPU_ON leaves the shared distributor alone."""
    bench = Bench({BOOT: script((Psci.CPU_ON, mpidr(1, 0), ENTRY, 0))}).run()
    addresses = [body.address for _, body in bench.sends("el3.pe2", RegWrite)]

    assert addresses == [GICD_BASE + 0x80, GICC_BASE + GICC.PMR.offset, GICC_BASE]


def test_the_reset_vector_stands_at_the_base_of_the_image():
    """The image's entry is the reset vector, so no secure address is a valid entry below EL3."""
    image = Image("services.firmware", FIRMWARE_TEXT, "bl31_entrypoint")

    assert image.at(FIRMWARE_TEXT) == "bl31_entrypoint"
    assert image.address(bl31_entrypoint.__name__) == FIRMWARE_TEXT
