"""Who waits for whom, on hand-made journals."""

from hand_made import Script

from proto.ids import NodeId
from proto.messages import (
    CompareAndSwap,
    Load,
    PointReached,
    Rail,
    Reply,
    Smc,
    Store,
    VcpuRun,
    Watch,
    WatchCancel,
)
from proto.traces import PeHalted
from proto.turn import Send, SetTimer
from proto.units import S
from services.monitor.waiting import Wait, cycle, named, who_waits

LOCK, FLAG = 0x8000_0010, 0x8000_0020


def powered() -> Script:
    """Both PEs have power."""
    script = Script()
    for cpu in (0, 1):
        script.message("scp", f"pe{cpu}", Rail(True))
    return script


def swap(script: Script, node: str, held: int = 0) -> None:
    """A PE tries to take the lock, which holds a value."""
    tried = script.send(node, "dram", CompareAndSwap(1, LOCK, 0, 2))
    script.deliver("dram", tried, Send(NodeId(node), Reply(1, held)))
    script.message("dram", node, Reply(1, held))


def waits(script: Script) -> dict[str, Wait]:
    """What each node was doing, by node."""
    return {wait.node: wait for wait in who_waits(script.board.platform, script.records)}


def test_what_a_pe_does_when_it_waits_for_nobody() -> None:
    """No power, idle, a delay, a panic."""
    script = Script()
    assert {wait.what for wait in waits(script).values()} == {"has no power"}

    script = powered()
    script.turn("pe1", SetTimer("delay.3", 2 * S, 2 * S))
    assert [wait.what for wait in waits(script).values()] == [
        "is idle in WFI",
        "lets time pass until 2000.000 ms",
    ]

    script.trace("pe1", PeHalted("BUG at cpu.c"))
    assert waits(script)["pe1"].text == "pe1 has halted: BUG at cpu.c"


def test_a_transaction_without_an_answer_is_a_wait() -> None:
    """The newest one, for the node that has to answer; an answered one is none."""
    script = powered()
    script.send("pe0", "dram", Load(1, FLAG))
    script.message("dram", "pe0", Reply(1, 0))
    script.send("pe0", "el3.pe0", Smc(2, 0x84000002, (0, 0, 0)))
    script.send("el3.pe0", "operator", PointReached(1, "el3.CPU_OFF pe0"))

    found = waits(script)

    assert found["pe0"].what == "has an unanswered Smc of CPU_OFF"
    assert found["pe0"].on == "el3.pe0"
    assert found["el3.pe0"].what == "has an unanswered PointReached of el3.CPU_OFF pe0"
    assert found["pe1"].on == ""


def test_power_that_is_cut_ends_every_wait() -> None:
    """Nothing survives in a frame."""
    script = powered()
    script.send("pe0", "dram", Load(1, FLAG))
    script.message("scp", "pe0", Rail(False))

    assert waits(script)["pe0"].text == "pe0 has no power"


def test_a_guest_that_has_not_come_back_is_named() -> None:
    """The PE is inside it."""
    script = powered()
    script.message("pe0", "dom1", VcpuRun(1, 1, ()))

    assert waits(script)["pe0"].what == "runs a guest: dom1 vCPU 1"


def test_wfe_waits_for_whoever_wrote_the_cell() -> None:
    """By a successful compare-and-swap, not by a failed one; a cancelled wait is over."""
    script = powered()
    swap(script, "pe1")
    swap(script, "pe0", held=2)
    script.send("pe0", "dram", Watch(5, LOCK, 2))

    found = waits(script)["pe0"]
    assert (found.on, found.address) == ("pe1", LOCK)
    assert named(found, {LOCK: "lock"}).text.startswith(
        "pe0 is in WFE until cell 0x80000010 <lock> is not 0x2, waiting for pe1 (since 0."
    )

    script.send("pe0", "dram", WatchCancel(5))
    assert waits(script)["pe0"].what == "is idle in WFI"


def test_a_pe_may_wait_for_itself() -> None:
    """A lock that is taken twice."""
    script = powered()
    swap(script, "pe0")
    script.send("pe0", "dram", Watch(5, LOCK, 2))

    found = waits(script)["pe0"]

    assert found.on == "pe0"
    assert cycle([found]) == ("pe0",)


def test_a_circle_is_found() -> None:
    """Two PEs, each in need of what the other wrote; others hang on it."""
    script = powered()
    swap(script, "pe1")
    script.message("pe0", "dram", Store(1, FLAG, 1))
    script.send("pe1", "dram", Watch(5, FLAG, 1))
    script.send("pe0", "dram", Watch(5, LOCK, 2))
    script.send("el3.pe0", "pe0", Smc(1, 0, (0, 0, 0)))

    found = waits(script)

    assert cycle(list(found.values())) == ("pe0", "pe1")
    assert cycle([found["pe0"]]) == ()
