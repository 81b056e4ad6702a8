"""Where the Linux-like kernel keeps its data in guest RAM: word addresses, and nothing else.

What must survive a guest suspend is here, because a resumed kernel is a fresh program.
"""

from enum import IntEnum, auto

from proto.el1 import SYSREGS
from proto.platform import GUEST_TEXT
from services.domain.guest_cpu import GuestCpu

WORD_BYTES = 8
PAGE_BYTES = 0x1000

KERNEL_DATA = GUEST_TEXT + 0x10_0000
PER_CPU_DATA = GUEST_TEXT + 0x20_0000
PATTERN_PAGES = GUEST_TEXT + 0x30_0000
TICKETS = GUEST_TEXT + 0x40_0000
RECEIVED = GUEST_TEXT + 0x50_0000
SAVED_REGISTERS = GUEST_TEXT + 0x60_0000

HYPERCALL_PAGES = GUEST_TEXT + 0x70_0000
"""A page for each vCPU's hypercall structures."""

DAEMON_LOGS = GUEST_TEXT + 0x80_0000
"""A page for each domain: what its daemon of xl has seen."""

LOG_WORDS = PAGE_BYTES // WORD_BYTES

PATTERN_WORDS = 16
TICKET_SLOTS = 64
RECEIVED_BYTES = 1024
"""Longest input the console keeps until the shell has read it."""


class Kernel(IntEnum):
    """Words that there are once."""

    FROZEN = 0
    """The workload must not start another round."""
    NEXT_TICKET = auto()
    SUSPEND_MAGIC = auto()
    """Set while a saved register set waits for the resume entry."""
    SUSPEND_CHECKSUM = auto()
    RECEIVED_HEAD = auto()
    RECEIVED_TAIL = auto()
    COMMANDS_DONE = auto()
    VIOLATIONS = auto()
    STORE_CHANGED = auto()
    """The store's event has come and nobody has looked at the store yet."""
    SUSPEND_ON = auto()
    """vCPU that was asked to suspend the domain, plus one."""
    DOM_EXC_PORT = auto()
    """Port of VIRQ_DOM_EXC; 0 in domains that do not hear of others."""
    DOMAINS_CHANGED = auto()
    """VIRQ_DOM_EXC has come and nobody has looked at the domains yet."""
    WATCHDOG_ID = auto()
    """Id of the daemon's watchdog; 0 while it has none."""
    WATCHDOG_DUE = auto()
    """Virtual count at which the daemon pats it next."""


class PerCpu(IntEnum):
    """Words of each vCPU."""

    ONLINE = 0
    GOING_DOWN = auto()
    NEXT_TICK = auto()
    SLEEP_UNTIL = auto()
    """Virtual count at which `sleep` ends; 0 while nobody sleeps."""
    LAST_COUNT = auto()
    WORK_DUE = auto()
    ROUNDS = auto()
    PATTERN_CHECKSUM = auto()


def kernel(word: Kernel) -> int:
    """Address of a global word."""
    return KERNEL_DATA + WORD_BYTES * word


def per_cpu_base(vcpu: int) -> int:
    """Address of a vCPU's own data; its TPIDR_EL1."""
    return PER_CPU_DATA + PAGE_BYTES * vcpu


def per_cpu(vcpu: int, word: PerCpu) -> int:
    """Address of a vCPU's word."""
    return per_cpu_base(vcpu) + WORD_BYTES * word


def pattern_word(vcpu: int, index: int) -> int:
    """Address of a word of a vCPU's pattern page."""
    return PATTERN_PAGES + PAGE_BYTES * vcpu + WORD_BYTES * index


def ticket_slot(ticket: int) -> int:
    """Address of the word that names a ticket's owner."""
    return TICKETS + WORD_BYTES * (ticket % TICKET_SLOTS)


def received_byte(position: int) -> int:
    """Address of the word that holds the console's received byte of this number."""
    return RECEIVED + WORD_BYTES * (position % RECEIVED_BYTES)


def log_word(domain: int, index: int) -> int:
    """Address of a word of the log about a domain."""
    return DAEMON_LOGS + PAGE_BYTES * domain + WORD_BYTES * index


def structure(cpu: GuestCpu, *words: int) -> int:
    """Write a hypercall's structure into the executing vCPU's page; gives its address."""
    address = HYPERCALL_PAGES + PAGE_BYTES * cpu.vcpu
    for index, word in enumerate(words):
        cpu.store_word(address + WORD_BYTES * index, word)
    return address


def saved_register(name: str) -> int:
    """Address of the word that keeps a system register over suspend."""
    return SAVED_REGISTERS + WORD_BYTES * SYSREGS.index(name)


def own(cpu: GuestCpu, word: PerCpu) -> int:
    """Value of the executing vCPU's word."""
    return cpu.load_word(per_cpu(cpu.vcpu, word))


def set_own(cpu: GuestCpu, word: PerCpu, value: int) -> None:
    """Set the executing vCPU's word."""
    cpu.store_word(per_cpu(cpu.vcpu, word), value)
