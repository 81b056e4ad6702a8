"""The node `el3.pe<N>`: power, late answers, and what it must never be sent."""

import pytest
from firmware_bench import board

from proto.ids import BoardNs, NodeId
from proto.messages import BlockPowered, Eret, Load, PowerOn, Rail, Replies, Reply, ResetReason, Smc
from proto.node import ProtocolError
from proto.psci import Affinity, Psci
from proto.turn import Envelope, MessageId, Send, SetTimer
from services.firmware.node import El3

NOW = BoardNs(0)
WARM = Rail(True, ResetReason.POWER_ON_REQUEST)


def give(el3, body, src="pe1"):
    """Hand the node one message; gives the bodies it sends."""
    envelope = Envelope(MessageId(NodeId(src), 1, 0), el3.id, None, body)
    effects = el3.on_message(NOW, envelope)
    return [effect.body for effect in effects if isinstance(effect, Send)]


def test_transaction_numbers_go_on_over_a_power_cycle():
    """A late answer to the context before the cut finds no taker in the next one."""
    el3 = El3(board(), 1)
    [first] = give(el3, WARM)
    give(el3, Rail(False))
    [second] = give(el3, WARM)

    assert isinstance(first, Load)
    assert second.tx > first.tx
    assert give(el3, Reply(first.tx, Affinity.ON_PENDING), "dram") == []
    assert give(el3, Reply(second.tx, Affinity.ON_PENDING), "dram") != []


def test_the_loss_of_power_is_reported_if_the_rail_asks_for_it():
    """At a reset the power controller waits for it; otherwise nobody is told."""
    el3 = El3(board(), 1)
    give(el3, WARM)
    assert give(el3, Rail(False)) == []
    give(el3, WARM)
    assert give(el3, Rail(False, report=True)) == [BlockPowered(el3.id, False)]


def test_without_power_late_answers_are_dropped():
    """Answers and timers of a context that is gone have no effect."""
    el3 = El3(board(), 1)
    give(el3, WARM)
    give(el3, Rail(False))

    assert give(el3, Reply(1), "dram") == []
    assert give(el3, Replies(1, (0, 0)), "dram") == []
    assert el3.on_timer(NOW, "bus") == ()


@pytest.mark.parametrize("body", [Smc(1, Psci.VERSION, (0, 0, 0)), Rail(False), Eret(0, 0)])
def test_without_power_everything_else_stops_the_run(body):
    """An SMC to a PE that is off, or a second cut, cannot be."""
    with pytest.raises(ProtocolError):
        give(El3(board(), 1), body)


@pytest.mark.parametrize("body", [Smc(1, Psci.VERSION, (0, 0, 0)), WARM, PowerOn(1, 1)])
def test_while_firmware_runs(body):
    """A PE cannot execute SMC while it is at EL3, nor get power twice."""
    el3 = El3(board(), 1)
    give(el3, WARM)
    with pytest.raises(ProtocolError):
        give(el3, body)


def test_unknown_timer_stops_the_run():
    """A timer that nobody set is an error of the world."""
    el3 = El3(board(), 1)
    give(el3, WARM)
    with pytest.raises(ProtocolError):
        el3.on_timer(NOW, "tick")


def test_no_answer_is_an_external_abort_and_a_panic():
    """Firmware whose memory does not answer within the limit stops for good and says so."""
    el3 = El3(board(), 1)
    envelope = Envelope(MessageId(NodeId("pe1"), 1, 0), el3.id, None, WARM)
    [timer] = [e for e in el3.on_message(NOW, envelope) if isinstance(e, SetTimer)]
    [trace] = el3.on_timer(BoardNs(timer.latest_ns), timer.timer)

    assert "no answer" in trace.event.message


def test_unknown_symbol_cannot_be_relinked():
    """A mutant of something that does not exist is refused when the image is linked."""
    with pytest.raises(KeyError, match="no_such_symbol"):
        El3(board(), 0, {"no_such_symbol": lambda el3: None})
