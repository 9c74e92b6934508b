"""Fixtures of the container tests. scripts/test-containers builds the images and runs them; they need a Docker engine."""

import concurrent.futures
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab import docker as engine  # noqa: E402
from lab.container import ROLES, Container  # noqa: E402

#: No single test may take longer; `@pytest.mark.seconds(N)` gives one more time.
TEST_SECONDS = 120

CONTAINERS = pytest.StashKey()


def selected_roles():
    return [ROLES[name] for name in os.environ.get("HIVE_TEST_ROLES", "genie agent").split()]


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(limit): how long the test may take, instead of the default")
    try:
        engine.docker("version", timeout=20)
    except (engine.Failed, FileNotFoundError) as error:
        raise pytest.UsageError(f"cannot test containers: {error}; scripts/test-containers starts an engine") from None


def pytest_generate_tests(metafunc):
    if "role" in metafunc.fixturenames:
        metafunc.parametrize("role", selected_roles(), ids=str, scope="module")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A test that hangs is interrupted and fails like any other: with its containers' last lines."""
    marker = item.get_closest_marker("seconds")
    limit = marker.args[0] if marker else TEST_SECONDS

    def interrupt(*_):
        raise engine.Failed(f"the test was not done within {limit} s")

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(limit)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for container in item.stash.get(CONTAINERS, []):
            # What the message itself already shows is not said twice.
            if container.name not in str(report.longrepr):
                report.sections.append((container.name, container.describe()))
    return report


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    skipped = len(terminalreporter.stats.get("skipped", []))
    if os.environ.get("CI") == "true" and skipped:
        terminalreporter.write_line(f"CI has what the tests need, but {skipped} were skipped: failed", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def nothing_stays():
    yield
    engine.remove_everything()


@pytest.fixture
def container(request, volume):
    """Makes containers: `container(role, image=None)`, not yet running. They are removed after the test, with their anonymous
    volumes; before the named volumes that the test has made, which is why this asks for `volume`."""
    made = request.node.stash.setdefault(CONTAINERS, [])

    def make(role, image=None):
        made.append(Container(role, image))
        return made[-1]

    yield make
    together(*(one.remove for one in made))


@pytest.fixture
def volume():
    """Makes named volumes, removed after the test."""
    made = []

    def make(*options):
        name = engine.unique("volume")
        engine.docker("volume", "create", "--label", engine.LABEL, *options, name)
        made.append(name)
        return name

    yield make
    for name in made:
        engine.docker("volume", "rm", "--force", name, check=False)


def together(*functions):
    """Calls all functions at the same time; returns their values in order, or raises what one of them raised."""
    if not functions:
        return []
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


@pytest.fixture(name="together")
def together_fixture():
    return together
