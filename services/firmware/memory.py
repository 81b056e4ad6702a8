"""Secure SRAM: everything the firmware of different PEs shares, as typed cells.

The SRAM lies in the always-on domain, so these cells are also all that firmware still knows after a
PE, or the whole system, has been without power. Field names follow TF-A lib/psci/psci_private.h.
"""

from typing import Annotated

from proto.cells import Cell, Cells, Layout, Length, Record
from proto.ids import CpuIndex
from proto.platform import SRAM_BASE, Platform


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


class PowerDomain(Record):
    """A power domain above the PEs (TF-A `non_cpu_pd_node_t`)."""

    lock: Cell
    local_state: Cell
    """The state the domain is in, a `LocalState`."""
    requested: Annotated[Cells, Length("cpus")]
    """The state each PE of the board last requested for this domain, by CPU index."""


class FirmwareMemory:
    """The power-domain tree of a platform, laid out in secure SRAM.

    PEs are the leaves, each cluster is a domain of level 1, the system is the root at level 2.
    """

    def __init__(self, platform: Platform) -> None:
        self.layout = Layout(SRAM_BASE)
        sizes = {"cpus": platform.pes}
        self.cpus = tuple(CpuData(self.layout, f"el3.cpu[{cpu}]") for cpu in platform.cpus)
        self.clusters = tuple(
            PowerDomain(self.layout, f"el3.cluster[{cluster}]", sizes)
            for cluster in range(len(platform.clusters))
        )
        self.system = PowerDomain(self.layout, "el3.system", sizes)
        self._parents = tuple(
            (self.clusters[platform.cluster_of(cpu)], self.system) for cpu in platform.cpus
        )
        self._members: dict[int, tuple[CpuIndex, ...]] = {
            cluster.lock: tuple(cpu for cpu in platform.cpus if platform.cluster_of(cpu) == index)
            for index, cluster in enumerate(self.clusters)
        }
        self._members[self.system.lock] = platform.cpus

    def parents(self, cpu: int) -> tuple[PowerDomain, ...]:
        """The power domains a PE lies in, from its cluster to the root."""
        return self._parents[cpu]

    def members(self, domain: PowerDomain) -> tuple[CpuIndex, ...]:
        """The PEs that lie in a power domain, in ascending order."""
        return self._members[domain.lock]
