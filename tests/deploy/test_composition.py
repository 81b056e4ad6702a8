"""The process table, its nodes, and the schema of what users write."""

import msgspec
import pytest

from deploy.composition import build_node, build_nodes, processes
from deploy.loading import resolve
from deploy.schema import COMMITTED, KINDS, schema, schema_text
from proto.ids import NodeId


def test_the_process_table_of_a_4_pe_board() -> None:
    """Who hosts what; the monitor hosts nothing."""
    table = processes(resolve("baseline"))

    assert list(table) == [
        *("interconnect", "firmware", "gicd", "pcpu0", "pcpu1", "pcpu2", "pcpu3"),
        *("dom0", "dom1", "dom2", "devices", "operator", "monitor"),
    ]
    assert table["firmware"] == ("el3.pe0", "el3.pe1", "el3.pe2", "el3.pe3", "scp")
    assert table["devices"] == ("uart", "rtc", "iommu", "tty0", "tty1", "tty2")
    assert table["monitor"] == ()


def test_every_node_is_built_under_its_own_name() -> None:
    """Once, and nobody twice."""
    board = resolve("baseline")
    hosted = [node for nodes in processes(board).values() for node in nodes]
    nodes = build_nodes(board)

    assert list(nodes) == hosted
    assert len(set(hosted)) == len(hosted)
    assert all(node.id == name for name, node in nodes.items())


def test_a_node_that_the_board_has_not_is_no_node() -> None:
    """The table is the board's."""
    with pytest.raises(KeyError):
        build_node(resolve("baseline"), NodeId("pe9"))


def test_the_committed_schema_is_the_generated_one() -> None:
    """Run `torpor schema > docs/scenario.schema.json` after changing proto/scenario.py."""
    assert COMMITTED.read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_schema(kind: str) -> None:
    """That refuses unknown fields, as the loader does."""
    described = schema(kind)

    assert msgspec.json.encode(described)
    assert all(
        definition.get("additionalProperties") is False
        for definition in described["$defs"].values()
        if definition.get("type") == "object"
    )
