"""The whole stack on a machine with two classes of cores (made by hand): who runs where."""


import pytest

from lab import processes
from lab.affinity import BOTH, CLASSES, E, HAS_BOTH, P, masks, threads
from lab.daemon import PID1, SUBREAPER
from lab.stack import POSTGRES, Stack
from lab.waiting import until

if not POSTGRES:
    raise pytest.UsageError("cannot test the stack: give HIVE_PG_BINDIR, or use scripts/test")

pytestmark = pytest.mark.skipif(not HAS_BOTH, reason="needs CPU 0 and CPU 1")


@pytest.mark.parametrize("surroundings", [SUBREAPER, PID1])
def test_the_database_and_the_api_run_on_fast_cores_and_the_monitor_on_frugal_ones(directory, surroundings):
    stack = Stack(directory, "genie", mode=surroundings)
    # The monitor's own places for the server's roles are another test's: here a pin is the last word.
    stack.environment.update(CLASSES, HIVE_PG_PIN="off")
    try:
        with stack:
            stack.wait_healthy()
            postmaster, api, monitor = (stack.host_pid(name) for name in ("postgresql", "hive-service", "health-monitor"))
            assert masks([postmaster, stack.backend_pid()]) == {frozenset(P)}
            assert len(threads([api])) > 1 and masks([api, *processes.descendants(api)]) == {frozenset(P)}
            assert masks([monitor]) == {frozenset(E)}
            assert masks([stack.pid]) == {frozenset(BOTH)}

            # A pin moves the postmaster with all that it has forked, and new backends are born there.
            assert stack.control.post("/v1/programs/postgresql/pin?class=efficiency").status == 200
            assert masks([postmaster, stack.backend_pid()]) == {frozenset(E)}
            assert stack.psql("SELECT 1") == "1" and stack.postgres_pid() == postmaster
            assert stack.control.post("/v1/programs/postgresql/pin?reset").status == 200
            until(lambda: masks([postmaster, stack.backend_pid()]) == {frozenset(P)}, "back on the fast cores")
            assert stack.healthy()
    finally:
        stack.destroy()
