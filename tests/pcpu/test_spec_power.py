"""A PE whose power is cut: nothing of it is left, and the lines it drove fall."""

from collections.abc import Sequence

from xen_bench import Bench, FakeScp

from proto.gic import PPI_HYP_TIMER
from proto.ids import BoardNs, pe_node
from proto.messages import Rail, ResetReason
from proto.timer import ENABLE
from proto.turn import Effect, Send, SetTimer
from proto.units import MS
from services.pcpu.pe import Pe

CUT_NS, AGAIN_NS = 10 * MS, 20 * MS


class CyclingScp(FakeScp):
    """Cuts the power of PE 0 once, and gives it back."""

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Power, and two alarms."""
        alarms = [SetTimer("cut", CUT_NS, CUT_NS), SetTimer("again", AGAIN_NS, AGAIN_NS)]
        return [*super().on_start(now), *alarms]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Off, then on."""
        return [Send(pe_node(0), Rail(timer == "again", ResetReason.WAKE))]


def test_a_power_cut_takes_registers_and_comparator_along() -> None:
    """The timer's line falls with the power; what comes up again knows nothing of before."""
    lives: list[dict[str, int]] = []

    async def program(pe: Pe) -> None:
        lives.append(dict(pe.registers))
        if len(lives) > 1:
            return
        pe.set_register("VBAR_EL2", 5)
        pe.set_cnthp(ENABLE, pe.now + MS)
        await pe.delay(100 * MS)
        lives.append({"still": 1})

    bench = Bench(program, instead=[CyclingScp(1)])
    wires = [
        value for _, kind, intid, value in bench.gic.log if (kind, intid) == ("wire", PPI_HYP_TIMER)
    ]

    assert lives == [{}, {}]
    assert wires[:2] == [1, 0]
