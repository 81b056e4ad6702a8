"""What tests of guest entry and exit share: kernels of one program, and what they sent."""

from collections.abc import Callable
from typing import Any

from domain_bench import LRS, Wires

from proto.el1 import reset_state
from proto.ids import NodeId
from proto.image import Image
from proto.messages import (
    Body,
    El1State,
    VcpuExit,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    VcpuState,
)
from proto.platform import GUEST_TEXT, TTY_BASE
from proto.scenario import DomainSpec, Role
from services.domain.guest_cpu import GuestCpu
from services.domain.programs import guest_image

PE0, PE1 = NodeId("pe0"), NodeId("pe1")
IDLE = (0,) * LRS
SPEC = DomainSpec(id=1, vcpus=2, program="idle")
DOM0 = DomainSpec(id=0, role=Role.HARDWARE, program="idle")
TTY1 = TTY_BASE + 0x1000


def image(program: Callable[..., Any], vector: Callable[..., Any] | None = None) -> Image:
    """A kernel whose entry is this program, with an IRQ vector."""
    relinked = {"idle_start": program}
    if vector is not None:
        relinked["linux_vectors"] = vector
    guest_image("idle")
    return Image("services.domain.programs", GUEST_TEXT, "idle_start", relinked)


def state(entry: int = GUEST_TEXT, x0: int = 0) -> El1State:
    """A reset vCPU."""
    return reset_state(entry, x0, LRS, 0)


def entered(program: Callable[..., Any], spec: DomainSpec = SPEC, **kwargs: Any) -> Wires:
    """A domain whose vCPU 0 runs a program since entry 1 on PE 0."""
    wires = Wires(spec, image(program, **kwargs))
    fresh = reset_state(GUEST_TEXT, 0, LRS, 0, spec.arch)
    wires.send(PE0, VcpuLoad(1, 0, 0, fresh))
    wires.send(PE0, VcpuRun(0, 1, IDLE))
    return wires


def only_exit(bodies: list[Body]) -> VcpuExit:
    """The one exit among these messages."""
    (exit_,) = [body for body in bodies if isinstance(body, VcpuExit)]
    return exit_


def exits(wires: Wires) -> list[VcpuExit]:
    """All exits so far."""
    return [body for _, body in wires.sent if isinstance(body, VcpuExit)]


async def worker(cpu: GuestCpu, x0: int) -> None:
    """Computes for 1000 ns, reports it by HVC, and so on."""
    for number in range(1_000):
        await cpu.work(1_000)
        await cpu.hvc(0, 100 + number)


async def waiter(cpu: GuestCpu, x0: int) -> None:
    """Waits for interrupts."""
    while True:
        await cpu.wfi()


def put(wires: Wires, pe: NodeId = PE0) -> El1State:
    """Put vCPU 0 and give its state."""
    (answer,) = [body for body in wires.send(pe, VcpuPut(2, 0, 1)) if isinstance(body, VcpuState)]
    return answer.state
