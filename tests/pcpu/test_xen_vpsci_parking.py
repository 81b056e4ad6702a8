"""vPSCI SYSTEM_SUSPEND by version of the series: who has the call, what an accepted one does."""

from typing import Any

import msgspec
import pytest
from xen_bench import Bench, board

from proto.board import Board
from proto.hypercall import ShutdownReason
from proto.ids import DomainId
from proto.psci import Psci, PsciError
from proto.scenario import GuestArch, Parking, Trigger
from proto.traces import DomainShutdown, SuspendPolicy
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import domain_resume, domain_shutdown, shutdown_state
from services.pcpu.xen.memory import TaskletCells, Vcpu
from services.pcpu.xen.suspend_policy import Policy
from services.pcpu.xen.vpsci import do_vpsci_call

ENTRY = 0x4000_0000
SUSPEND_TASKLET = 0


def made(
    *,
    parking: Parking = Parking.BLOCK,
    trigger: Trigger = Trigger.HARDWARE,
    system_suspend: bool = True,
    domu: dict[str, Any] | None = None,
) -> Board:
    """A board with a hardware domain and one other."""
    plain = board(1, (1, 1))
    dom0, dom1 = plain.scenario.domains
    domains = (dom0, msgspec.structs.replace(dom1, **(domu or {})))
    scenario = msgspec.structs.replace(
        plain.scenario, domains=domains, system_suspend=system_suspend
    )
    profile = msgspec.structs.replace(plain.profile, parking=parking, trigger=trigger)
    return msgspec.structs.replace(plain, scenario=scenario, profile=profile)


def v11(**domu: Any) -> Board:
    """The design since 2025-09."""
    return made(parking=Parking.SHUTDOWN, trigger=Trigger.CONTROL, domu=domu)


class Call:
    """One call from a domain; `before` and `after` run around it."""

    def __init__(self, of: Board, domain: int, *call: int, **relinked: Any) -> None:
        self.code: int | None = None
        self.state: Any = None
        self.scheduled: list[tuple[Any, int]] = []
        self.resume: tuple[int, ...] = ()

        async def schedule(pe: Pe, tasklet: TaskletCells, cpu: int) -> None:
            self.scheduled.append((pe.xen.tasklets.index(tasklet), cpu))

        async def program(pe: Pe) -> None:
            if domain == 0 and of.profile.parking is Parking.SHUTDOWN:
                await domain_shutdown(pe, DomainId(1), ShutdownReason.SUSPEND)
            pe.current = pe.xen.vcpus_of(domain)[0]
            self.code = await do_vpsci_call(pe, pe.current, call[0], (*call[1:], 0, 0, 0)[:3])
            self.state = await shutdown_state(pe, DomainId(domain))
            cells = pe.xen.vcpu[pe.current.index]
            self.resume = await pe.load_burst(
                (
                    cells.resume_entry,
                    cells.resume_context_id,
                    pe.xen.domains[DomainId(domain)].resume_vcpu,
                )
            )

        links = {"tasklet_schedule_on_cpu": schedule, **relinked}
        self.bench = Bench(program, of=of, relinked=links)
        assert self.bench.halts == []


def test_a_plain_domain_is_shut_down_with_its_context_attached() -> None:
    """The host runs on."""
    call = Call(v11(), 1, Psci.SYSTEM_SUSPEND, ENTRY, 7)

    assert call.code == PsciError.SUCCESS
    assert call.state == (True, True, ShutdownReason.SUSPEND)
    assert call.resume == (ENTRY, 7, 2)
    assert call.bench.traces(SuspendPolicy) == [SuspendPolicy(1, "parked", "")]
    assert call.scheduled == []


def test_the_last_control_domain_has_the_host_suspended_by_a_tasklet_on_pcpu_0() -> None:
    """When everybody else sleeps."""
    call = Call(v11(), 0, Psci.SYSTEM_SUSPEND, ENTRY, 0)

    assert call.code == PsciError.SUCCESS
    assert call.scheduled == [(SUSPEND_TASKLET, 0)]
    assert call.bench.traces(SuspendPolicy) == [SuspendPolicy(0, "host", "")]


def test_a_policy_s_refusal_is_denied_and_changes_nothing() -> None:
    """-3, never -1: a call that PSCI_FEATURES advertises exists."""
    second = v11(control=True)

    async def refuse(pe: Pe, vcpu: Vcpu) -> tuple[Any, str]:
        return Policy.DENIED, "because"

    call = Call(second, 1, Psci.SYSTEM_SUSPEND, ENTRY, 7, suspend_policy=refuse)

    assert call.code == PsciError.DENIED
    assert call.state == (False, False, None)
    assert call.resume == (0, 0, 0)
    assert call.bench.traces(DomainShutdown) == []


def test_a_resume_between_shutdown_and_context_would_lose_the_context() -> None:
    """Which is why domain_resume waits until the caller has stopped; here nobody makes it wait."""
    starts: list[int] = []

    async def resume_at_once(pe: Pe, domain: DomainId, reason: ShutdownReason) -> int:
        await pe.store(pe.xen.domains[domain].is_shutting_down, 1)
        await domain_resume(pe, domain)
        starts.append(await pe.load(pe.xen.domains[domain].resume_vcpu))
        return 0

    call = Call(v11(), 1, Psci.SYSTEM_SUSPEND, ENTRY, 7, domain_shutdown=resume_at_once)

    assert starts == [0]
    assert call.resume == (ENTRY, 7, 2)


@pytest.mark.parametrize(
    ("of", "domain", "code"),
    [
        (made(), 0, 0),
        (made(), 1, 0),
        (made(system_suspend=False), 0, PsciError.NOT_SUPPORTED),
        (made(system_suspend=False), 1, 0),
        (made(domu={"suspend_allowed": False}), 1, PsciError.NOT_SUPPORTED),
        (v11(suspend_allowed=False), 1, PsciError.NOT_SUPPORTED),
        (v11(), 0, 0),
    ],
    ids=["host", "guest", "no-config-host", "no-config-guest", "policy", "policy-v11", "v11"],
)
def test_psci_features_says_what_the_call_does(of: Board, domain: int, code: int) -> None:
    """A domain that may not suspend has no such call, in either form."""
    for function in (Psci.SYSTEM_SUSPEND, Psci.SYSTEM_SUSPEND_32):
        assert Call(of, domain, Psci.FEATURES, function).code == code
    if code:
        assert Call(of, domain, Psci.SYSTEM_SUSPEND, ENTRY, 0).code == code


@pytest.mark.parametrize(
    ("arch", "function", "entry", "code"),
    [
        (GuestArch.AARCH64, Psci.SYSTEM_SUSPEND, ENTRY + 1, PsciError.INVALID_ADDRESS),
        (GuestArch.AARCH64, Psci.SYSTEM_SUSPEND_32, ENTRY + 1, PsciError.INVALID_ADDRESS),
        (GuestArch.AARCH32, Psci.SYSTEM_SUSPEND_32, ENTRY + 1, PsciError.SUCCESS),
        (GuestArch.AARCH32, Psci.SYSTEM_SUSPEND, ENTRY, PsciError.NOT_SUPPORTED),
        (GuestArch.AARCH32, Psci.AFFINITY_INFO, 0, PsciError.NOT_SUPPORTED),
    ],
)
def test_thumb_entries_and_64_bit_calls_depend_on_the_width(
    arch: GuestArch, function: int, entry: int, code: int
) -> None:
    """Only AArch32 has Thumb code, and it has no SMC64."""
    assert Call(v11(arch=arch), 1, function, entry, 0).code == code


def test_psci_features_knows_no_64_bit_calls_of_a_32_bit_domain() -> None:
    """And masks the function id it is asked about."""
    narrow = v11(arch=GuestArch.AARCH32)

    assert Call(narrow, 1, Psci.FEATURES, Psci.CPU_ON).code == PsciError.NOT_SUPPORTED
    assert Call(narrow, 1, Psci.FEATURES, Psci.CPU_ON_32).code == PsciError.SUCCESS


def test_system_reset_of_a_domain_is_its_reboot() -> None:
    """SHUTDOWN_reboot, for the toolstack to see."""
    assert Call(v11(), 1, Psci.SYSTEM_RESET).state == (True, True, ShutdownReason.REBOOT)
