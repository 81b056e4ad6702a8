"""Which nodes a board has, which process hosts each, and how each is built.

The only place that knows every service. Each factory imports what it builds, so that a process
loads the code of its own nodes and no other.
"""

from collections.abc import Callable, Sequence
from functools import partial

from proto.board import Board
from proto.ids import (
    DRAM,
    GICD_NODE,
    OPERATOR,
    SCP,
    CpuIndex,
    DomainId,
    NodeId,
    domain_node,
    el3_node,
    pe_node,
)
from proto.node import Node
from proto.vectors import VectorCase, acts_at_once

UART = NodeId("uart")
RTC = NodeId("rtc")
IOMMU = NodeId("iommu")


def tty_node(domain: int) -> NodeId:
    """Node id of a domain's serial port."""
    return NodeId(f"tty{domain}")


def processes(board: Board) -> dict[str, tuple[NodeId, ...]]:
    """Process names with the nodes each hosts; the hub lives in `interconnect`."""
    cpus, domains = board.platform.cpus, board.domains
    if board.vectors is not None:
        return _bare_processes(board.vectors, cpus)
    return {
        "interconnect": (DRAM,),
        "firmware": (*(el3_node(cpu) for cpu in cpus), SCP),
        "gicd": (GICD_NODE,),
        **{f"pcpu{cpu}": (pe_node(cpu),) for cpu in cpus},
        **{f"dom{domain}": (domain_node(domain),) for domain in domains},
        "devices": (UART, RTC, IOMMU, *(tty_node(domain) for domain in domains)),
        "operator": (OPERATOR,),
        "monitor": (),
    }


def _bare_processes(case: VectorCase, cpus: Sequence[CpuIndex]) -> dict[str, tuple[NodeId, ...]]:
    """A board for one case of call vectors, which is built anew for each: few processes.

    PEs that act at the same time have processes of their own. The driver judges the case, so there
    is no monitor.
    """
    pes: dict[str, tuple[NodeId, ...]] = {"pcpus": tuple(pe_node(cpu) for cpu in cpus)}
    if acts_at_once(case):
        pes = {f"pcpu{cpu}": (pe_node(cpu),) for cpu in cpus}
    return {
        "interconnect": (DRAM, OPERATOR),
        "firmware": (*(el3_node(cpu) for cpu in cpus), SCP),
        "gicd": (GICD_NODE, UART, RTC, IOMMU),
        **pes,
    }


def build_nodes(board: Board) -> dict[NodeId, Node]:
    """All nodes of a board, in the order of the process table."""
    hosted = (node for nodes in processes(board).values() for node in nodes)
    return {node: build_node(board, node) for node in hosted}


def build_node(board: Board, node_id: NodeId) -> Node:
    """One node; raises KeyError for an id that the board does not have."""
    return _factories(board)[node_id]()


def _factories(board: Board) -> dict[NodeId, Callable[[], Node]]:
    """What builds each node of the board."""
    factories: dict[NodeId, Callable[[], Node]] = {
        DRAM: partial(_dram, board),
        SCP: partial(_scp, board),
        GICD_NODE: partial(_gicd, board),
        UART: partial(_uart, board),
        RTC: partial(_rtc, board),
        IOMMU: partial(_iommu, board),
        OPERATOR: partial(_operator, board),
    }
    for cpu in board.platform.cpus:
        factories[el3_node(cpu)] = partial(_el3, board, cpu)
        factories[pe_node(cpu)] = partial(_pe, board, cpu)
    for domain in map(DomainId, board.domains):
        factories[domain_node(domain)] = partial(_domain, board, domain)
        factories[tty_node(domain)] = partial(_tty, board, domain)
    return factories


def _dram(board: Board) -> Node:
    from services.dram.node import Dram

    return Dram(board)


def _scp(board: Board) -> Node:
    from services.firmware.scp import Scp

    return Scp(board)


def _el3(board: Board, cpu: CpuIndex) -> Node:
    from services.firmware.node import El3

    return El3(board, cpu)


def _gicd(board: Board) -> Node:
    from services.gicd.node import Gicd

    return Gicd(board)


def _pe(board: Board, cpu: CpuIndex) -> Node:
    if board.vectors is not None:
        from services.bare.node import BarePeNode

        return BarePeNode(board, cpu)
    from services.pcpu.node import PeNode

    return PeNode(board, cpu)


def _domain(board: Board, domain: DomainId) -> Node:
    from services.domain.node import DomainNode

    return DomainNode(board, domain)


def _uart(board: Board) -> Node:
    from services.devices.uart import uart

    return uart(board)


def _rtc(board: Board) -> Node:
    from services.devices.rtc import Rtc

    return Rtc(board)


def _iommu(board: Board) -> Node:
    from services.devices.iommu import iommu

    return iommu(board)


def _tty(board: Board, domain: DomainId) -> Node:
    from services.devices.tty import Tty

    return Tty(board, domain)


def _operator(board: Board) -> Node:
    if board.vectors is not None:
        from services.bare.driver import Driver

        return Driver(board)
    from services.operator.node import Operator

    return Operator(board)
