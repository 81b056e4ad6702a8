"""The step table: whatever fails, exactly what was done is taken back, last one first."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xen_bench import Bench, board

from proto.image import Program
from proto.traces import Phase, SystemState
from services.pcpu.pe import Pe
from services.pcpu.xen.suspend import (
    STEPS,
    initiating_vcpu,
    system_suspend,
    system_suspend_tasklet,
)

ORDER = tuple(STEPS)


def stubs(log: list[str], failing: str, error: int) -> Mapping[str, Program]:
    """Every do and undo of the table, replaced by a note; one of them fails."""

    def do(name: str) -> Program:
        async def program(pe: Pe) -> int:
            log.append(name)
            return error if name == failing else 0

        return program

    links = {step.do: do(step.name) for step in STEPS.values()}
    for step in STEPS.values():
        if step.undo:
            links[step.undo] = do(f"undo {step.name}")
    return links | {"resume_initiator": do("resume_initiator")}


def suspend(order: tuple[str, ...], failing: str, error: int) -> tuple[list[str], int, Bench]:
    """Run the table with stubs; gives what was called, the result, and the bench."""
    log: list[str] = []
    results: list[int] = []

    async def program(pe: Pe) -> None:
        results.append(await system_suspend(pe, 0))

    bench = Bench(program, of=board(suspend_steps=order), relinked=stubs(log, failing, error))
    assert bench.halts == []
    return log, results[0], bench


@given(st.permutations(ORDER), st.data())
@settings(max_examples=60, deadline=None)
def test_an_abort_takes_back_what_was_done(order: list[str], data: st.DataObject) -> None:
    """For every order of the steps and every step that fails."""
    failing = data.draw(st.sampled_from(order))
    log, result, _ = suspend(tuple(order), failing, -5)

    position = order.index(failing)
    completed = order[: position + 1 if STEPS[failing].undo_own_failure else position]
    expected = [f"undo {name}" for name in reversed(completed) if STEPS[name].undo]
    assert log == [*order[: position + 1], *expected, "resume_initiator"]
    assert result == -5


def test_a_suspend_that_did_not_sleep_is_taken_back_whole() -> None:
    """SYSTEM_SUSPEND that returns SUCCESS in place is no sleep, and no error."""
    log, result, bench = suspend(ORDER, "", 0)

    done = [name for name in ORDER if STEPS[name].undo]
    assert log[len(ORDER) :] == [*(f"undo {name}" for name in reversed(done)), "resume_initiator"]
    assert result == 0
    assert [event.state for event in bench.traces(SystemState)] == ["resume"]


def test_phases_are_labelled() -> None:
    """Each step is traced with its label; the one that fails with its error."""
    _, _, bench = suspend(ORDER, "gic_suspend", -16)
    phases = [(event.label, event.edge, event.error) for event in bench.traces(Phase)]

    assert ("S9", "fail", -16) in phases
    assert ("S8", "end", 0) in phases
    assert [label for label, edge, _ in phases if edge == "begin" and label[0] == "R"] == [
        "R3",
        "R4",
        "R4",
        "R5",
        "R6",
        "R7",
        "R8",
        "R8",
        "R8",
        "R9",
    ]


@pytest.mark.parametrize("state", [0, 2, 3])
def test_only_an_active_system_is_suspended(state: int) -> None:
    """Anything else is a BUG, as in Xen."""

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.system_state, state)
        await system_suspend(pe, 0)

    assert Bench(program).halts[0].startswith("Xen BUG: system_state is ")


def test_whoever_asks_during_r9_is_not_resumed_in_its_place() -> None:
    """The initiator is the suspend's own: a later request names its own in the tasklet."""
    seen: list[int] = []

    async def another_asks(pe: Pe) -> int:
        await pe.store(pe.xen.suspend_tasklet.data, 1)
        return 0

    async def resume_initiator(pe: Pe) -> None:
        seen.append((await initiating_vcpu(pe)).index)

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.suspend_tasklet.data, 2)
        await system_suspend_tasklet(pe, await pe.load(pe.xen.suspend_tasklet.data))

    links = {**stubs([], "", 0), STEPS["gic_suspend"].do: another_asks}
    Bench(program, of=board(1, (1, 2)), relinked=links | {"resume_initiator": resume_initiator})

    assert seen == [2]
