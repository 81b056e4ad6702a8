"""Steps that do not call: arrivals, interrupts, memory, the power controller, time."""

from collections.abc import Generator

from proto.gic import GICD, SGIR, SPI_FIRST
from proto.ids import SCP, CpuIndex
from proto.messages import BareAccess, BareMask, BareTimer, PowerHold
from proto.platform import GICD_BASE
from proto.psci import MASK_64, PsciError
from proto.turn import Send
from proto.units import MS
from proto.vectors import (
    ArmTimer,
    Enters,
    Entries,
    ExpectSystem,
    Hold,
    MaskIrq,
    Memory,
    RaiseIrq,
    SendSgi,
    SystemState,
    Taken,
    WaitMs,
)
from services.bare.bench import Bench
from services.bare.values import Frame, expected_text, registers_text, result_text
from services.bare.views import PeView
from services.bare.waiting import StepFailed, Until

AFTER_NS = 10 * MS
"""How long a count has to stand still before it counts: a second one may be on its way."""
ENTRY_LIMIT_NS = 1_000 * MS
CELL = 8
WORD = 4
"""Bytes of a cell of memory and of a device register."""

Wait = Generator[Until, bool, None]


# -- arrivals


def enters(bench: Bench, step: Enters, frame: Frame) -> Wait:
    """The steps `enters` and `resumes`."""
    view = bench.pes[step.pe]
    wanted = bench.names.registers(step.registers, Frame(frame.round, view.cpu))

    def here() -> bool:
        arrived = view.arrivals[-1].registers if view.arrivals else None
        if arrived is not None and all(arrived[n] == value for n, value in wanted.items()):
            return True
        result = view.result
        return step.resumes and result is not None and result[0] == PsciError.SUCCESS

    deadline_ns = bench.now + step.within_ms * MS
    if not (yield Until(here, deadline_ns)):
        expected = ", ".join(f"x{number} {value:#x}" for number, value in wanted.items())
        came = _whereabouts(view, wanted)
        raise StepFailed(
            step.place,
            f"{view.name}: expected to enter with {expected or 'any registers'} within "
            f"{step.within_ms} ms, came {came}",
        )
    view.arrivals.clear()


def _whereabouts(view: PeView, wanted: dict[int, int]) -> str:
    if view.arrivals:
        return f"an entry with {registers_text(view.arrivals[-1].registers, wanted)}"
    if view.elsewhere:
        return f"an entry at {view.elsewhere}"
    returned = "" if view.result is None else f" its call returned {result_text(view.result[0])};"
    return f"no entry;{returned} it {view.state}"


def entries(bench: Bench, step: Entries, frame: Frame) -> Wait:
    """The step `entries`: the count has to be reached, and must not be passed."""
    view = bench.pes[step.pe]
    yield Until(lambda: view.entries >= step.count, bench.now + ENTRY_LIMIT_NS)
    yield Until(lambda: view.entries > step.count, bench.busy(AFTER_NS))
    if view.entries != step.count:
        raise StepFailed(
            step.place, f"{view.name}: expected {step.count} entries, came {view.entries}"
        )


# -- interrupts


def mask_irq(bench: Bench, step: MaskIrq, frame: Frame) -> Wait:
    """The step `mask_irq`."""
    view = yield from bench.running(step.place, CpuIndex(step.pe))
    assert view.ready_tx is not None
    yield from bench.carry_out(step.place, view, BareMask(view.ready_tx, step.masked))


def raise_irq(bench: Bench, step: RaiseIrq, frame: Frame) -> Wait:
    """The step `irq`."""
    yield from bench.route(step.place, step.intid, CpuIndex(step.target))
    bench.raise_line(step.intid)


def send_sgi(bench: Bench, step: SendSgi, frame: Frame) -> Wait:
    """The step `sgi`."""
    view = yield from bench.running(step.place, CpuIndex(step.source))
    assert view.ready_tx is not None
    word = SGIR.TARGETS.put(sum(1 << cpu for cpu in step.targets)) | SGIR.INTID.put(step.sgi)
    order = BareAccess(view.ready_tx, GICD_BASE + GICD.SGIR.offset, 4, word)
    yield from bench.carry_out(step.place, view, order)


def arm_timer(bench: Bench, step: ArmTimer, frame: Frame) -> Wait:
    """The step `timer_ms`."""
    after_ns = step.after_ms * MS
    if step.intid >= SPI_FIRST:
        yield from bench.route(step.place, step.intid, CpuIndex(step.pe))
        bench.arm_line(step.intid, after_ns)
        return
    view = yield from bench.running(step.place, CpuIndex(step.pe))
    assert view.ready_tx is not None
    order = BareTimer(view.ready_tx, step.intid, after_ns)
    yield from bench.carry_out(step.place, view, order)
    bench.busy(after_ns)


def taken(bench: Bench, step: Taken, frame: Frame) -> Wait:
    """The step `taken`: as often as that, and not once more."""
    view = bench.pes[step.pe]

    def count() -> int:
        return view.count(step.intid, step.source)

    # With a count of zero, all the time has to pass without one.
    came = yield Until(lambda: count() >= max(step.times, 1), bench.now + step.within_ms * MS)
    if came and step.times:
        yield Until(lambda: count() > step.times, bench.busy(AFTER_NS))
    if count() != step.times:
        by = "" if step.source is None else f" from C{step.source}"
        raise StepFailed(
            step.place,
            f"{view.name}: expected INTID {step.intid}{by} to be taken {step.times} times within "
            f"{step.within_ms} ms, came {count()}; it {view.state}",
        )
    view.forget(step.intid, step.source)


# -- memory and registers


def memory(bench: Bench, step: Memory, frame: Frame) -> Wait:
    """The step `memory`."""
    own = Frame(frame.round, None if step.pe is None else CpuIndex(step.pe))
    address = bench.names.resolve(step.address, own)
    view = None
    if step.pe is not None:
        view = yield from bench.running(step.place, CpuIndex(step.pe))
    if step.write is not None:
        yield from _write(bench, step, view, address, bench.names.resolve(step.write, own))
        return
    value = yield from _read(bench, step, view, address)
    what = f"{step.address.text}: expected"
    if step.expect and not bench.names.matches_any(step.expect, value, own, step.mask):
        under = "" if step.mask == MASK_64 else f" under the mask {step.mask:#x}"
        text = f"{what} {expected_text(step.expect)}{under}, came {value:#x}"
        raise StepFailed(step.place, text)
    if step.at_least is not None and value & step.mask < bench.names.resolve(step.at_least, own):
        raise StepFailed(step.place, f"{what} at least {step.at_least.text}, came {value:#x}")
    if step.save:
        bench.names.saved[step.save] = value


def _read(
    bench: Bench, step: Memory, view: PeView | None, address: int
) -> Generator[Until, bool, int]:
    if bench.is_memory(address):
        shift, mask = _part(step, address)
        cell = yield from bench.load(step.place, address & ~(CELL - 1))
        return cell >> shift & mask
    view = view or (yield from _any_running(bench, step))
    assert view.ready_tx is not None
    order = BareAccess(view.ready_tx, address, step.width or WORD)
    values = yield from bench.carry_out(step.place, view, order)
    return values[0]


def _write(bench: Bench, step: Memory, view: PeView | None, address: int, value: int) -> Wait:
    if bench.is_memory(address):
        shift, mask = _part(step, address)
        base = address & ~(CELL - 1)
        cell = yield from bench.load(step.place, base)
        yield from bench.store(step.place, base, cell & ~(mask << shift) | (value & mask) << shift)
        return
    view = view or (yield from _any_running(bench, step))
    assert view.ready_tx is not None
    width = step.width or WORD
    order = BareAccess(view.ready_tx, address, width, value & (1 << 8 * width) - 1)
    yield from bench.carry_out(step.place, view, order)


def _part(step: Memory, address: int) -> tuple[int, int]:
    """Which bits of a cell an access reaches: how far up they lie, and a mask of their number."""
    offset = address % CELL
    width = step.width or CELL - offset
    if offset + width > CELL:
        raise StepFailed(step.place, f"{width} bytes at {address:#x} lie in two cells of memory")
    return 8 * offset, (1 << 8 * width) - 1


def _any_running(bench: Bench, step: Memory) -> Generator[Until, bool, PeView]:
    """The first PE that runs: a register is only reached through one."""
    cpu = next((view.cpu for view in bench.pes if view.ready_tx is not None), CpuIndex(0))
    return (yield from bench.running(step.place, cpu))


# -- the power controller, time, the machine


def hold(bench: Bench, step: Hold, frame: Frame) -> Wait:
    """The step `hold`."""
    bench.send(Send(SCP, PowerHold(CpuIndex(step.pe), step.on)))
    return
    yield


def wait(bench: Bench, step: WaitMs, frame: Frame) -> Wait:
    """The step `wait_ms`."""
    yield Until(lambda: False, bench.busy(step.duration_ms * MS))


SHOWN = {
    SystemState.COLD_BOOT: "cold-boot",
    SystemState.WARM_BOOT: "warm-boot",
    SystemState.POWERED_OFF: "off",
}
"""What the power LED shows when the machine does this."""


def system(bench: Bench, step: ExpectSystem, frame: Frame) -> Wait:
    """The step `system`; after a boot PE 0 runs again."""
    shown = SHOWN[step.state]
    first = bench.pes[0]

    def done() -> bool:
        up = step.state is SystemState.POWERED_OFF or first.ready_tx is not None
        return shown in bench.shown and up

    deadline_ns = bench.now + step.within_ms * MS
    if not (yield Until(done, deadline_ns)):
        came = ", ".join(bench.shown) or "nothing"
        raise StepFailed(
            step.place,
            f"expected {step.state.value} within {step.within_ms} ms, came {came}; "
            f"C0 {first.state}",
        )
    bench.shown.clear()
