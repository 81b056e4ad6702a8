"""Layering, enforced from the import statements: proto <- bus <- services <- deploy <- tests."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("proto", "bus", "services", "deploy", "tests")
IMPURE = frozenset({"time", "random", "socket", "asyncio", "threading"})
NO_CORE = IMPURE | {"zmq"}
"""What neither a contract nor a core may reach for: clocks, sockets, threads, generators."""


def sources(layer: str) -> list[Path]:
    """All Python files of a layer."""
    return sorted((ROOT / layer).rglob("*.py"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Dotted names of every module that a file imports, inside functions too."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def is_entry_point(path: Path) -> bool:
    """Whether a file of `services` is the entry point of a process."""
    return path.name == "__main__.py"


def offenders(layer: str, forbidden: frozenset[str], entry_points: bool = True) -> list[str]:
    """Imports of these top-level modules by files of a layer, entry points included or spared."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(layer)
        if entry_points or not is_entry_point(path)
        for name in imports(path)
        if name.split(".")[0] in forbidden
    ]


@pytest.mark.parametrize("layer", LAYERS[:-1])
def test_a_layer_imports_only_layers_below_it(layer: str) -> None:
    """Nothing points upwards."""
    above = frozenset(LAYERS[LAYERS.index(layer) + 1 :])

    assert sources(layer), f"{layer} has no files: this test looks in the wrong place"
    assert offenders(layer, above) == []


def test_services_do_not_import_each_other() -> None:
    """They share messages and cells."""
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("services")
        for name in imports(path)
        if name.startswith("services.")
        and name.split(".")[1] != path.relative_to(ROOT / "services").parts[0]
    ]

    assert found == []


def test_only_entry_points_of_services_import_the_bus() -> None:
    """A core runs in every world."""
    assert offenders("services", frozenset({"bus"}), entry_points=False) == []


def test_zmq_is_imported_in_one_place() -> None:
    """So that another carrier is one file away."""
    found = {
        path.relative_to(ROOT).as_posix()
        for layer in LAYERS[:-1]
        for path in sources(layer)
        for name in imports(path)
        if name.split(".")[0] == "zmq"
    }

    assert found == {"bus/link.py"}


def test_contracts_are_pure() -> None:
    """No clock, socket, thread or generator in `proto`."""
    assert offenders("proto", IMPURE) == []


def test_cores_are_pure() -> None:
    """No clock, socket, thread or generator in a core of `services`."""
    assert offenders("services", NO_CORE, entry_points=False) == []


def test_relative_imports_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker itself sees through `from .. import x`."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "services" / "gicd" / "node.py"
    path.parent.mkdir(parents=True)
    path.write_text("def late():\n    from ..dram import node\n    from . import bank\n")

    assert imports(path) == (
        "services.dram",
        "services.dram.node",
        "services.gicd",
        "services.gicd.bank",
    )
