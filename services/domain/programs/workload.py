"""The workload of each vCPU: it notices when its RAM, registers, order or time were damaged."""

from proto.image import symbol
from proto.psci import MASK_64
from proto.traces import GuestWork
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.memory import (
    PATTERN_WORDS,
    TICKET_SLOTS,
    Kernel,
    PerCpu,
    kernel,
    own,
    pattern_word,
    per_cpu,
    per_cpu_base,
    set_own,
    ticket_slot,
)

COMPUTE_NS = 20_000
"""Compute time in the middle of a round."""

REPORT_ROUNDS = 16
"""A vCPU reports its workload in the journal after its first round, then every so many."""

GOLDEN_RATIO = 0x9E37_79B9_7F4A_7C15


def violation(cpu: GuestCpu, detail: str) -> None:
    """Something did not hold: count it and put it into the journal."""
    cpu.fetch_add(kernel(Kernel.VIOLATIONS), 1)
    rounds = own(cpu, PerCpu.ROUNDS)
    cpu.trace(GuestWork(cpu.domain.spec.id, cpu.vcpu, rounds, False, detail))


def report(cpu: GuestCpu) -> None:
    """Put the state of the workload into the journal; before its first round there is none."""
    rounds = own(cpu, PerCpu.ROUNDS)
    if not rounds:
        return
    intact = not cpu.load_word(kernel(Kernel.VIOLATIONS))
    detail = "" if intact else "a violation was reported before"
    cpu.trace(GuestWork(cpu.domain.spec.id, cpu.vcpu, rounds, intact, detail))


def total_rounds(cpu: GuestCpu) -> int:
    """Rounds of all vCPUs."""
    vcpus = range(cpu.domain.spec.vcpus)
    return sum(cpu.load_word(per_cpu(vcpu, PerCpu.ROUNDS)) for vcpu in vcpus)


def kernel_registers(cpu: GuestCpu) -> dict[str, int]:
    """EL1 registers as the kernel sets them on a vCPU, and as it must find them."""
    return {
        "SCTLR_EL1": 0x34D5_D91D,
        "TTBR0_EL1": 0x4100_0000,
        "TTBR1_EL1": 0x4101_0000,
        "TCR_EL1": 0x32_B510_3510,
        "MAIR_EL1": 0x00FF_4404,
        "VBAR_EL1": cpu.address("linux_vectors"),
        "TPIDR_EL1": per_cpu_base(cpu.vcpu),
        "SP_EL1": per_cpu_base(cpu.vcpu) + 0x1000,
        "CPACR_EL1": 0x30_0000,
    }


def check_registers(cpu: GuestCpu) -> None:
    """The EL1 registers still hold what the kernel put there."""
    for name, value in kernel_registers(cpu).items():
        if cpu.mrs(name) != value:
            violation(cpu, f"{name} is {cpu.mrs(name):#x}, the kernel set {value:#x}")


def _pattern(vcpu: int, rounds: int, index: int) -> int:
    return (vcpu + 1) * (rounds + 1) * (index + 1) * GOLDEN_RATIO & MASK_64


def _fill(cpu: GuestCpu, rounds: int, first: int, last: int) -> None:
    for index in range(first, last):
        cpu.store_word(pattern_word(cpu.vcpu, index), _pattern(cpu.vcpu, rounds, index))


def _checksum(cpu: GuestCpu) -> int:
    checksum = 0
    for index in range(PATTERN_WORDS):
        checksum = checksum * 31 + cpu.load_word(pattern_word(cpu.vcpu, index)) & MASK_64
    return checksum


def prepare(cpu: GuestCpu) -> None:
    """Write the first pattern of every vCPU; called once, by the boot vCPU."""
    for vcpu in range(cpu.domain.spec.vcpus):
        checksum = 0
        for index in range(PATTERN_WORDS):
            word = _pattern(vcpu, 0, index)
            cpu.store_word(pattern_word(vcpu, index), word)
            checksum = checksum * 31 + word & MASK_64
        cpu.store_word(per_cpu(vcpu, PerCpu.PATTERN_CHECKSUM), checksum)


def check_pattern(cpu: GuestCpu) -> None:
    """The executing vCPU's page holds the pattern of its last round."""
    rounds = own(cpu, PerCpu.ROUNDS)
    for index in range(PATTERN_WORDS):
        if cpu.load_word(pattern_word(cpu.vcpu, index)) != _pattern(cpu.vcpu, rounds, index):
            violation(cpu, f"word {index} of the pattern page changed")
            return
    if _checksum(cpu) != own(cpu, PerCpu.PATTERN_CHECKSUM):
        violation(cpu, "the checksum of the pattern page changed")


def draw_ticket(cpu: GuestCpu) -> int:
    """Take the next ticket of the domain and note who owns it."""
    ticket = cpu.fetch_add(kernel(Kernel.NEXT_TICKET), 1)
    before = cpu.load_word(ticket_slot(ticket))
    due = (ticket - TICKET_SLOTS + 1) << 8 if ticket >= TICKET_SLOTS else 0
    if before & ~0xFF != due:
        violation(cpu, f"ticket {ticket} follows {before:#x} in its slot")
    cpu.store_word(ticket_slot(ticket), _owned(cpu, ticket))
    return ticket


def check_ticket(cpu: GuestCpu, ticket: int) -> None:
    """The ticket is still this vCPU's, unless its slot has been needed again."""
    drawn = cpu.load_word(kernel(Kernel.NEXT_TICKET)) - ticket
    if drawn <= TICKET_SLOTS and cpu.load_word(ticket_slot(ticket)) != _owned(cpu, ticket):
        violation(cpu, f"ticket {ticket} has two owners")


def _owned(cpu: GuestCpu, ticket: int) -> int:
    return (ticket + 1) << 8 | cpu.vcpu


@symbol
async def linux_workload_round(cpu: GuestCpu) -> None:
    """One round: check what the last one left, compute, leave the next pattern."""
    check_registers(cpu)
    check_pattern(cpu)
    ticket = draw_ticket(cpu)
    rounds = own(cpu, PerCpu.ROUNDS) + 1
    _fill(cpu, rounds, 0, PATTERN_WORDS // 2)
    await cpu.work(COMPUTE_NS)
    _fill(cpu, rounds, PATTERN_WORDS // 2, PATTERN_WORDS)
    check_ticket(cpu, ticket)
    set_own(cpu, PerCpu.PATTERN_CHECKSUM, _checksum(cpu))
    set_own(cpu, PerCpu.ROUNDS, rounds)
    if rounds % REPORT_ROUNDS == 1:
        report(cpu)
