"""Pytest plugin: the fixtures `world` (sim) and `board` (live), and the marker `schedules`.

It is loaded wherever Torpor is installed, so nothing of Torpor is imported before a test asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from deploy.testing.live import LiveBoard
    from deploy.testing.sim import Schedules, SimWorld

MARKER = "schedules(number=200, strategy='portfolio', seed=0)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--schedules N` instead of the number that each marker gives."""
    group = parser.getgroup("torpor", "Torpor")
    group.addoption(
        "--schedules",
        type=int,
        metavar="N",
        help="run every test with the marker `schedules` under N of them (nightly: more)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker is known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}: run the test for so many schedules of its `world`, and fail at the first one "
        "that violates a property or an assertion of the test",
    )


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimWorld:
    """A board in the simulator: `world.scenario("baseline")`, then `world.run()`."""
    from deploy.testing.sim import SimWorld

    return SimWorld(request.path.parent, _folder(request, tmp_path_factory))


@pytest.fixture
def board(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveBoard]:
    """A board on real processes: `board.scenario("baseline")`, then `run()`, or `up()`."""
    from deploy.testing.live import LiveBoard

    live = LiveBoard(request.path.parent, _folder(request, tmp_path_factory))
    try:
        yield live
    finally:
        live.close()


def _folder(request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a folder that pytest keeps for a while, for what a failing test leaves behind."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return partial(factory.mktemp, f"torpor-{name}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run a test with a `world` once for each of its schedules."""
    marker = pyfuncitem.get_closest_marker("schedules")
    given = pyfuncitem.funcargs.get("world")
    if marker is None and given is None:
        return None
    from deploy.testing.sim import SimWorld

    if not isinstance(given, SimWorld):
        if marker is not None:
            pytest.fail("schedules: the test needs Torpor's fixture `world`", pytrace=False)
        return None
    schedules = None if marker is None else _wanted(marker, pyfuncitem.config)
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    _run(given, partial(pyfuncitem.obj, **arguments), schedules)
    return True


def _wanted(marker: pytest.Mark, config: pytest.Config) -> Schedules:
    """What the marker asks for, and the command line's word on it."""
    from deploy.loading import UsageError
    from deploy.testing.sim import Schedules

    try:
        wanted = Schedules(*marker.args, **marker.kwargs)
        number: int | None = config.getoption("schedules")
        return wanted if number is None else replace(wanted, number=number)
    except (UsageError, TypeError) as error:
        pytest.fail(f"{error}; write @pytest.mark.{MARKER}", pytrace=False)


def _run(world: SimWorld, test: Callable[[], object], schedules: Schedules | None) -> None:
    """One schedule after the other, until one fails; what fails leaves its tape."""
    for index in range(1 if schedules is None else schedules.number):
        world.begin(schedules, index)
        try:
            test()
            surprise = world.settle()
            if surprise:
                pytest.fail(surprise, pytrace=False)
        except (Exception, pytest.fail.Exception):
            world.keep()
            raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails ends with the command that replays it."""
    report = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        for name in ("world", "board"):
            told: list[str] = getattr(item.funcargs.get(name), "told", [])
            if told:
                report.sections.append(("torpor", "\n".join(told)))
    return report
