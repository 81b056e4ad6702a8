"""Random legal software and random wires: the GIC and the simple reference never differ."""

from typing import Any

from gicd_bench import Bench
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Reference

from proto.gic import GICC, GICD, SGIR
from proto.registers import PerIntid

PES, INTIDS = 3, 64
PPIS, SPIS = (27, 30), (34, 40, 63)

cpus = st.integers(0, PES - 1)
intids = st.sampled_from([3, *PPIS, *SPIS])
levels = st.booleans()
mostly = st.sampled_from([True, True, True, False])
priorities = st.sampled_from([0x00, 0x47, 0x80, 0x90, 0xA0, 0xA8, 0xFF])

BIT_WRITES: dict[str, PerIntid] = {
    "set enabled": GICD.ISENABLER,
    "clear enabled": GICD.ICENABLER,
    "set pending": GICD.ISPENDR,
    "clear pending": GICD.ICPENDR,
    "set active": GICD.ISACTIVER,
    "clear active": GICD.ICACTIVER,
}
READS: dict[str, PerIntid] = {
    "enabled": GICD.ICENABLER,
    "pending": GICD.ISPENDR,
    "active": GICD.ICACTIVER,
    "priority": GICD.IPRIORITYR,
    "targets": GICD.ITARGETSR,
    "config": GICD.ICFGR,
}

Act = tuple[Any, ...]

set_up_acts = st.one_of(
    st.tuples(st.just("bit"), cpus, st.sampled_from(sorted(BIT_WRITES)), intids),
    st.tuples(st.just("bit"), cpus, st.just("set enabled"), intids),
    st.tuples(st.just("word"), cpus, st.sampled_from(sorted(BIT_WRITES)), st.integers(0, 2**32)),
    st.tuples(st.just("config"), cpus, intids, st.integers(0, 3)),
    st.tuples(st.just("group"), cpus, intids, mostly),
    st.tuples(st.just("priority"), cpus, intids, priorities),
    st.tuples(st.just("targets"), cpus, st.sampled_from(SPIS), st.integers(0, 255)),
    st.tuples(st.just("forward"), levels, mostly),
    st.tuples(st.just("forward_by_pe"), cpus, mostly),
    st.tuples(st.just("open"), cpus, mostly, levels),
    st.tuples(st.just("pmr"), cpus, priorities),
    st.tuples(st.just("bpr"), cpus, st.integers(0, 7)),
)
interrupts = st.one_of(
    st.tuples(st.just("ppi"), cpus, st.sampled_from(PPIS), levels),
    st.tuples(st.just("spi"), st.sampled_from(SPIS), levels),
    st.tuples(st.just("sgi"), cpus, st.integers(0, 3), st.integers(0, 2), st.integers(0, 15)),
)
handling = st.one_of(
    st.tuples(st.just("iar"), cpus),
    st.tuples(st.just("eoir"), cpus),
    st.tuples(st.just("dir"), cpus, intids),
    st.tuples(st.just("guest"), cpus, st.sampled_from([*PPIS, *SPIS])),
)
acts = st.one_of(set_up_acts, interrupts, interrupts, handling, handling)


class Pair:
    """The product and the reference, given the same acts."""

    def __init__(self) -> None:
        self.bench = Bench(pes=PES, intids=INTIDS)
        self.model = Reference(PES, INTIDS)

    def set_up(self) -> None:
        """Everything open, so that short sequences reach deep states."""
        for cpu in range(PES):
            for intid in range(INTIDS):
                self.do(("group", cpu, intid, True))
                self.do(("bit", cpu, "set enabled", intid))
                self.do(("priority", cpu, intid, 0xA0))
            self.do(("pmr", cpu, 0xFF))
            self.do(("open", cpu, True, False))
        for intid in SPIS:
            self.do(("targets", 0, intid, 0b111))
        self.do(("forward", True, True))

    def do(self, act: Act) -> None:
        kind, *args = act
        getattr(self, f"do_{kind}")(*args)

    def do_bit(self, cpu: int, name: str, intid: int) -> None:
        self.bench.write(cpu, BIT_WRITES[name], 1 << intid % 32, intid)
        self.model.set_field(cpu, name, intid, 1)

    def do_word(self, cpu: int, name: str, value: int) -> None:
        self.bench.write(cpu, BIT_WRITES[name], value, 32)
        for index in range(32):
            self.model.set_field(cpu, name, 32 + index, value >> index & 1)

    def do_config(self, cpu: int, intid: int, value: int) -> None:
        shift = intid % 16 * 2
        kept = self.bench.read(cpu, GICD.ICFGR, intid) & ~(0b11 << shift)
        self.bench.write(cpu, GICD.ICFGR, kept | value << shift, intid)
        self.model.set_field(cpu, "config", intid, value)

    def do_group(self, cpu: int, intid: int, group: bool) -> None:
        bit = 1 << intid % 32
        word = self.bench.read(cpu, GICD.IGROUPR, intid, secure=True)
        word = word | bit if group else word & ~bit
        self.bench.write(cpu, GICD.IGROUPR, word, intid, secure=True)
        self.model.set_group(cpu, intid, int(group))

    def do_priority(self, cpu: int, intid: int, value: int) -> None:
        self.bench.write(cpu, GICD.IPRIORITYR, value, intid, width=1)
        self.model.set_field(cpu, "priority", intid, value)

    def do_targets(self, cpu: int, intid: int, value: int) -> None:
        self.bench.write(cpu, GICD.ITARGETSR, value, intid, width=1)
        self.model.set_field(cpu, "targets", intid, value)

    def do_ppi(self, cpu: int, intid: int, level: bool) -> None:
        self.bench.wire(intid, level, cpu)
        self.model.wire(cpu, intid, level)

    def do_spi(self, intid: int, level: bool) -> None:
        self.bench.wire(intid, level)
        self.model.wire(0, intid, level)

    def do_sgi(self, cpu: int, intid: int, filter_: int, targets: int) -> None:
        self.bench.sgi(cpu, intid, targets, filter_)
        reached = {
            SGIR.TO_LIST: [target for target in range(PES) if targets >> target & 1],
            SGIR.TO_OTHERS: [target for target in range(PES) if target != cpu],
            SGIR.TO_SELF: [cpu],
        }
        self.model.sgi(cpu, intid, reached[filter_])

    def do_forward(self, group0: bool, group1: bool) -> None:
        self.bench.write(0, GICD.CTLR, group0 | group1 << 1, secure=True)
        self.model.enabled0, self.model.enabled1 = group0, group1

    def do_forward_by_pe(self, cpu: int, group1: bool) -> None:
        self.bench.write(cpu, GICD.CTLR, int(group1))
        self.model.enabled1 = group1

    def do_open(self, cpu: int, enable: bool, split: bool) -> None:
        value = (enable and GICC.CTLR_ENABLE) | (split and GICC.CTLR_EOIMODE)
        self.bench.write(cpu, GICC.CTLR, value)
        interface = self.model.interfaces[cpu]
        interface.enable, interface.split = enable, split

    def do_pmr(self, cpu: int, value: int) -> None:
        self.bench.write(cpu, GICC.PMR, value)
        self.model.interfaces[cpu].pmr = value // 8 * 8

    def do_bpr(self, cpu: int, value: int) -> None:
        self.bench.write(cpu, GICC.BPR, value)
        self.model.interfaces[cpu].bpr = max(value, 2)

    def do_iar(self, cpu: int) -> None:
        assert self.bench.read(cpu, GICC.HPPIR) == self.model.hppir(cpu)
        assert self.bench.iar(cpu) == self.model.iar(cpu)

    def do_eoir(self, cpu: int) -> None:
        intid = self.model.eoir(cpu)
        if intid is not None:
            self.bench.eoir(intid, cpu)

    def do_dir(self, cpu: int, intid: int) -> None:
        one = self.model.at(cpu, intid)
        if self.model.interfaces[cpu].split and one.active and one.group:
            self.bench.dir(intid, cpu)
            one.active = False

    def do_guest(self, cpu: int, intid: int) -> None:
        self.bench.deactivate(cpu, intid)
        self.model.at(cpu, intid).active = False

    def compare(self) -> None:
        """Outputs, running priorities and everything the distributor shows to each PE."""
        assert self.bench.irq == [self.model.irq(cpu) for cpu in range(PES)]
        for cpu in range(PES):
            assert self.bench.read(cpu, GICC.RPR) == self.model.rpr(cpu)

    def compare_registers(self) -> None:
        """Every array, word by word, as each PE reads it."""
        for cpu in range(PES):
            for name, row in READS.items():
                for first in range(0, INTIDS, row.per_word()):
                    expected = sum(
                        self.model.field(cpu, name, first + index) << index * row.bits
                        for index in range(row.per_word())
                    )
                    assert self.bench.read(cpu, row, first) == expected, (cpu, row.name, first)


@settings(deadline=None, max_examples=50)
@given(opened=mostly, sequence=st.lists(acts, min_size=20, max_size=60))
def test_the_gic_is_the_reference(opened: bool, sequence: list[Act]) -> None:
    """After every act the outputs are equal, at the end all registers are."""
    pair = Pair()
    if opened:
        pair.set_up()
    for act in sequence:
        pair.do(act)
        pair.compare()
    pair.compare_registers()
