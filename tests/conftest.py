"""The suite runs on any number of ranks: a test that fails on one rank fails on all, and only rank 0 reports."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mpi4py import MPI

from fem_diffusion.output import Output

if TYPE_CHECKING:
    from browser import Browser

COMM = MPI.COMM_WORLD


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if COMM.rank > 0:
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter._tw._file = open(os.devnull, "w")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-case", action="store_true", help="on several ranks too, all parameters of every test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if COMM.size > 1:
        items[:] = [item for item in items if item.get_closest_marker("serial") is None]
    if COMM.size > 1 and not config.getoption("--every-case"):
        items[:] = _outermost(items, cases=2 if COMM.size == 2 else 1)


def _outermost(items: list[pytest.Item], cases: int) -> list[pytest.Item]:
    """Every test with its first parameters, or its first and last: all run on one rank, and would take most of the time on the others."""
    of_test: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        of_test.setdefault((str(item.path), getattr(item, "originalname", item.name)), []).append(item)
    return [item for of_one in of_test.values() for item in dict.fromkeys((of_one[0], of_one[-1])[:cases])]


@pytest.fixture(autouse=True)
def without_drawings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no picture and write no report, which would take longer than most of them, but for tests that are marked with `draws`."""
    if request.node.get_closest_marker("draws") is None:
        monkeypatch.setattr(Output, "_draw", lambda output: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    error: BaseException | None = None
    result = None
    try:
        result = yield
    except BaseException as caught:
        error = caught
    skipped = isinstance(error, pytest.skip.Exception)
    failed = COMM.allreduce(int(error is not None and not skipped))
    if error is not None:
        raise error
    if failed:
        raise AssertionError(f"failed on {failed} other rank(s)")
    return result


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that all ranks share."""
    path = Path(COMM.bcast(tempfile.mkdtemp(prefix="fem_diffusion_") if COMM.rank == 0 else None))
    yield path
    COMM.barrier()
    if COMM.rank == 0:
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """For tests that are marked serial."""
    if shutil.which("chromedriver") is None:
        pytest.skip("there is no chromedriver")
    from browser import Browser

    found = Browser()
    yield found
    found.driver.quit()
