"""Hypercalls that go on elsewhere: each vCPU for itself, its result in x0 when it runs again."""

from xen_bench import Bench, board

from proto.el1 import word_index
from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.psci import from_register
from proto.traces import HeapUse
from services.pcpu.pe import Pe
from services.pcpu.xen.continue_hypercall import Continuation, continue_hypercall_on_cpu
from services.pcpu.xen.tasklet import do_tasklet, migrate_tasklets_from_cpu

HERE, OTHER = CpuIndex(0), CpuIndex(1)
X0 = word_index("x0", 4)


async def cpu_up_helper(pe: Pe, data: int) -> int:
    """Gives what tells the calls apart."""
    return -10 - data


LINKS = {"cpu_up_helper": cpu_up_helper}


def test_two_vcpus_continue_at_once() -> None:
    """Each is paused until its own function has ended, and gets its own result."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, 0b1)
        for index, vcpu in enumerate(pe.xen.vcpus):
            await continue_hypercall_on_cpu(pe, vcpu, HERE, Continuation.CPU_UP, index)
        seen.append(await pe.load_burst([cells.pause_count for cells in pe.xen.vcpu]))
        await do_tasklet(pe)
        seen.append(await pe.load_burst([cells.pause_count for cells in pe.xen.vcpu]))
        await do_tasklet(pe)
        seen.append(await pe.load_burst([cells.pause_count for cells in pe.xen.vcpu]))
        results = await pe.load_burst([cells.context[X0] for cells in pe.xen.vcpu])
        seen.append([from_register(result) for result in results])

    bench = Bench(program, of=board(2, (1, 1)), relinked=LINKS)

    assert seen == [(1, 1), (0, 1), (0, 0), [-10, -11]]
    assert [use.operation for use in bench.traces(HeapUse)] == ["xmalloc"] * 2 + ["xfree"] * 2


def test_an_offline_cpu_is_refused() -> None:
    """-EINVAL, and the vCPU runs on."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, 0b1)
        vcpu = pe.xen.vcpus[0]
        seen.append(await continue_hypercall_on_cpu(pe, vcpu, OTHER, Continuation.CPU_UP, 0))
        seen.append(await pe.load(pe.xen.vcpu[0].pause_count))

    Bench(program, of=board(2), relinked=LINKS)

    assert seen == [-Errno.EINVAL, 0]


def test_one_whose_cpu_goes_away_fails() -> None:
    """Its tasklet comes here with the dead CPU's list; the function does not run."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, 0b11)
        await pe.irq_enable()
        vcpu = pe.xen.vcpus[0]
        await continue_hypercall_on_cpu(pe, vcpu, OTHER, Continuation.CPU_UP, 0)
        await migrate_tasklets_from_cpu(pe, OTHER)
        await do_tasklet(pe)
        seen.append(from_register(await pe.load(pe.xen.vcpu[0].context[X0])))
        seen.append(await pe.load(pe.xen.vcpu[0].pause_count))

    Bench(program, of=board(2), relinked=LINKS)

    assert seen == [-Errno.EINVAL, 0]
