"""What a finding tells: its property's kind and clause, and the messages at its positions."""

from hand_made import Script

from proto.ids import NodeId
from proto.messages import Smc
from proto.traces import HeapUse, PeHalted
from proto.turn import Effect, Send
from services.monitor.telling import KEPT_TURNS, TEXT_MAX, Window


def test_a_finding_tells_the_clause_and_the_messages() -> None:
    """Node, class and fields of each turn that it cites."""
    script = Script()
    script.boot()
    at = script.trace("pe1", HeapUse("xfree", "struct irqaction", True, 2))
    script.end()

    (finding,) = script.judged().findings

    assert finding.kind == "always"
    assert finding.clause.startswith("No allocation or free with IRQs off")
    assert finding.messages == (
        f"record {at}, 0.006000 ms, pe1: HeapUse(operation='xfree', what='struct irqaction', "
        "irq_masked=True, online=2)",
    )


def test_a_window_tells_what_a_turn_answers_and_sends() -> None:
    """Addresses in hexadecimal, transactions left out, long fields cut."""
    window = Window()
    smc = Smc(7, 0x84000002, (0, 0, 0))
    effects: list[Effect] = [Send(NodeId("el3.pe1"), smc)]
    window.keep(3, (1_000, NodeId("pe1"), NodeId("pe0"), smc, effects))
    window.keep(4, (2_000, NodeId("pe1"), None, None, ()))

    call = "Smc(function=0x84000002, args=(0x0, 0x0, 0x0), secure=False, aarch32=False)"
    assert window.tell((3, 4, 5)) == (
        f"record 3, 0.001000 ms, pe1 answers {call} of pe0: sends {call} to el3.pe1",
        "record 4, 0.002000 ms, pe1",
    )


def test_a_window_is_bounded() -> None:
    """A board may run for days."""
    window = Window()
    for position in range(KEPT_TURNS + 1):
        window.keep(position, (0, NodeId("pe1"), None, None, ()))

    assert window.tell((0,)) == ()
    assert len(window.tell((1, KEPT_TURNS))) == 2


def test_a_long_text_is_cut() -> None:
    """A guest's bank has thousands of characters."""
    script = Script()
    script.boot()
    script.trace("pe0", PeHalted("x" * 2 * TEXT_MAX))
    script.end()

    (finding,) = script.judged().findings
    (message,) = finding.messages

    assert message.endswith("...)")
    assert len(message) < 2 * TEXT_MAX
