"""The many kinds of numbers, each with a type of its own, so that they cannot be mixed up."""

from functools import lru_cache
from typing import NewType

NodeId = NewType("NodeId", str)
"""Name of a node on the bus: `pe0`, `el3.pe0`, `scp`, `gicd`, `dram`, `dom1`, `rtc`, ..."""

CpuIndex = NewType("CpuIndex", int)
"""Dense number of a PE, from 0. Xen's `cpu`. Not an MPIDR."""

Mpidr = NewType("Mpidr", int)
"""Affinity Aff3.Aff2.Aff1.Aff0 naming a PE, in the layout of a PSCI argument."""

IntId = NewType("IntId", int)
"""Interrupt number: 0-15 SGI, 16-31 PPI, 32-1019 SPI, 1023 spurious."""

DomainId = NewType("DomainId", int)
"""Xen's domain id; 0 is the hardware domain."""

VcpuIndex = NewType("VcpuIndex", int)
"""Number of a vCPU inside its domain, from 0."""

Address = NewType("Address", int)
"""A 64-bit address: physical with the MMU off, virtual with it on."""

BoardNs = NewType("BoardNs", int)
"""Board time in nanoseconds since the board was started; the always-on counter counts it."""

Incarnation = NewType("Incarnation", int)
"""A restarted process is a new sender: its nodes count their incarnations from 1."""

BOOT_CPU = CpuIndex(0)
"""The PE that boots the board, and on which the host is suspended."""

HUB = NodeId("hub")
DRAM = NodeId("dram")
SCP = NodeId("scp")
GICD_NODE = NodeId("gicd")
OPERATOR = NodeId("operator")
CLIENT = "client"
"""Process name of a person's command line; its node is `client<N>`."""


def pe_node(cpu: int) -> NodeId:
    """Node id of the PE with this index."""
    return NodeId(f"pe{cpu}")


def el3_node(cpu: int) -> NodeId:
    """Node id of the EL3 context of the PE with this index."""
    return NodeId(f"el3.pe{cpu}")


def is_el3(node: str) -> bool:
    """Whether a node is the EL3 context of a PE."""
    return node.startswith("el3.pe")


def domain_node(domain: int) -> NodeId:
    """Node id of a domain's EL1."""
    return NodeId(f"dom{domain}")


def client_node(number: int) -> NodeId:
    """Node id of the how manieth client that joined a running board, from 1."""
    return NodeId(f"{CLIENT}{number}")


def is_client(node: str) -> bool:
    """Whether a node is a client: it does what a person wants, which no board knows."""
    return node.startswith(CLIENT) and node.removeprefix(CLIENT).isdecimal()


@lru_cache
def cpu_of(node: str) -> CpuIndex:
    """CPU index of a node named `pe<N>` or `el3.pe<N>`."""
    return CpuIndex(int(node.rpartition("pe")[2]))
