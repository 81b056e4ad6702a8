"""Secure SRAM: everything the firmware of different PEs shares, as typed cells.

The SRAM lies in the always-on domain, so these cells are also all that firmware still knows after a
PE, or the whole system, has been without power. Field names follow TF-A lib/psci/psci_private.h.
"""

from enum import IntEnum
from typing import Annotated

from proto.cells import Cell, Cells, Layout, Length, Record
from proto.ids import CpuIndex
from proto.platform import SRAM_BASE, Platform


class LocalState(IntEnum):
    """Power state of a PE or a domain; a larger number is deeper."""

    RUN = 0
    RETENTION = 1
    OFF = 2


class Statistics(Record):
    """How a node of the tree has slept, by `LocalState` (TF-A `psci_stat_t`)."""

    count: Annotated[Cells, Length(len(LocalState))]
    residency: Annotated[Cells, Length(len(LocalState))]
    """Nanoseconds of the counter."""
    since: Cell
    """When the node went into the state it sleeps in."""


class CpuData(Record):
    """What firmware keeps of one PE (TF-A `psci_cpu_data_t` and `cpu_pd_node_t`)."""

    cpu_lock: Cell
    """Spinlock that serialises CPU_ON of this PE."""
    aff_info_state: Cell
    """AFFINITY_INFO state, a `proto.psci.Affinity`."""
    entry_point: Cell
    """Where the PE enters the Non-secure world at its next warm boot."""
    context_id: Cell
    """What it then finds in x0."""
    local_state: Cell
    """The `LocalState` that CPU_SUSPEND has put the PE into; means nothing unless it is ON."""


class PowerDomain(Record):
    """A power domain above the PEs (TF-A `non_cpu_pd_node_t`)."""

    lock: Cell
    local_state: Cell
    """The state the domain is in, a `LocalState`."""
    requested: Annotated[Cells, Length("cpus")]
    """The state each PE of the board last requested for this domain, by CPU index."""


class PsciGlobals(Record):
    """What firmware keeps once for the board."""

    suspend_mode: Cell
    """Who coordinates, a `proto.psci.SuspendMode`."""
    cpu_suspend_called: Cell
    """Whether CPU_SUSPEND has been called since the boot or the last change of mode."""
    trusted_os_cpu: Cell
    """CPU index of the PE on which a uniprocessor Trusted OS lives."""
    mem_protect: Cell
    """Setting of MEM_PROTECT: the one cell that a cold boot reads before it writes it."""


class FirmwareMemory:
    """The power-domain tree of a platform, laid out in secure SRAM.

    PEs are the leaves, each cluster is a domain of level 1, the system is the root.
    """

    def __init__(self, platform: Platform) -> None:
        self.layout = Layout(SRAM_BASE)
        sizes = {"cpus": platform.pes}
        self.cpus = tuple(CpuData(self.layout, f"el3.cpu[{cpu}]") for cpu in platform.cpus)
        self.cpu_statistics = tuple(
            Statistics(self.layout, f"el3.stat.cpu[{cpu}]") for cpu in platform.cpus
        )
        self.globals = PsciGlobals(self.layout, "el3.psci")
        self._members: dict[int, tuple[CpuIndex, ...]] = {}
        self._statistics: dict[int, Statistics] = {}
        self._nodes: list[dict[tuple[int, ...], PowerDomain]] = []
        for level in range(1, platform.levels + 1):
            names = dict.fromkeys(path[:-level] for path in platform.paths)
            nodes = {}
            for index, prefix in enumerate(names):
                name = _name(level, index, platform.levels)
                nodes[prefix] = domain = PowerDomain(self.layout, name, sizes)
                self._statistics[domain.lock] = Statistics(self.layout, f"{name}.stat")
                self._members[domain.lock] = tuple(
                    cpu for cpu in platform.cpus if platform.paths[cpu][:-level] == prefix
                )
            self._nodes.append(nodes)
        self._parents = tuple(
            tuple(nodes[path[:-level]] for level, nodes in enumerate(self._nodes, start=1))
            for path in platform.paths
        )
        self.clusters = tuple(self._nodes[0].values())
        self.domains = tuple(domain for nodes in self._nodes for domain in nodes.values())
        self.system = self.domains[-1]

    def parents(self, cpu: int) -> tuple[PowerDomain, ...]:
        """The power domains a PE lies in, from its cluster to the root."""
        return self._parents[cpu]

    def members(self, domain: PowerDomain) -> tuple[CpuIndex, ...]:
        """The PEs that lie in a power domain, in ascending order."""
        return self._members[domain.lock]

    def statistics(self, cpu: int, level: int) -> Statistics:
        """Statistics of the node of a level that a PE lies in; level 0 is the PE itself."""
        if level == 0:
            return self.cpu_statistics[cpu]
        return self._statistics[self._parents[cpu][level - 1].lock]

    def local_state(self, cpu: int, level: int) -> Cell:
        """State of the node of a level that a PE lies in; level 0 is the PE itself."""
        return (self.cpus[cpu] if level == 0 else self._parents[cpu][level - 1]).local_state


def _name(level: int, index: int, levels: int) -> str:
    """Name of a power domain in the journal."""
    if level == levels:
        return "el3.system"
    return f"el3.cluster[{index}]" if level == 1 else f"el3.level{level}[{index}]"
