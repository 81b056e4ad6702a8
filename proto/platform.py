"""Platforms: topology, sizes, address map, latencies and power models, as data."""

from collections.abc import Iterator
from enum import Enum, StrEnum
from functools import lru_cache

import msgspec

from proto.ids import DRAM, GICD_NODE, CpuIndex, Mpidr, NodeId
from proto.psci import MigrateInfo, Psci, mpidr_at

SRAM_BASE = 0xFFFC_0000
SRAM_SIZE = 0x1_0000
DRAM_BASE = 0x8000_0000
DRAM_SIZE = 0x1000_0000
XEN_TEXT = 0x8020_0000
XEN_DATA = 0x8040_0000
FIRMWARE_TEXT = 0xFFFE_0000
SHARED_INFO = 0x8F00_0000
"""Shared-info page of domain 0 (event channels); domain N's is N * SHARED_SIZE higher."""
XENSTORE = 0x8F10_0000
"""Store page of domain 0; domain N's is N * SHARED_SIZE higher. Domain 0 maps all of them."""
SHARED_SIZE = 0x1000
GUEST_TEXT = 0x4000_0000
"""IPA at which every guest's kernel lies."""

GICD_BASE = 0xF901_0000
GICC_BASE = 0xF902_0000
GICV_BASE = 0xF906_0000
UART_BASE = 0xFF00_0000
TTY_BASE = 0xFF01_0000
RTC_BASE = 0xFFA6_0000
IOMMU_BASE = 0xFD80_0000
DEVICE_SIZE = 0x1000

UART_SPI = 33
RTC_SPI = 34
IOMMU_SPI = 36
TTY_SPI = 40
"""SPI of domain 0's serial port; domain N's is N higher."""
DOMAINS_MAX = 8


def interrupt_sources(domains: tuple[int, ...]) -> dict[int, NodeId]:
    """SPI to the device that drives it, on a board with these domains."""
    ttys = {TTY_SPI + domain: NodeId(f"tty{domain}") for domain in domains}
    return {
        UART_SPI: NodeId("uart"),
        RTC_SPI: NodeId("rtc"),
        IOMMU_SPI: NodeId("iommu"),
        **ttys,
    }


class Retention(Enum):
    """What happens to a block's state over SYSTEM_SUSPEND."""

    LOST = "lost"
    RETAINED = "retained"


POWER_MODELS: dict[str, dict[str, Retention]] = {
    "all-lost": {
        "gicd": Retention.LOST,
        "uart": Retention.LOST,
        "iommu": Retention.LOST,
    },
    "all-retained": {
        "gicd": Retention.RETAINED,
        "uart": Retention.RETAINED,
        "iommu": Retention.RETAINED,
    },
    "gic-retained": {
        "gicd": Retention.RETAINED,
        "uart": Retention.LOST,
        "iommu": Retention.LOST,
    },
}
"""Power model to block to retention.

PEs always lose their state. dram, scp and the wake sources (rtc, tty) lie in the always-on domain.
"""

PowerModel = str | dict[str, Retention]
"""A name of POWER_MODELS, or what happens to each block; a block that is not named is lost."""


def retention(power_model: PowerModel, block: str) -> Retention:
    """What SYSTEM_SUSPEND does to a block's state under a power model."""
    table = POWER_MODELS[power_model] if isinstance(power_model, str) else power_model
    return table.get(block, Retention.LOST)


class ConsoleDriver(Enum):
    """Xen's serial driver: SCIF has suspend and resume callbacks, PL011 has none upstream."""

    SCIF = "scif"
    PL011 = "pl011"


class IommuDriver(Enum):
    """Xen's IOMMU driver; `smmu` (SMMUv1 and v2) has no suspend callbacks."""

    IPMMU_VMSA = "ipmmu-vmsa"
    SMMUV3 = "smmuv3"
    SMMU = "smmu"
    NONE = "none"


class GiccPower(StrEnum):
    """The power domain in which the CPU interfaces of the GIC lie."""

    GICD = "gicd"
    PE = "pe"


class MemoryModel(StrEnum):
    """In which order what a PE stores at EL2 becomes visible to others."""

    SC = "sc"
    """At once, one access after the other."""
    WEAK = "weak"
    """From a store buffer, behind later accesses where no barrier forbids it."""


Range = tuple[int, int]


class LocalState(StrEnum):
    """What one level of the power-domain tree does in a power state."""

    RUN = "run"
    STANDBY = "standby"
    POWER_DOWN = "power-down"


class PowerStateFormat(StrEnum):
    """How a power_state argument is laid out (DEN 0022, CPU_SUSPEND, power_state)."""

    ORIGINAL = "original"
    EXTENDED = "extended"


class TrustedOs(Enum):
    """The Trusted OS of the Secure world, as far as PSCI asks after it."""

    NONE = "none"
    UP_MIGRATABLE = "up-migratable"
    UP_FIXED = "up-fixed"

    @property
    def migrate_info(self) -> MigrateInfo:
        """What MIGRATE_INFO_TYPE reports of it."""
        return MIGRATE_INFO[self]


MIGRATE_INFO: dict[TrustedOs, MigrateInfo] = {
    TrustedOs.NONE: MigrateInfo.NOT_NEEDED,
    TrustedOs.UP_MIGRATABLE: MigrateInfo.UP_MIGRATABLE,
    TrustedOs.UP_FIXED: MigrateInfo.UP_FIXED,
}

PowerStates = dict[int, tuple[LocalState, ...]]
"""power_state value to local states from the core upwards; levels not named keep running."""

_CORE_STANDBY = (LocalState.STANDBY,)
_CORE_DOWN = (LocalState.POWER_DOWN,)
_CLUSTER_STANDBY = (LocalState.POWER_DOWN, LocalState.STANDBY)
_CLUSTER_DOWN = (LocalState.POWER_DOWN, LocalState.POWER_DOWN)

POWER_STATES: dict[PowerStateFormat, PowerStates] = {
    PowerStateFormat.EXTENDED: {
        0x0000_0000: _CORE_STANDBY,
        0x4000_0003: _CORE_DOWN,
        0x4000_0023: _CLUSTER_STANDBY,
        0x4000_0033: _CLUSTER_DOWN,
    },
    PowerStateFormat.ORIGINAL: {
        0x0000_0000: _CORE_STANDBY,
        0x0001_0000: _CORE_DOWN,
        0x0101_0000: _CLUSTER_DOWN,
    },
}
"""The power states of a platform that names none of its own."""

MANDATORY = frozenset(
    {
        "VERSION",
        "CPU_SUSPEND",
        "CPU_OFF",
        "CPU_ON",
        "AFFINITY_INFO",
        "SYSTEM_OFF",
        "SYSTEM_RESET",
        "FEATURES",
    }
)
"""Functions that no firmware may leave out (DEN 0022, since version 1.0)."""

OPTIONAL = frozenset(psci.name.removesuffix("_32") for psci in Psci) - MANDATORY
"""What `absent` may name."""

Cluster = int | tuple[int | tuple[int, ...], ...]
"""Number of PEs of a cluster, or what lies below a further affinity level."""

Tree = Cluster | tuple[Cluster, ...]
"""A whole tree, or a part of it."""

MemoryRange = tuple[int, int]
"""Base and size in bytes."""


class Latencies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ranges [min, max] in nanoseconds for links and operations."""

    memory: Range = (40, 200)
    device: Range = (60, 400)
    reply: Range = (20, 100)
    wire: Range = (10, 150)
    smc: Range = (30, 150)
    power: Range = (100, 2_000)
    guest: Range = (30, 200)
    operator: Range = (1_000, 50_000)
    bus: Range = (40, 200)
    timer: Range = (0, 500)
    power_up: Range = (100_000, 900_000)
    power_down: Range = (1_000, 20_000)
    system_power: Range = (500_000, 5_000_000)
    block_power: Range = (10_000, 100_000)
    cache_flush: Range = (500, 15_000)
    store_buffer: Range = (0, 20_000)
    """How long a store or a posted write may stay in a PE, if the memory model is weak."""


class Platform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One board: how many PEs in which clusters, how large its blocks are, how fast they answer.

    `clusters` counts the PEs of each cluster (1-8 PEs in all: GICv2 has no more); nested lists,
    all equally deep, are further affinity levels. `intids` is a multiple of 32 from 64 to 992.
    `bus_timeout_ns` is how long an access may take before it is an external abort.
    """

    name: str
    clusters: tuple[Cluster, ...]
    intids: int = 96
    list_registers: int = 4
    latencies: Latencies = Latencies()
    bus_timeout_ns: int = 5_000_000_000
    wake_sources: tuple[int, ...] = (RTC_SPI, TTY_SPI, TTY_SPI + 1, TTY_SPI + 2)
    console: ConsoleDriver = ConsoleDriver.SCIF
    console_baud: int = 921_600
    """Speed of Xen's console in bits a second; a byte is ten."""
    iommu: IommuDriver = IommuDriver.IPMMU_VMSA
    iommu_msi: bool = False
    """SMMUv3 signals by MSIs, which it cannot restore (Xen blocks host suspend then)."""
    ram: tuple[MemoryRange, ...] = ((DRAM_BASE, DRAM_SIZE),)
    """Non-secure RAM."""
    absent: tuple[str, ...] = ()
    """Optional PSCI functions that the firmware does not have, by name."""
    power_state_format: PowerStateFormat = PowerStateFormat.EXTENDED
    power_states: PowerStates | None = None
    """None stands for POWER_STATES of the format."""
    trusted_os: TrustedOs = TrustedOs.NONE
    gicc_power: GiccPower = GiccPower.GICD
    """With `pe` a CPU interface loses its state whenever its PE loses power."""
    disabled: tuple[int, ...] = ()
    """CPU indexes of PEs that the firmware's policy keeps off for good."""
    late_abandon: bool = False
    """A wake-up before SYSTEM_SUSPEND's power cut makes the PE go on behind its last WFI."""
    memory_model: MemoryModel = MemoryModel.SC
    wake_wires: bool = True
    """Wake sources have wires to the power controller; otherwise only the GIC ends a sleep."""
    edge_spis: tuple[int, ...] = ()
    """SPIs of guests' devices that the device tree says are edge-triggered."""

    def __post_init__(self) -> None:
        """Refuse what no GICv2 board can be."""
        self._check_topology()
        self._check_firmware()
        if self.intids % 32 or not 64 <= self.intids <= 992:
            raise ValueError(f"intids: {self.intids} is not a multiple of 32 from 64 to 992")
        if not 1 <= self.list_registers <= 64:
            raise ValueError(f"list_registers: {self.list_registers} is not in 1 to 64")
        if not 1_200 <= self.console_baud <= 4_000_000:
            raise ValueError(f"console_baud: {self.console_baud} is not in 1200 to 4000000")
        for field in self.latencies.__struct_fields__:
            low, high = getattr(self.latencies, field)
            if not 0 <= low <= high:
                raise ValueError(f"latencies.{field}: expected 0 <= min <= max, got {low}, {high}")

    def _check_topology(self) -> None:
        paths = self.paths
        if not paths or any(size < 1 for size in _sizes(self.clusters)):
            raise ValueError("clusters: expected at least one cluster of at least one PE")
        if len({len(path) for path in paths}) > 1:
            raise ValueError("clusters: expected lists that are equally deep")
        if len(paths) > 8:
            raise ValueError(f"clusters: {len(paths)} PEs, but GICv2 connects at most 8")

    def _check_firmware(self) -> None:
        if not self.ram or any(base < 0 or size < 1 for base, size in self.ram):
            raise ValueError("ram: expected at least one [base, size]")
        if any(cpu not in range(1, self.pes) for cpu in self.disabled):
            raise ValueError(f"disabled: expected CPU indexes from 1 to {self.pes - 1}")
        if unknown := sorted(set(self.absent) - OPTIONAL):
            raise ValueError(f"absent: {unknown[0]} is not one of {', '.join(sorted(OPTIONAL))}")
        for value, states in self.suspend_states.items():
            if not 0 <= value < 1 << 32:
                raise ValueError(f"power_states: {value:#x} does not have 32 bits")
            if not states or states[0] is LocalState.RUN or len(states) > self.levels + 1:
                raise ValueError(
                    f"power_states: {value:#x} does not put a core to sleep on this tree"
                )
            depths = [tuple(LocalState).index(state) for state in states]
            if depths != sorted(depths, reverse=True):
                raise ValueError(f"power_states: {value:#x} is deeper above than below")

    @property
    def non_secure_ram(self) -> tuple[MemoryRange, ...]:
        """`ram` in ascending order, without what other blocks answer for."""
        return _open_ram(self.ram)

    @property
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """Where each PE lies in the tree: indexes from the outermost level to the core."""
        return _layout(self.clusters)

    @property
    def levels(self) -> int:
        """The highest level of the power-domain tree: PEs are level 0, the system is the root."""
        return len(self.paths[0])

    @property
    def suspend_states(self) -> PowerStates:
        """The power states that CPU_SUSPEND accepts; those deeper than the tree are left out."""
        if self.power_states is not None:
            return self.power_states
        defaults = POWER_STATES[self.power_state_format]
        return {value: states for value, states in defaults.items() if len(states) <= self.levels}

    @property
    def pes(self) -> int:
        """Number of PEs."""
        return len(self.paths)

    @property
    def cpus(self) -> tuple[CpuIndex, ...]:
        """All CPU indexes."""
        return _cpus(self.pes)

    @property
    def mpidrs(self) -> tuple[Mpidr, ...]:
        """MPIDR of each CPU index."""
        return tuple(mpidr_at(path) for path in self.paths)

    def cluster_of(self, cpu: int) -> int:
        """The cluster a PE lies in, counted over the whole board."""
        clusters = list(dict.fromkeys(path[:-1] for path in self.paths))
        return clusters.index(self.paths[cpu][:-1])


@lru_cache
def _layout(tree: tuple[Cluster, ...]) -> tuple[tuple[int, ...], ...]:
    """Kept: handlers ask a platform for its PEs thousands of times a run."""
    return tuple(_paths(tree))


@lru_cache
def _cpus(count: int) -> tuple[CpuIndex, ...]:
    return tuple(CpuIndex(index) for index in range(count))


def _paths(item: Tree, prefix: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Paths of the PEs in a part of the tree."""
    if isinstance(item, int):
        yield from ((*prefix, core) for core in range(item))
        return
    for index, inside in enumerate(item):
        yield from _paths(inside, (*prefix, index))


def _sizes(item: Tree) -> Iterator[int]:
    """Numbers of PEs of the clusters in a part of the tree; an empty list counts as none."""
    if isinstance(item, int):
        yield item
    elif not item:
        yield 0
    else:
        for inside in item:
            yield from _sizes(inside)


BLOCKS: tuple[tuple[int, int, NodeId], ...] = (
    (SRAM_BASE, SRAM_SIZE, DRAM),
    (GICD_BASE, 0x1000, GICD_NODE),
    (GICC_BASE, 0x2000, GICD_NODE),
    (UART_BASE, DEVICE_SIZE, NodeId("uart")),
    (RTC_BASE, DEVICE_SIZE, NodeId("rtc")),
    (IOMMU_BASE, DEVICE_SIZE, NodeId("iommu")),
)
"""Base, size and node of what is no Non-secure memory; the ports of domains come on top."""

RESERVED: tuple[MemoryRange, ...] = (
    *((base, size) for base, size, _ in BLOCKS),
    (TTY_BASE, DOMAINS_MAX * DEVICE_SIZE),
)
"""Addresses that are never Non-secure RAM, whatever a platform says."""


@lru_cache
def _open_ram(ram: tuple[MemoryRange, ...]) -> tuple[MemoryRange, ...]:
    """Kept: each power-up of a PE makes a memory map."""
    pieces: list[MemoryRange] = sorted(ram)
    for hole in RESERVED:
        pieces = [part for piece in pieces for part in _without(piece, hole)]
    return tuple(pieces)


def _without(piece: MemoryRange, hole: MemoryRange) -> Iterator[MemoryRange]:
    """What is left of a range beside a hole."""
    start, end = piece[0], piece[0] + piece[1]
    low, high = max(start, hole[0]), min(end, hole[0] + hole[1])
    if low >= high:
        yield piece
        return
    if start < low:
        yield start, low - start
    if high < end:
        yield high, end - high


class MemoryMap:
    """Which node answers at which physical address; `ram` adds to the DRAM of every board."""

    def __init__(self, domains: tuple[int, ...], ram: tuple[MemoryRange, ...] = ()) -> None:
        self._regions: list[tuple[int, int, NodeId]] = [(DRAM_BASE, DRAM_SIZE, DRAM), *BLOCKS]
        for domain in domains:
            base = TTY_BASE + domain * DEVICE_SIZE
            self._regions.append((base, DEVICE_SIZE, NodeId(f"tty{domain}")))
        self._regions += [(base, size, DRAM) for base, size in ram]

    def node_at(self, address: int) -> NodeId | None:
        """The node that answers at this physical address, or None: an external abort."""
        for base, size, node in self._regions:
            if base <= address < base + size:
                return node
        return None
