"""The processor: one transaction at a time, exception stack, waits, aborts, power loss."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from proto.cells import Cell
from proto.ids import DRAM, NodeId
from proto.image import Image
from proto.machine import ExternalAbort, Processor, Thread
from proto.messages import Abort, Load, PointReached, PointRelease, Reply, Store, Watch
from proto.platform import DRAM_BASE, GICD_BASE, MemoryMap
from proto.turn import CancelTimer, Effect, Send, SetTimer

A, B = Cell(DRAM_BASE), Cell(DRAM_BASE + 8)
LIMIT_NS = 1_000


class Cpu(Processor):
    """A processor whose IRQ handler is given by the test."""

    def __init__(self) -> None:
        super().__init__(NodeId("pe0"), Image("tests.none", 0, "none"), MemoryMap((0,)), LIMIT_NS)
        self.log: list[Any] = []
        self.handler: Callable[[], Coroutine[Any, Any, None]] | None = None

    def irq_vector(self) -> Thread:
        assert self.handler is not None
        return self.handler()

    def on_halt(self, message: str) -> None:
        self.log.append(f"halt: {message}")

    def turn(self, step: Callable[[], Any], now: int = 0) -> list[Effect]:
        """One turn: what `step` makes the processor do."""
        self.begin(now)
        step()
        return list(self.end())


def sends(effects: list[Effect]) -> list[Any]:
    return [effect.body for effect in effects if isinstance(effect, Send)]


def test_one_transaction_is_outstanding_and_its_reply_continues() -> None:
    """The second access is sent only when the first is answered."""
    cpu = Cpu()

    async def program() -> None:
        value = await cpu.load(A)
        await cpu.store(B, value + 1)
        cpu.log.append("done")

    first = cpu.turn(lambda: cpu.boot(program()))
    second = cpu.turn(lambda: cpu.answer(Reply(1, 41)))
    cpu.turn(lambda: cpu.answer(Reply(2)))

    assert sends(first) == [Load(1, A)]
    assert sends(second) == [Store(2, B, 42)]
    assert cpu.log == ["done"]


def test_a_reply_nobody_waits_for_is_dropped() -> None:
    """A late answer finds no taker."""
    cpu = Cpu()

    async def program() -> None:
        cpu.log.append(await cpu.load(A))

    cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.answer(Reply(99, 1)))
    assert cpu.log == []
    cpu.turn(lambda: cpu.answer(Reply(1, 7)))
    assert cpu.log == [7]


def test_an_irq_is_taken_between_transactions_only() -> None:
    """The handler runs after the outstanding access is answered, and the program goes on behind."""
    cpu = Cpu()

    async def handler() -> None:
        cpu.log.append(("irq", cpu.irq_masked))
        cpu.set_irq_line(False)

    async def program() -> None:
        await cpu.irq_enable()
        cpu.log.append(await cpu.load(A))
        cpu.log.append(("program", cpu.irq_masked))

    cpu.handler = handler
    cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.set_irq_line(True))
    assert cpu.log == []
    cpu.turn(lambda: cpu.answer(Reply(1, 7)))

    assert cpu.log == [("irq", True), 7, ("program", False)]


def test_a_masked_irq_waits_for_the_unmasking() -> None:
    """irq_enable takes what is pending before the next instruction."""
    cpu = Cpu()

    async def handler() -> None:
        cpu.log.append("irq")
        cpu.set_irq_line(False)

    async def program() -> None:
        await cpu.load(A)
        cpu.log.append("masked")
        await cpu.irq_enable()
        cpu.log.append("after")

    cpu.handler = handler
    cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.set_irq_line(True))
    cpu.turn(lambda: cpu.answer(Reply(1)))

    assert cpu.log == ["masked", "irq", "after"]


@pytest.mark.parametrize("masked", [True, False])
def test_wfi_ends_with_a_high_line_masked_or_not(masked: bool) -> None:
    """WFI ends in both cases; the handler runs first if it may."""
    cpu = Cpu()

    async def handler() -> None:
        cpu.log.append("irq")
        cpu.set_irq_line(False)

    async def program() -> None:
        await cpu.irq_restore(masked)
        await cpu.wfi()
        cpu.log.append("awake")

    cpu.handler = handler
    cpu.turn(lambda: cpu.boot(program()))
    assert cpu.log == []
    cpu.turn(lambda: cpu.set_irq_line(True))

    assert cpu.log == (["awake"] if masked else ["irq", "awake"])


def test_an_irq_interrupts_a_delay_which_may_end_meanwhile() -> None:
    """A delay that expires under its handler is over when the handler returns."""
    cpu = Cpu()

    async def handler() -> None:
        cpu.set_irq_line(False)
        cpu.log.append(await cpu.load(A))

    async def program() -> None:
        await cpu.irq_enable()
        await cpu.delay(100)
        cpu.log.append("over")

    cpu.handler = handler
    started = cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.set_irq_line(True), now=50)
    cpu.turn(lambda: cpu.timer_fired("delay.1"), now=100)
    assert cpu.log == []
    cpu.turn(lambda: cpu.answer(Reply(2, 5)), now=120)

    assert started == [SetTimer("delay.1", 100, 100)]
    assert cpu.log == [5, "over"]


def test_wfe_gives_the_new_value_and_a_deadline_gives_none() -> None:
    """A watch ends with a value, or with None when its time has passed."""
    cpu = Cpu()

    async def program() -> None:
        cpu.log.append(await cpu.wfe(A, 3))
        cpu.log.append(await cpu.wfe_until(A, 4, 500))
        cpu.log.append(await cpu.wfe_until(A, 5, 900))

    cpu.turn(lambda: cpu.boot(program()))
    second = cpu.turn(lambda: cpu.answer(Reply(1, 4)))
    third = cpu.turn(lambda: cpu.timer_fired("until.2"), now=500)
    last = cpu.turn(lambda: cpu.answer(Reply(3, 6)), now=600)

    assert sends(second) == [Watch(2, A, 4)]
    assert sends(third)[1] == Watch(3, A, 5)
    assert CancelTimer("until.3") in last
    assert cpu.log == [4, None, 6]


def test_a_refused_access_is_an_external_abort() -> None:
    """The program may catch it; otherwise the processor halts."""
    cpu = Cpu()

    async def program() -> None:
        with pytest.raises(ExternalAbort, match="no such cell"):
            await cpu.load(A)
        await cpu.load(B)

    cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.answer(Abort(1, "no such cell")))
    cpu.turn(lambda: cpu.answer(Abort(2, "again")))

    assert cpu.log == ["halt: again"]
    assert cpu.halted == "again"


def test_no_answer_within_the_limit_is_an_external_abort() -> None:
    """One bus timer watches whatever transaction is outstanding."""
    cpu = Cpu()

    async def program() -> None:
        await cpu.load(A)
        await cpu.load(B)

    first = cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.answer(Reply(1)), now=900)
    again = cpu.turn(lambda: cpu.timer_fired("bus"), now=LIMIT_NS)
    cpu.turn(lambda: cpu.timer_fired("bus"), now=900 + LIMIT_NS)

    assert SetTimer("bus", LIMIT_NS, LIMIT_NS) in first
    assert again == [SetTimer("bus", 900 + LIMIT_NS, 900 + LIMIT_NS)]
    assert cpu.log == [f"halt: no answer within {LIMIT_NS} ns"]


def test_power_loss_throws_the_stack_away() -> None:
    """Nothing of a program continues after its power was cut."""
    cpu = Cpu()

    async def program() -> None:
        await cpu.load(A)
        cpu.log.append("survived")

    cpu.turn(lambda: cpu.boot(program()))
    cpu.discard()
    cpu.turn(lambda: cpu.answer(Reply(1)))

    assert cpu.log == []


def test_posted_writes_do_not_wait_and_a_barrier_completes_them() -> None:
    """A barrier goes to each device that was posted to, once; none is sent for nothing."""
    cpu = Cpu()

    async def program() -> None:
        cpu.post(GICD_BASE, 1)
        cpu.post(GICD_BASE + 0x100, 2)
        await cpu.barrier()
        await cpu.barrier()
        cpu.log.append("done")

    effects = cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.answer(Reply(1)))

    assert [type(body).__name__ for body in sends(effects)] == ["RegWrite", "RegWrite", "Barrier"]
    assert cpu.log == ["done"]


def test_an_access_to_nothing_is_an_external_abort() -> None:
    """The memory map decides who answers."""
    cpu = Cpu()

    async def program() -> None:
        await cpu.read(0x10)

    cpu.turn(lambda: cpu.boot(program()))

    assert cpu.log == ["halt: nothing answers at 0x10"]


def test_a_point_costs_nothing_unless_armed() -> None:
    """An armed point waits for the operator and gives the injected answer."""
    cpu = Cpu()
    cpu.points = frozenset({"here"})

    async def program() -> None:
        cpu.log.append(await cpu.point("elsewhere"))
        cpu.log.append(await cpu.point("here"))

    effects = cpu.turn(lambda: cpu.boot(program()))
    cpu.turn(lambda: cpu.answer(PointRelease(1, -3)))

    assert sends(effects) == [PointReached(1, "here")]
    assert cpu.log == [0, -3]


def test_dram_is_where_cells_live() -> None:
    """Loads go to the memory node."""
    cpu = Cpu()

    async def program() -> None:
        await cpu.load_burst([A, B])

    effects = cpu.turn(lambda: cpu.boot(program()))

    assert effects[0].dst == DRAM  # type: ignore[union-attr]
