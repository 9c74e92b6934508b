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


def test_a_supervisor_with_cpus_of_its_own_confines_nobody_else_to_them(directory):
    """The monitor takes what is allowed from its supervisor: not from where that has moved itself."""
    stack = Stack(directory, "genie", mode=SUBREAPER)
    stack.environment.update(CLASSES)
    text = stack.config.read_text()
    stack.config = directory / "hivesup.conf"
    stack.config.write_text(text.replace("[supervisord]\n", "[supervisord]\ncpu_class=low-power,efficiency\n", 1))
    try:
        with stack:
            stack.wait_healthy()
            until(lambda: masks([stack.pid]) == {frozenset(E)}, "hivesupd is on the frugal core")

            def roles():
                answer = stack.control.get("/v1/thermal")
                return {one["role"]: one for one in (answer.json.get("pinning") or {}).get("roles", [])} if answer.status == 200 else {}

            until(lambda: roles().get("backends", {}).get("processes", 0) > 0, lambda: str(roles()))
            found = roles()
            assert (found["backends"]["cpus"], found["autovacuum"]["cpus"]) == ("0", "1") and found["backends"]["explanation"] == "", found
            until(lambda: masks([stack.postgres_pid(), stack.backend_pid()]) == {frozenset(P)}, "the server is on the fast core")
            assert masks([stack.host_pid("hive-service")]) == {frozenset(P)}
    finally:
        stack.destroy()
