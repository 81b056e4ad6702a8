"""Random accesses of both worlds and random wires: the GIC never differs from the reference."""

from typing import Any

from gicd_bench import Bench
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ARRAYS, Reference

from proto.gic import GICC
from proto.messages import Abort, RegRead, RegWrite, Reply, VirtualDeactivate
from proto.platform import GICD_BASE

PES, INTIDS = 3, 64
PPIS, SPIS = (27, 30), (34, 40, 63)
GROUP, SET_ENABLED, PRIORITY, TARGETS = 0x080, 0x100, 0x400, 0x800

cpus = st.integers(0, PES - 1)
intids = st.sampled_from([3, *PPIS, *SPIS])
levels = st.booleans()
mostly = st.sampled_from([True, True, True, False])
seldom = st.sampled_from([True, False, False, False])
priorities = st.sampled_from([0x00, 0x47, 0x80, 0x90, 0xA0, 0xA8, 0xFF])
words = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 2**32 - 1]))

Act = tuple[Any, ...]


@st.composite
def fields(draw: st.DrawFn) -> Act:
    """A write to the word or byte that holds the field of one interesting interrupt."""
    first, _, bits, _, _ = draw(st.sampled_from(ARRAYS))
    cpu, intid, secure = draw(cpus), draw(intids), draw(seldom)
    if first >= 0xF00:
        intid = 3
    width = draw(st.sampled_from([1, 4])) if bits == 8 else 4
    offset = first + intid * bits // 8 // width * width
    one = 1 << intid * bits % (width * 8)
    value = draw(st.one_of(words, st.just(one), priorities.map(lambda value: value * one)))
    return ("write", cpu, offset, width, value & (1 << 8 * width) - 1, secure)


anywhere = st.one_of(
    st.integers(0, 0xFFF),
    st.integers(0, 0x3FF).map(lambda word: word * 4),
    st.sampled_from([0x000, 0x004, 0x008, 0xF00, 0xFE8]),
)
accesses = st.one_of(
    fields(),
    st.tuples(st.just("write"), cpus, anywhere, st.sampled_from([1, 2, 4]), words, seldom),
    st.tuples(st.just("read"), cpus, anywhere, st.sampled_from([1, 2, 4]), levels),
)
set_up_acts = st.one_of(
    st.tuples(st.just("forward"), mostly, mostly),
    st.tuples(st.just("open"), cpus, mostly, levels),
    st.tuples(st.just("control"), cpus, mostly, mostly, levels, levels, levels, levels, levels),
    st.tuples(st.just("pmr"), cpus, priorities, seldom),
    st.tuples(st.just("bpr"), cpus, st.integers(0, 7), levels),
    st.tuples(st.just("abpr"), cpus, st.integers(0, 7)),
)
interrupts = st.one_of(
    st.tuples(st.just("ppi"), cpus, st.sampled_from(PPIS), levels),
    st.tuples(st.just("spi"), st.sampled_from(SPIS), levels),
    st.tuples(st.just("sgi"), cpus, st.integers(0, 3), st.integers(0, 15), levels, levels),
)
handling = st.one_of(
    st.tuples(st.just("iar"), cpus, levels, levels),
    st.tuples(st.just("iar"), cpus, st.just(False), st.just(False)),
    st.tuples(st.just("eoir"), cpus, levels, levels),
    st.tuples(st.just("eoir"), cpus, st.just(False), st.just(False)),
    st.tuples(st.just("dir"), cpus, intids, levels),
    st.tuples(st.just("guest"), cpus, st.sampled_from([*PPIS, *SPIS])),
)
acts = st.one_of(accesses, set_up_acts, interrupts, interrupts, handling, handling)


class Pair:
    """The product and the reference, given the same acts."""

    def __init__(self) -> None:
        self.bench = Bench(pes=PES, intids=INTIDS)
        self.model = Reference(PES, INTIDS)

    def set_up(self) -> None:
        """Everything open, so that short sequences reach deep states."""
        for cpu in range(PES):
            for first in range(0, INTIDS, 32):
                self.do(("write", cpu, GROUP + first // 8, 4, 0xFFFF_FFFF, True))
                self.do(("write", cpu, SET_ENABLED + first // 8, 4, 0xFFFF_FFFF, False))
            for first in range(0, INTIDS, 4):
                self.do(("write", cpu, PRIORITY + first, 4, 0xA0A0_A0A0, False))
            self.do(("pmr", cpu, 0xFF, True))
            self.do(("open", cpu, True, False))
        for intid in SPIS:
            self.do(("write", 0, TARGETS + intid, 1, 0b111, False))
        self.do(("forward", True, True))

    def do(self, act: Act) -> None:
        kind, *args = act
        getattr(self, f"do_{kind}")(*args)

    # -- distributor

    def do_write(self, cpu: int, offset: int, width: int, value: int, secure: bool) -> None:
        src = f"el3.pe{cpu}" if secure else f"pe{cpu}"
        value &= (1 << 8 * width) - 1
        answer = self.bench.send(src, RegWrite(1, GICD_BASE + offset, value, width, secure=secure))
        accepted = self.model.gicd_write(cpu, offset, width, value, secure)
        assert isinstance(answer, Reply if accepted else Abort), (offset, width)

    def do_read(self, cpu: int, offset: int, width: int, secure: bool) -> None:
        src = f"el3.pe{cpu}" if secure else f"pe{cpu}"
        answer = self.bench.send(src, RegRead(1, GICD_BASE + offset, width, secure))
        expected = self.model.gicd_read(cpu, offset, width, secure)
        if expected is None:
            assert isinstance(answer, Abort)
        else:
            assert answer == Reply(1, expected), (hex(offset), width, secure)

    def do_forward(self, group0: bool, group1: bool) -> None:
        self.do_write(0, 0x000, 4, group0 | group1 << 1, True)

    def do_ppi(self, cpu: int, intid: int, level: bool) -> None:
        self.bench.wire(intid, level, cpu)
        self.model.wire(cpu, intid, level)

    def do_spi(self, intid: int, level: bool) -> None:
        self.bench.wire(intid, level)
        self.model.wire(0, intid, level)

    def do_sgi(self, cpu: int, filter_: int, targets: int, nsatt: bool, secure: bool) -> None:
        self.do_write(cpu, 0xF00, 4, filter_ << 24 | targets << 16 | nsatt << 15 | 3, secure)

    # -- CPU interfaces

    def do_open(self, cpu: int, enable: bool, split: bool) -> None:
        value = (enable and GICC.CTLR_ENABLE) | (split and GICC.CTLR_EOIMODE)
        self.bench.write(cpu, GICC.CTLR, value)
        interface = self.model.interfaces[cpu]
        interface.enable[1], interface.split[False] = enable, split

    def do_control(
        self,
        cpu: int,
        enable0: bool,
        enable1: bool,
        ack_ctl: bool,
        fiq_en: bool,
        common: bool,
        split_secure: bool,
        split: bool,
    ) -> None:
        bits = (
            (enable0, 0),
            (enable1, 1),
            (ack_ctl, 2),
            (fiq_en, 3),
            (common, 4),
            (split_secure, 9),
            (split, 10),
        )
        word = sum(bool(bit) << at for bit, at in bits)
        self.bench.write(cpu, GICC.CTLR, word, secure=True)
        assert self.bench.read(cpu, GICC.CTLR, secure=True) == word
        assert self.bench.read(cpu, GICC.CTLR) == enable1 | split << 9
        interface = self.model.interfaces[cpu]
        interface.enable = [enable0, enable1]
        interface.ack_ctl, interface.fiq_en, interface.common_bpr = ack_ctl, fiq_en, common
        interface.split = {True: split_secure, False: split}

    def do_pmr(self, cpu: int, value: int, secure: bool) -> None:
        self.bench.write(cpu, GICC.PMR, value, secure=secure)
        self.model.set_pmr(cpu, value, secure)

    def do_bpr(self, cpu: int, value: int, secure: bool) -> None:
        self.bench.write(cpu, GICC.BPR, value, secure=secure)
        self.model.set_bpr(cpu, value, secure)

    def do_abpr(self, cpu: int, value: int) -> None:
        self.bench.write(cpu, GICC.ABPR, value, secure=True)
        self.model.interfaces[cpu].bpr[1] = max(3, value)
        self.bench.write(cpu, GICC.ABPR, 7)

    def do_iar(self, cpu: int, secure: bool, aliased: bool) -> None:
        aliased = aliased and secure
        peek, take = (GICC.AHPPIR, GICC.AIAR) if aliased else (GICC.HPPIR, GICC.IAR)
        assert self.bench.read(cpu, peek, secure=secure) == self.model.hppir(cpu, secure, aliased)
        assert self.bench.read(cpu, take, secure=secure) == self.model.iar(cpu, secure, aliased)

    def do_eoir(self, cpu: int, secure: bool, aliased: bool) -> None:
        aliased = aliased and secure
        intid = self.model.eoir(cpu, secure, aliased)
        if intid is not None:
            row = GICC.AEOIR if aliased else GICC.EOIR
            self.bench.write(cpu, row, intid, secure=secure)

    def do_dir(self, cpu: int, intid: int, secure: bool) -> None:
        one = self.model.at(cpu, intid)
        if self.model.interfaces[cpu].split[secure] and one.active:
            self.bench.write(cpu, GICC.DIR, intid, secure=secure)
            one.active = bool(one.group == 0 and not secure)

    def do_guest(self, cpu: int, intid: int) -> None:
        self.bench.send("dom1", VirtualDeactivate(cpu, intid))
        self.model.at(cpu, intid).active = False

    def do_power(self) -> None:
        self.bench.power(False)
        self.bench.power(True)
        self.model.lose_power()

    # -- comparing

    def compare(self) -> None:
        """Outputs and every register of the CPU interfaces, in both views."""
        assert self.bench.irq == [self.model.irq(cpu) for cpu in range(PES)]
        for cpu in range(PES):
            for secure in (False, True):
                read = {
                    row.name: self.bench.read(cpu, row, secure=secure)
                    for row in (GICC.RPR, GICC.PMR, GICC.BPR)
                }
                assert read == {
                    GICC.RPR.name: self.model.rpr(cpu, secure),
                    GICC.PMR.name: self.model.pmr(cpu, secure),
                    GICC.BPR.name: self.model.bpr(cpu, secure),
                }
            group1 = self.model.apr(cpu, 1)
            assert self.bench.read(cpu, GICC.APR, secure=True) == self.model.apr(cpu, 0)
            assert self.bench.read(cpu, GICC.NSAPR, secure=True) == group1
            assert self.bench.read(cpu, GICC.APR) == group1 >> 16
            assert self.bench.read(cpu, GICC.NSAPR) == 0
            assert self.bench.read(cpu, GICC.ABPR, secure=True) == self.model.interfaces[cpu].bpr[1]

    def compare_registers(self) -> None:
        """Every array, word by word, as each PE reads it."""
        for cpu in range(PES):
            for first, _, bits, _, _ in ARRAYS:
                for offset in range(0, (16 if first >= 0xF00 else INTIDS + 32) * bits // 8, 4):
                    for secure in (False, True):
                        self.do_read(cpu, first + offset, 4, secure)


@settings(deadline=None, max_examples=60)
@given(opened=mostly, sequence=st.lists(acts, min_size=20, max_size=60), cut=seldom)
def test_the_gic_is_the_reference(opened: bool, sequence: list[Act], cut: bool) -> None:
    """After every act the outputs are equal, at the end all registers are; also after a loss."""
    pair = Pair()
    if opened:
        pair.set_up()
    for act in sequence:
        pair.do(act)
        pair.compare()
    pair.compare_registers()
    if cut:
        pair.do_power()
        pair.compare()
        pair.compare_registers()
