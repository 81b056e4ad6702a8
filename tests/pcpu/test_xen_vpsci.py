"""vPSCI: what guests may call, in which order calls are refused, what SMC32 means."""

from collections.abc import Sequence

import pytest
from xen_bench import Bench, board

from proto.el1 import word_index
from proto.hypercall import Errno
from proto.ids import VcpuIndex
from proto.psci import SMCCC_VERSION, Affinity, MigrateInfo, Psci, PsciError
from proto.traces import VpsciCall, VpsciResult
from services.pcpu.pe import Pe
from services.pcpu.xen.continue_hypercall import Continuation
from services.pcpu.xen.domain import VPF_BLOCKED, VPF_DOWN
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.vpsci import do_vpsci_call

VMCR = word_index("vmcr", 4)
ENTRY = 0x4000_0000
DOM0, DOMU = 0, 1
"""Positions of vCPU 0 of the two domains in `VCPUS` order."""
VCPUS = (1, 3)


class Calls:
    """Makes calls from one vCPU, the others down unless said otherwise."""

    def __init__(
        self,
        *calls: Sequence[int],
        caller: int = DOMU,
        up: Sequence[int] = (),
        pending: int = 0,
        **relink: str,
    ) -> None:
        self.codes: list[int | None] = []
        self.flags: list[int] = []
        self.resume: tuple[int, ...] = ()

        async def program(pe: Pe) -> None:
            for vcpu in pe.xen.vcpus:
                down = vcpu.index != caller and vcpu.index not in up
                await pe.store(pe.xen.vcpu[vcpu.index].pause_flags, VPF_DOWN if down else 0)
            cells = pe.xen.vcpu[caller]
            await pe.store(cells.vgic_pending[0], pending)
            await pe.store(cells.vgic_enabled, pending)
            # The guest lets every priority through.
            await pe.store(cells.context[VMCR], 0xF800_0000)
            pe.current = pe.xen.vcpus[caller]
            for function, *args in calls:
                padded = (*args, 0, 0, 0)
                code = await do_vpsci_call(pe, pe.current, function, padded[:3])
                self.codes.append(code)
            self.flags = [await pe.load(cell.pause_flags) for cell in pe.xen.vcpu]
            self.resume = await pe.load_burst(
                (cells.resume_entry, cells.resume_context_id, cells.reset_pending)
            )

        self.bench = Bench(program, of=board(1, VCPUS, **relink))
        assert self.bench.halts == []


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ((Psci.VERSION,), 0x10001),
        ((SMCCC_VERSION,), 0x10001),
        ((Psci.FEATURES, Psci.SYSTEM_SUSPEND), 0),
        ((Psci.FEATURES, SMCCC_VERSION), 0),
        ((Psci.FEATURES, 0x8400_0005), PsciError.NOT_SUPPORTED),
        ((0x8400_0099,), PsciError.NOT_SUPPORTED),
        ((Psci.AFFINITY_INFO, 0, 0), Affinity.ON),
        ((Psci.AFFINITY_INFO, 1, 0), Affinity.OFF),
        ((Psci.AFFINITY_INFO, 9, 0), Affinity.OFF),
        ((Psci.AFFINITY_INFO, 1 << 24, 0), Affinity.ON),
        ((Psci.AFFINITY_INFO, 1, 1), Affinity.ON),
        ((Psci.AFFINITY_INFO, 1 << 8, 1), Affinity.OFF),
        ((Psci.AFFINITY_INFO, 1 << 8, 2), Affinity.ON),
        ((Psci.AFFINITY_INFO, 1 << 32, 3), Affinity.OFF),
        ((Psci.MIGRATE_INFO_TYPE,), MigrateInfo.NOT_NEEDED),
        ((Psci.FEATURES, Psci.MIGRATE_INFO_TYPE), 0),
        ((Psci.FEATURES, Psci.CPU_SUSPEND), 0),
        ((Psci.AFFINITY_INFO, 0, 4), PsciError.INVALID_PARAMETERS),
        ((Psci.CPU_ON, 9, ENTRY, 0), PsciError.INVALID_PARAMETERS),
        ((Psci.CPU_ON, 1 << 24, ENTRY, 0), PsciError.INVALID_PARAMETERS),
        ((Psci.CPU_ON, 1, ENTRY + 1, 0), PsciError.INVALID_ADDRESS),
        ((Psci.CPU_ON, 0, ENTRY, 0), PsciError.ALREADY_ON),
        ((Psci.SYSTEM_SUSPEND, ENTRY + 1, 0), PsciError.INVALID_ADDRESS),
    ],
)
def test_a_call_gives_its_code(call: Sequence[int], code: int) -> None:
    """Each answer that needs no state but the vCPUs' own."""
    assert Calls(call).codes == [code]


def test_cpu_on_starts_a_vcpu_that_is_down_once() -> None:
    """The second call finds it on."""
    calls = Calls((Psci.CPU_ON, 1, ENTRY, 5), (Psci.CPU_ON, 1, ENTRY, 6))

    assert calls.codes == [PsciError.SUCCESS, PsciError.ALREADY_ON]
    assert calls.flags[DOMU + 1] == 0


def test_cpu_off_marks_the_vcpu_down() -> None:
    """SUCCESS at once, without waiting for the vCPU to be descheduled."""
    calls = Calls((Psci.CPU_OFF,))

    assert calls.codes == [PsciError.SUCCESS]
    assert calls.flags[DOMU] == VPF_DOWN


@pytest.mark.parametrize(("pending", "blocked"), [(0, VPF_BLOCKED), (1 << 27, 0)])
def test_cpu_suspend_is_a_standby(pending: int, blocked: int) -> None:
    """It blocks like WFI, also when a power-down was asked for, and never resets the vCPU."""
    calls = Calls((Psci.CPU_SUSPEND, 1 << 30, ENTRY, 5), pending=pending)

    assert calls.codes == [PsciError.SUCCESS]
    assert calls.flags[DOMU] == blocked
    assert calls.resume == (0, 0, 0)


def test_system_suspend_is_denied_while_another_vcpu_is_on() -> None:
    """DENIED, and nothing is left behind; a bad entry is reported first."""
    calls = Calls(
        (Psci.SYSTEM_SUSPEND, ENTRY, 1), (Psci.SYSTEM_SUSPEND, ENTRY + 1, 1), up=[DOMU + 2]
    )

    assert calls.codes == [PsciError.DENIED, PsciError.INVALID_ADDRESS]
    assert calls.resume == (0, 0, 0)
    assert calls.flags[DOMU] == 0


@pytest.mark.parametrize(
    ("function", "context_id"),
    [(Psci.SYSTEM_SUSPEND, 0xABCD_0000_0001), (Psci.SYSTEM_SUSPEND_32, 0x0000_0001)],
)
def test_smc32_uses_the_low_half_of_each_argument(function: Psci, context_id: int) -> None:
    """Junk in the upper half of a 32-bit call is nobody's."""
    calls = Calls(
        (
            function,
            ENTRY | (0x7 << 32 if function == Psci.SYSTEM_SUSPEND_32 else 0),
            0xABCD_0000_0001,
        )
    )

    assert calls.resume[:2] == (ENTRY, context_id)


def test_a_domain_that_suspends_is_blocked_and_will_be_reset() -> None:
    """Accepted calls do not return where every domain is reset."""
    calls = Calls((Psci.SYSTEM_SUSPEND, ENTRY, 7))

    assert calls.codes == [None]
    assert calls.flags[DOMU] == VPF_BLOCKED
    assert calls.resume == (ENTRY, 7, 1)
    assert calls.bench.traces(VpsciResult)[0].code == PsciError.SUCCESS


def test_a_pending_interrupt_keeps_it_from_blocking_but_not_from_the_reset() -> None:
    """The event wakes it at once, at its entry."""
    calls = Calls((Psci.SYSTEM_SUSPEND, ENTRY, 7), pending=1 << 27)

    assert calls.codes == [None]
    assert calls.flags[DOMU] == 0


def test_the_seed_resets_no_domu() -> None:
    """It goes on behind the call."""
    calls = Calls((Psci.SYSTEM_SUSPEND, ENTRY, 7), domain_suspended="domain_suspended_in_place")

    assert calls.codes == [PsciError.SUCCESS]
    assert calls.resume == (ENTRY, 7, 0)


@pytest.mark.parametrize(
    ("error", "code"), [(0, PsciError.SUCCESS), (-Errno.EBUSY, PsciError.DENIED)]
)
def test_the_hardware_domain_takes_the_host_with_it(error: int, code: int) -> None:
    """The host suspend is continued on CPU 0; if it cannot be queued, the call is denied."""
    asked: list[tuple[int, Continuation, int]] = []

    async def on_cpu(pe: Pe, vcpu: Vcpu, cpu: int, function: Continuation, data: int) -> int:
        asked.append((cpu, function, data))
        return error

    codes: list[int] = []

    async def program(pe: Pe) -> None:
        pe.current = pe.xen.vcpus[DOM0]
        codes.append(await do_vpsci_call(pe, pe.current, Psci.SYSTEM_SUSPEND, (ENTRY, 0, 0)))

    Bench(program, of=board(1, VCPUS), relinked={"continue_hypercall_on_cpu": on_cpu})

    assert asked == [(0, Continuation.SYSTEM_SUSPEND, DOM0)]
    assert codes == [code]


def test_calls_are_traced_as_they_were_taken() -> None:
    """With the arguments after masking."""
    calls = Calls((Psci.AFFINITY_INFO_32, 1 << 40, 0))

    assert calls.bench.traces(VpsciCall) == [
        VpsciCall(DOMU, VcpuIndex(0), Psci.AFFINITY_INFO_32, (0, 0, 0))
    ]
