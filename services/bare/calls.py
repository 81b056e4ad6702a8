"""Steps that call: begin the calls, wait until each has returned or cannot any more, compare."""

from collections.abc import Generator

from proto.ids import CpuIndex
from proto.messages import BareCall
from proto.units import MS, US, S
from proto.vectors import Call, Poll, Returns
from services.bare.bench import Bench
from services.bare.values import (
    Frame,
    expected_text,
    registers_text,
    result_text,
    width_mask,
)
from services.bare.views import PeView
from services.bare.waiting import StepFailed, Until

QUIET_NS = 2 * S
"""A call that has not returned when nothing has happened for so long does not return by itself.

Nothing on the board takes longer, but for timers that the driver knows of.
"""
SETTLE_NS = 100 * MS
"""After a PE's power was cut in a call: how long the board needs at most until it is at rest."""
POLL_FIRST_NS = 20 * US
POLL_LONGEST_NS = 5 * MS
"""Pauses between the calls of a poll: each is twice the one before it."""
REGISTERS = 31

Wait = Generator[Until, bool, None]


def call(bench: Bench, step: Call, frame: Frame) -> Wait:
    """The step `call`."""
    groups = [step.pes] if step.together else [(cpu,) for cpu in step.pes]
    counts = dict.fromkeys(range(len(step.expect_count)), 0)
    for group in groups:
        views = yield from _begin(bench, step, group, frame)
        for view in views:
            x0 = yield from outcome(bench, view)
            own = Frame(frame.round, view.cpu)
            _check(bench, step, view, x0, own)
            for index, (result, _) in enumerate(step.expect_count):
                counts[index] += bench.names.matches(result, x0, own)
    for index, (result, number) in enumerate(step.expect_count):
        if counts[index] != number:
            came = ", ".join(f"C{cpu} {_last(bench.pes[cpu])}" for cpu in step.pes)
            raise StepFailed(
                step.place, f"expected {number} times {result.text}, came {counts[index]}: {came}"
            )


def _begin(
    bench: Bench, step: Call, cpus: tuple[int, ...], frame: Frame
) -> Generator[Until, bool, list[PeView]]:
    """Let PEs begin the call, all in the same turn."""
    for cpu in cpus:
        yield from bench.running(step.place, CpuIndex(cpu))
    views = [bench.pes[cpu] for cpu in cpus]
    for view in views:
        begin_call(bench, view, step, Frame(frame.round, view.cpu))
    return views


def begin_call(bench: Bench, view: PeView, step: Call | Poll, frame: Frame) -> None:
    """Order one call."""
    invocation = step.invocation
    registers = [0] * REGISTERS
    registers[0] = invocation.function
    for number, value in bench.names.registers(invocation.registers, frame).items():
        registers[number] = value
    mask = width_mask(invocation.aarch32)
    assert view.ready_tx is not None
    order = BareCall(
        view.ready_tx,
        tuple(value & mask for value in registers),
        invocation.secure,
        invocation.aarch32,
    )
    view.begin_call(invocation.succeeds)
    bench.order(view, order)


def outcome(bench: Bench, view: PeView) -> Generator[Until, bool, int | None]:
    """x0 of a PE's last call; None as soon as it is certain that it will not return by itself."""
    while view.result is None:
        if view.lost_ns is not None:
            yield Until(lambda: view.result is not None, view.lost_ns + SETTLE_NS)
            return None
        if view.halted:
            return None
        quiet_ns = max(bench.last_event_ns, bench.busy_until_ns) + QUIET_NS
        came = yield Until(
            lambda: view.result is not None or view.lost_ns is not None or bool(view.halted),
            quiet_ns,
        )
        if not came and bench.now >= max(bench.last_event_ns, bench.busy_until_ns) + QUIET_NS:
            return None
    return view.result[0]


def _check(bench: Bench, step: Call, view: PeView, x0: int | None, frame: Frame) -> None:
    """Compare what a PE got with what the step demands of every caller."""
    names, what = bench.names, f"{view.name} {step.invocation.text}"
    mask = width_mask(step.invocation.aarch32)
    if step.expect and not names.matches_any(step.expect, x0, frame, mask):
        came = f"expected {expected_text(step.expect)}, came {_last(view)}"
        raise StepFailed(step.place, f"{what}: {came}")
    if step.at_least is None and not step.expect_registers and not step.save:
        return
    if x0 is None or view.result is None:
        raise StepFailed(step.place, f"{what}: expected that it returns, came {_last(view)}")
    if step.at_least is not None and x0 < names.resolve(step.at_least, frame):
        text = f"expected at least {step.at_least.text}, came {result_text(x0)}"
        raise StepFailed(step.place, f"{what}: {text}")
    wanted = names.registers(step.expect_registers, frame)
    if any((view.result[number] ^ value) & mask for number, value in wanted.items()):
        expected = ", ".join(f"x{number} {value:#x}" for number, value in wanted.items())
        came = registers_text(view.result, wanted)
        raise StepFailed(step.place, f"{what}: expected {expected}, came {came}")
    if step.save:
        names.saved[step.save] = x0


def poll(bench: Bench, step: Poll, frame: Frame) -> Wait:
    """The step `poll`."""
    deadline_ns, pause_ns = bench.now + step.within_ms * MS, POLL_FIRST_NS
    cpu = CpuIndex(step.pe)
    own = Frame(frame.round, cpu)
    what = f"C{cpu} {step.invocation.text}"
    while True:
        view = yield from bench.running(step.place, cpu)
        begin_call(bench, view, step, own)
        x0 = yield from outcome(bench, view)
        if bench.names.matches_any(step.until, x0, own):
            if step.save and x0 is not None:
                bench.names.saved[step.save] = x0
            return
        until = expected_text(step.until)
        if not bench.names.matches_any(step.allow, x0, own):
            allowed = f"{until}, or {expected_text(step.allow)} before" if step.allow else until
            raise StepFailed(step.place, f"{what}: expected {allowed}, came {_last(view)}")
        if bench.now >= deadline_ns:
            raise StepFailed(
                step.place,
                f"{what}: expected {until} within {step.within_ms} ms, came {_last(view)}",
            )
        yield Until(lambda: False, bench.busy(pause_ns))
        pause_ns = min(2 * pause_ns, POLL_LONGEST_NS)


def returns(bench: Bench, step: Returns, frame: Frame) -> Wait:
    """The step `returns`."""
    view = bench.pes[step.pe]
    deadline_ns = bench.now + step.within_ms * MS
    yield Until(lambda: view.result is not None, deadline_ns)
    x0 = None if view.result is None else view.result[0]
    if not bench.names.matches_any(step.expect, x0, Frame(frame.round, view.cpu)):
        raise StepFailed(
            step.place,
            f"{view.name}: expected its last call to return {expected_text(step.expect)} within "
            f"{step.within_ms} ms, came {_last(view)}",
        )


def _last(view: PeView) -> str:
    """What came of a PE's last call, in words."""
    if view.result is not None:
        return result_text(view.result[0])
    if view.arrivals:
        return "no-return, but it has entered again"
    return f"no-return; {view.name} {view.state}"
