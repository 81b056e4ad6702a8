"""One Docker engine for all tests of boards in containers, and a bench for each test."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_bench import ROOT, Bench, Engine, die_with_parent, install_packages, run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Building the image takes longer than any test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with the image of this checkout in it."""
    install_packages()
    # Short: the path of a socket has its limits.
    root = Path(tempfile.mkdtemp(prefix="torpor-docker-", dir="/tmp"))
    script = subprocess.Popen(
        [Path(__file__).with_name("engine.sh"), root],
        preexec_fn=die_with_parent,
        stdin=subprocess.DEVNULL,
    )
    engine = Engine(root, script)
    try:
        engine.wait()
        built = run(
            ROOT / "deploy" / "image.sh",
            env={**engine.environment, "PYTHON": sys.executable},
        )
        assert built.returncode == 0, built.stdout + built.stderr
        yield engine
    finally:
        script.terminate()
        script.wait()
    assert not root.exists()


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Iterator[Bench]:
    """A bench; whatever is up at the end is taken down, and nothing is left then."""
    bench = Bench(engine, tmp_path)
    yield bench
    for entry in bench.status():
        bench.try_torpor("down", "--board", entry["folder"])
    assert engine.containers("-a") == []
    assert "torpor" not in engine.docker("network", "ls")
