"""Steps of a vector file: each kind by the key that makes it one."""

from collections.abc import Callable

from deploy.psci.names import FUNCTIONS, FUNCTIONS_32, SUCCEEDING, plain
from deploy.psci.reader import INT_MAX, Fields, Place
from deploy.psci.values import (
    Scope,
    read_args,
    read_pe,
    read_pes,
    read_registers,
    read_result,
    read_results,
    read_save,
    read_value,
)
from proto.gic import PPI_HYP_TIMER, PPI_PHYS_TIMER, PPI_VIRT_TIMER, SGI_COUNT, SPI_FIRST
from proto.vectors import (
    ArmTimer,
    Call,
    Enters,
    Entries,
    ExpectSystem,
    Hold,
    Invocation,
    Loop,
    MaskIrq,
    Memory,
    Poll,
    RaiseIrq,
    Result,
    Returns,
    SendSgi,
    Step,
    SystemState,
    Taken,
    Together,
    Value,
    WaitMs,
)

WITHIN_MS = 1_000
"""How long is waited where a step does not say it."""
TIME_MAX_MS = 3_600_000
STEPS_MAX = 100_000
"""Steps of one case, repetitions written out."""
SPI_LAST = 991
TIMERS = (PPI_HYP_TIMER, PPI_VIRT_TIMER, PPI_PHYS_TIMER)
"""The comparators that a PE has."""


def read_steps(data: object, place: Place, scope: Scope) -> tuple[Step, ...]:
    """A list of steps."""
    if not isinstance(data, list) or not data:
        place.refuse("a list of steps", data)
    steps: list[Step] = []
    for index, item in enumerate(data):
        steps += read_step(item, place.at(f"[{index}]"), scope)
    return tuple(steps)


def read_step(data: object, place: Place, scope: Scope) -> tuple[Step, ...]:
    """One step; a list of PEs where one is meant stands for one step after the other."""
    fields = Fields(data, place, "a step")
    kinds = [key for key in KINDS if fields.peek(key) is not None]
    if isinstance(fields.peek("at_once"), list):
        kinds.append("at_once")
    if len(kinds) != 1:
        place.refuse(f"exactly one of {', '.join([*KINDS, 'at_once'])}", data)
    steps = (_together if kinds == ["at_once"] else KINDS[kinds[0]])(fields, scope)
    fields.end()
    return steps


def bound_steps(steps: tuple[Step, ...], place: Place) -> None:
    """Repetitions multiply: a case that never ends is a mistake."""

    def count(inside: tuple[Step, ...]) -> int:
        total = 0
        for step in inside:
            total += 1
            if isinstance(step, Loop):
                total += step.times * count(step.steps)
            elif isinstance(step, Together):
                total += sum(count(thread) for thread in step.threads)
        return total

    if (total := count(steps)) > STEPS_MAX:
        place.refuse(f"at most {STEPS_MAX} steps, repetitions written out", total)


# -- calls


def _invocation(fields: Fields, key: str, scope: Scope) -> Invocation:
    """What is called, with which registers, by whom."""
    got = fields.take(key)
    smc32 = fields.flag("smc32", False)
    if isinstance(got, str) and got in FUNCTIONS:
        function, text = (FUNCTIONS_32 if smc32 else FUNCTIONS)[got], got
    elif isinstance(got, int) and not isinstance(got, bool) and 0 <= got <= INT_MAX:
        function, text = got, f"{got:#x}"
    else:
        fields.at(key).refuse(f"a function id or one of {', '.join(FUNCTIONS)}", got)
    registers = read_registers(fields.take("registers", {}), fields.at("registers"), scope, 1)
    args = read_args(fields.take("args", []), fields.at("args"), scope)
    return Invocation(
        text=text,
        function=function,
        succeeds=plain(function) in SUCCEEDING,
        registers=tuple(sorted((dict(registers) | dict(args)).items(), key=lambda item: item[0])),
        secure=fields.flag("secure", False),
        aarch32=fields.flag("aarch32", False),
    )


def _call(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    pes = _pes(fields, scope)
    invocation = _invocation(fields, "call", scope)
    function = invocation.function
    expect: tuple[Result, ...] = ()
    if "expect" in fields:
        expect = read_results(fields.take("expect"), fields.at("expect"), scope, function)
    counts = fields.take("expect_count", {})
    place = fields.at("expect_count")
    if not isinstance(counts, dict):
        place.refuse("a mapping of results to numbers", counts)
    expect_count = []
    for name, number in counts.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= len(pes):
            place.at(f".{name}").refuse(f"a number from 0 to {len(pes)}", number)
        expect_count.append((read_result(name, place, scope, function), number))
    found = fields.take("expect_registers", {})
    return (
        Call(
            place=fields.place.within,
            pes=pes,
            invocation=invocation,
            together=fields.flag("at_once", False),
            expect=expect,
            expect_count=tuple(expect_count),
            expect_registers=read_registers(found, fields.at("expect_registers"), scope),
            at_least=_at_least(fields, scope),
            save=read_save(fields),
        ),
    )


def _poll(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    pes = _pes(fields, scope)
    invocation = _invocation(fields, "poll", scope)
    function = invocation.function
    until = read_results(fields.take("until"), fields.at("until"), scope, function)
    allow: tuple[Result, ...] = ()
    if fields.peek("allow") not in (None, []):
        allow = read_results(fields.peek("allow"), fields.at("allow"), scope, function)
    fields.take("allow", None)
    within_ms, save = _within(fields), read_save(fields)
    return tuple(
        Poll(
            place=fields.place.within,
            pe=pe,
            invocation=invocation,
            until=until,
            allow=allow,
            within_ms=within_ms,
            save=save,
        )
        for pe in pes
    )


def _at_least(fields: Fields, scope: Scope) -> Value | None:
    if "at_least" not in fields:
        return None
    return read_value(fields.take("at_least"), fields.at("at_least"), scope)


# -- steps inside steps


def _together(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    """`at_once` with a list: each element is a step, or a sequence under `steps`."""
    threads = []
    for index, item in enumerate(fields.items("at_once", "steps")):
        place = fields.place.at(f".at_once[{index}]")
        if isinstance(item, dict) and set(item) == {"steps"}:
            threads.append(read_steps(item["steps"], place.at(".steps"), scope))
        else:
            threads.append(read_step(item, place, scope))
    return (Together(place=fields.place.within, threads=tuple(threads)),)


def _repeat(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    times = fields.number("repeat", 1, STEPS_MAX)
    steps = read_steps(fields.take("steps"), fields.at("steps"), scope)
    return (Loop(place=fields.place.within, times=times, steps=steps),)


# -- what a PE does by itself


def _enters(fields: Fields, scope: Scope, key: str = "enters") -> tuple[Step, ...]:
    registers = read_registers(fields.take(key), fields.at(key), scope)
    within_ms = _within(fields)
    resumes = key == "resumes"
    return tuple(
        Enters(
            place=fields.place.within,
            pe=pe,
            registers=registers,
            within_ms=within_ms,
            resumes=resumes,
        )
        for pe in _pes(fields, scope)
    )


def _resumes(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    return _enters(fields, scope, "resumes")


def _entries(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    count = fields.number("entries", 0, STEPS_MAX)
    place = fields.place.within
    return tuple(Entries(place=place, pe=pe, count=count) for pe in _pes(fields, scope))


def _returns(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    expect = read_results(fields.take("returns"), fields.at("returns"), scope, 0)
    within_ms, place = _within(fields), fields.place.within
    return tuple(
        Returns(place=place, pe=pe, expect=expect, within_ms=within_ms)
        for pe in _pes(fields, scope)
    )


# -- interrupts


def _mask_irq(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    masked, place = fields.flag("mask_irq"), fields.place.within
    return tuple(MaskIrq(place=place, pe=pe, masked=masked) for pe in _pes(fields, scope))


def _irq(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    inner = Fields(fields.take("irq"), fields.at("irq"), "a mapping of intid and target")
    intid = inner.number("intid", SPI_FIRST, SPI_LAST)
    target = read_pe(inner.take("target"), inner.at("target"), scope)
    inner.end()
    return (RaiseIrq(place=fields.place.within, intid=intid, target=target),)


def _sgi(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    return (
        SendSgi(
            place=fields.place.within,
            sgi=fields.number("sgi", 0, SGI_COUNT - 1),
            source=read_pe(fields.take("from"), fields.at("from"), scope),
            targets=read_pes(fields.take("to"), fields.at("to"), scope),
        ),
    )


def _timer_ms(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    after_ms = fields.number("timer_ms", 0, TIME_MAX_MS)
    intid = fields.peek("intid")
    if intid not in TIMERS:
        intid = fields.number("intid", SPI_FIRST, SPI_LAST)
    else:
        fields.take("intid")
    place = fields.place.within
    return tuple(
        ArmTimer(place=place, pe=pe, intid=intid, after_ms=after_ms) for pe in _pes(fields, scope)
    )


def _taken(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    inner = Fields(fields.take("taken"), fields.at("taken"), "a mapping of intid, times, from")
    intid = inner.number("intid", 0, SPI_LAST)
    times = inner.number("times", 0, STEPS_MAX, 1)
    source = None
    if "from" in inner:
        source = read_pe(inner.take("from"), inner.at("from"), scope)
    inner.end()
    within_ms, place = _within(fields), fields.place.within
    return tuple(
        Taken(place=place, pe=pe, intid=intid, times=times, source=source, within_ms=within_ms)
        for pe in _pes(fields, scope)
    )


# -- the board


def _memory(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    address = read_value(fields.take("memory"), fields.at("memory"), scope)
    width = fields.take("width", 0)
    if isinstance(width, bool) or width not in (0, 1, 2, 4, 8):
        fields.at("width").refuse("1, 2, 4 or 8 bytes", width)
    write = None
    if "write" in fields:
        write = read_value(fields.take("write"), fields.at("write"), scope)
    expect: tuple[Result, ...] = ()
    if "expect" in fields:
        expect = read_results(fields.take("expect"), fields.at("expect"), scope, 0)
        if any(result.value is None for result in expect):
            fields.at("expect").refuse("values", "no-return")
    at_least, save = _at_least(fields, scope), read_save(fields)
    if write is not None and (expect or at_least or save):
        fields.place.refuse("either write, or expect, at_least and save", "both")
    if write is None and not (expect or at_least or save):
        fields.place.refuse("one of write, expect, at_least, save", "none of them")
    return (
        Memory(
            place=fields.place.within,
            pe=read_pe(fields.take("pe"), fields.at("pe"), scope) if "pe" in fields else None,
            address=address,
            width=width,
            write=write,
            expect=expect,
            mask=fields.number("mask", 0, INT_MAX, INT_MAX),
            at_least=at_least,
            save=save,
        ),
    )


def _hold(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    on, place = fields.flag("hold"), fields.place.within
    return tuple(Hold(place=place, pe=pe, on=on) for pe in _pes(fields, scope))


def _wait_ms(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    duration_ms = fields.number("wait_ms", 0, TIME_MAX_MS)
    return (WaitMs(place=fields.place.within, duration_ms=duration_ms),)


def _system(fields: Fields, scope: Scope) -> tuple[Step, ...]:
    state = SystemState(fields.word("system", [state.value for state in SystemState]))
    return (ExpectSystem(place=fields.place.within, state=state, within_ms=_within(fields)),)


def _pes(fields: Fields, scope: Scope) -> tuple[int, ...]:
    return read_pes(fields.take("pe"), fields.at("pe"), scope)


def _within(fields: Fields) -> int:
    return fields.number("within_ms", 0, TIME_MAX_MS, WITHIN_MS)


KINDS: dict[str, Callable[[Fields, Scope], tuple[Step, ...]]] = {
    "call": _call,
    "poll": _poll,
    "repeat": _repeat,
    "enters": _enters,
    "entries": _entries,
    "returns": _returns,
    "resumes": _resumes,
    "mask_irq": _mask_irq,
    "irq": _irq,
    "sgi": _sgi,
    "timer_ms": _timer_ms,
    "taken": _taken,
    "memory": _memory,
    "hold": _hold,
    "wait_ms": _wait_ms,
    "system": _system,
}
"""The key that makes a step what it is, and how such a step is read."""
