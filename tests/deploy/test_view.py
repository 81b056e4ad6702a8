"""The live view: what a person sees while a board runs."""

import io

import pytest
from rich.console import Console

from deploy.cli.view import View
from deploy.loading import resolve
from proto.ids import NodeId
from proto.traces import ClientStep, PePower, Phase, ScenarioStep, SystemState, TraceEvent
from proto.turn import Start, Trace, Turn


def turn(*events: TraceEvent) -> Turn:
    """A turn of pe0 that does nothing but trace."""
    return Turn(NodeId("pe0"), 0, 0, Start(), 0, 0, tuple(Trace(event) for event in events))


def shown(*events: TraceEvent, terminal: bool = True) -> str:
    """What stands on a terminal, or in a file, after these events of pe0."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    view = View(resolve("baseline"), console)
    with view:
        view.feed([turn(*events)])
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_board_boots_until_xen_is_active() -> None:
    """Nothing is said of a phase once it is up."""
    assert "booting" in shown(SystemState("boot"))
    assert "booting" not in shown(SystemState("boot"), SystemState("active")).split("board")[-1]


def test_the_last_phase_of_a_suspend_stays() -> None:
    """`active` at the end of R8 is no reason to forget it."""
    phase = Phase("R8", "system_state_active", "end")

    assert "R8 system_state_active end" in shown(
        SystemState("active"), phase, SystemState("active")
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_the_step_is_shown_anywhere(terminal: bool) -> None:
    """On a terminal with the PEs, elsewhere as a line."""
    text = shown(ScenarioStep(3, "wait 20 ms"), PePower(True), terminal=terminal)

    assert "step 3: wait 20 ms" in text
    assert ("pe0 on" in text) is terminal


def test_a_client_s_step_is_shown_with_its_name() -> None:
    """Somebody at another shell has typed it."""
    assert "client2: dom0: xl list" in shown(ClientStep("client2", "dom0: xl list"))
