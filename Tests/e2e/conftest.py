"""Fixtures of the end-to-end tests. They need the four release binaries (HIVE_BIN_DIR or .build/release), Linux with
unprivileged user namespaces or root, and for the stack PostgreSQL (HIVE_PG_BINDIR)."""

import faulthandler
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab import daemon as laboratory  # noqa: E402
from lab.tree import TREE  # noqa: E402

#: No single test may take longer; the dump of all threads' stacks then says where it stood.
TEST_SECONDS = 240


#: The real standard error: while a test runs, descriptor 2 is pytest's, and a dump of stacks there would end with the process.
STACKS = None


def pytest_configure(config):
    global STACKS
    config.addinivalue_line("markers", "root: what only root can arrange; as an ordinary user it is not among the tests")
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        STACKS = os.fdopen(os.dup(2), "w")
    for program in (laboratory.HIVESUP, laboratory.HIVESUPD):
        if not os.access(program, os.X_OK):
            raise pytest.UsageError(f"cannot test: no {program}; build with `swift build -c release` or give HIVE_BIN_DIR")


def pytest_collection_modifyitems(config, items):
    """Not skipped: scripts/test runs the suite as root, too, and there they are."""
    if os.geteuid() == 0:
        return
    roots = [item for item in items if item.get_closest_marker("root")]
    if roots:
        items[:] = [item for item in items if item not in roots]
        config.hook.pytest_deselected(items=roots)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    skipped = len(terminalreporter.stats.get("skipped", []))
    if os.environ.get("CI") == "true" and skipped:
        terminalreporter.write_line(f"CI has what the tests need, but {skipped} were skipped: failed", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    faulthandler.dump_traceback_later(TEST_SECONDS, exit=True, file=STACKS)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def directory():
    """A short path: a unix socket's may have 107 bytes."""
    path = tempfile.mkdtemp(prefix="hs.", dir="/tmp")
    os.chmod(path, 0o755)
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=[laboratory.SUBREAPER, laboratory.PID1])
def mode(request):
    """Both surroundings: as an ordinary process and as PID 1 of a namespace."""
    return request.param


@pytest.fixture
def make(directory):
    """Makes daemons in `directory`; whatever is left of them is killed afterwards."""
    made = []

    def build(text="", **options):
        daemon = laboratory.Daemon(directory, text, **options)
        made.append(daemon)
        return daemon

    yield build
    for daemon in made:
        daemon.destroy()


@pytest.fixture
def tree(directory):
    """The command of a tree, and the file that says that it is complete."""
    code = directory / "tree.py"
    code.write_text(TREE)

    def command(name):
        return f"{sys.executable} {code} {directory}/{name}.up"

    return command


@pytest.fixture(scope="session")
def actor(tmp_path_factory):
    """The compiled helper actor.c."""
    path = tempfile.mkdtemp(prefix="hs-actor.", dir="/tmp")
    os.chmod(path, 0o755)
    program = f"{path}/actor"
    source = pathlib.Path(__file__).with_name("actor.c")
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-o", program, str(source)], check=True)
    yield program
    shutil.rmtree(path, ignore_errors=True)
