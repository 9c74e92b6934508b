"""Programs that die or stop working, while clients look and write: noticed, replaced, nothing lost, the port open all the while."""

import time

import pytest
from conftest import selected_roles
from lab.container import Container
from lab.traffic import HealthLog, Ledger, Prober
from lab.waiting import until

SERVICES = ["postgresql", "hive-service", "health-monitor"]
#: A hang is noticed after three liveness checks five seconds apart.
BACK = 60


def pids(one):
    return {name: program["pid"] for name, program in one.programs().items()}


def counters(one):
    return {name: program["restarts"] for name, program in one.programs().items()}


def backend(one):
    """A backend that serves the API, which always has some."""
    return one.psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
                    f"AND usename = '{one.role.owner}' LIMIT 1")


def last_event(one):
    return max((event["seq"] for event in one.events()), default=0)


class Patient:
    """A container with a prober and a writer."""

    def __init__(self, role):
        self.one = Container(role)
        self.prober, self.ledger, self.health = Prober(self.one), Ledger(self.one), HealthLog(self.one)

    def __enter__(self):
        self.health.__enter__()
        try:
            self.one.run()
            self.one.wait_ready()
            until(lambda: all(p["ready"] or p["completed"] or p["state"] == "STOPPED" for p in self.one.programs().values()), "everything is up")
            self.prober.__enter__()
            self.ledger.__enter__()
        except BaseException:
            self.health.__exit__()
            self.one.remove()
            raise
        return self

    def __exit__(self, *_):
        self.ledger.__exit__()
        self.prober.__exit__()
        self.health.__exit__()
        self.one.remove()

    def assert_well(self):
        """Healthy, rows are acknowledged again, none is lost, no connection was refused."""
        one = self.one
        until(one.ready, lambda: f"healthy again\n{one.describe()}", BACK)
        count = len(self.ledger.acknowledged)
        until(lambda: len(self.ledger.acknowledged) > count + 5, lambda: f"rows are acknowledged\n{one.describe()}", 30)
        assert self.ledger.missing() == set(), one.describe()
        assert self.prober.refused == [], f"{self.prober.refused[:5]}\n{one.describe()}"


@pytest.fixture(scope="module")
def patient(role):
    """One container that lives through this module's quick troubles."""
    with Patient(role) as patient:
        yield patient


@pytest.mark.parametrize("victim", SERVICES)
def test_a_killed_program_is_started_again(patient, victim):
    one = patient.one
    patient.assert_well()
    before, seq, pid = counters(one), last_event(one), pids(one)[victim]
    one.signal("KILL", pid)
    until(lambda: one.programs()[victim]["restarts"] == before[victim] + 1, lambda: f"restarted\n{one.describe()}", BACK)
    patient.assert_well()
    # Noticed, with the reason, and nobody else was touched.
    events = [event for event in one.events(seq) if event["program"] == victim]
    assert any("SIGKILL" in event["cause"] and event["pid"] == pid for event in events), events
    assert any(event["to"] == "RUNNING" for event in events), events
    now = one.programs()
    assert {name: program["restarts"] for name, program in now.items()} == {**before, victim: before[victim] + 1}
    assert now[victim]["pid"] != pid
    assert now[victim]["last_exit"]["signal"] == "SIGKILL" and now[victim]["last_exit"]["oom_killed"] is False


def test_a_killed_backend_costs_postgresql_a_recovery_and_nothing_else(patient):
    """PostgreSQL ends all backends, because shared memory may be damaged, and recovers. The postmaster stays, and so do the counters."""
    one = patient.one
    patient.assert_well()
    before, victim = {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()}, backend(one)
    recoveries = one.logs().count("all server processes terminated; reinitializing")
    one.signal("KILL", victim)
    until(lambda: one.logs().count("all server processes terminated; reinitializing") == recoveries + 1, lambda: f"recovery\n{one.describe()}")
    patient.assert_well()
    assert {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()} == before
    assert f"server process (PID {victim}) was terminated by signal 9" in one.logs()


def test_everything_killed_at_once_comes_back(patient):
    """kill -9 -1 as the container's user hits all but PID 1, which the kernel protects from its own namespace."""
    one = patient.one
    patient.assert_well()
    before, begun, started = counters(one), time.monotonic(), one.inspect()["State"]["StartedAt"]
    one.signal("KILL", "-1", check=False)
    until(lambda: all(counters(one)[name] == before[name] + 1 for name in SERVICES), lambda: f"{counters(one)}, before {before}\n{one.describe()}", BACK)
    patient.assert_well()
    assert patient.prober.saw("unhealthy", begun), patient.prober.changes
    for signal in ("KILL", "STOP"):
        one.signal(signal, 1)
    patient.assert_well()
    assert one.inspect()["State"]["StartedAt"] == started
    # Nobody is left whom nobody waits for.
    assert one.shell("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true").stdout == ""


# --- SIGSTOP -----------------------------------------------------------------------------------------------------------------------


def freeze(patient, victim):
    """Stops a program and waits until it has been replaced and docker calls the container healthy again; tells what that was like."""
    one = patient.one
    one.wait_health()
    pid, before, seq = pids(one)[victim], counters(one), last_event(one)
    begun = time.monotonic()
    one.signal("STOP", pid)
    until(lambda: pids(one)[victim] not in (pid, None), lambda: f"{victim} is replaced\n{one.describe()}", BACK, 0.25)
    replaced = time.monotonic() - begun
    patient.assert_well()
    one.wait_health()
    return {"restarts": {name: count - before[name] for name, count in counters(one).items()}, "seconds": replaced, "begun": begun,
            "events": [event["cause"] for event in one.events(seq) if event["program"] == victim]}


@pytest.mark.seconds(240)
def test_a_frozen_program_is_noticed_and_replaced(together, capsys):
    """Each in a container of its own, all at the same time. The image's health check: every 2 s, unhealthy after three failures."""
    patients = {(role, name): Patient(role) for role in selected_roles() for name in SERVICES}
    entered = []

    def suffer(key):
        entered.append(patients[key].__enter__())
        return freeze(patients[key], key[1])

    try:
        seen = dict(zip(patients, together(*(lambda key=key: suffer(key) for key in patients)), strict=True))
    finally:
        together(*(patient.__exit__ for patient in entered))
    for (role, name), patient in patients.items():
        found, said = seen[role, name], patient.health.statuses
        with capsys.disabled():
            print(f"\n{role}: {name} frozen: replaced after {found['seconds']:.1f} s, unhealthy for {patient.prober.longest('unhealthy'):.1f} s; "
                  f"docker said {', '.join(said)}", end="")
        assert found["restarts"] == {other: int(other == name) for other in found["restarts"]}, name
        assert patient.prober.saw("unhealthy", found["begun"]), (name, patient.prober.changes)
        assert any("liveness" in cause for cause in found["events"]), (name, found["events"])
        assert said[0] == said[-1] == "healthy", (name, said)
        # The three looks take 6 s on a machine with time, and up to 12 s on one without: the image's interval and timeout are 2 s each.
        assert "unhealthy" in said or patient.prober.longest("unhealthy") < 12, (name, said)
        assert "unhealthy" in said or name != "postgresql", said
        assert patient.prober.refused == []


@pytest.mark.parametrize("which", ["one", "all"])
def test_frozen_backends_go_on(patient, which):
    """The monitor finds them, tells of them, and sends CONT: they may hold locks, and killing them would cost a recovery."""
    one = patient.one
    patient.assert_well()
    before, begun = {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()}, time.monotonic()
    continued = one.logs().count("was stopped by a signal and may hold locks: sent it CONT")
    if which == "one":
        one.signal("STOP", backend(one))
    else:
        one.shell(f"kill -STOP $(cat /proc/{before['postgresql'][0]}/task/*/children)", check=False)
    until(lambda: one.logs().count("was stopped by a signal and may hold locks: sent it CONT") > continued, lambda: f"continued\n{one.describe()}", BACK, 0.2)
    patient.assert_well()
    assert any("stopped by a signal" in reason for reasons in patient.prober.saw("unhealthy", begun) for reason in reasons), patient.prober.changes
    assert {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()} == before
