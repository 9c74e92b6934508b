"""Programs that die or stop working, while clients look and write: noticed, replaced, nothing lost, the port open all the while."""

import subprocess
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

    def __init__(self, role, *options):
        self.one, self.options = Container(role), options
        self.prober, self.ledger, self.health = Prober(self.one), Ledger(self.one), HealthLog(self.one)

    def __enter__(self):
        self.health.__enter__()
        try:
            self.one.run(*self.options)
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
        """Healthy, for docker too, rows are acknowledged again, none is lost, no connection was refused."""
        one = self.one
        until(one.ready, lambda: f"healthy again\n{one.describe()}", BACK)
        one.wait_health()
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
    before, seq, pid, lost = counters(one), last_event(one), pids(one)[victim], len(patient.prober.lost)
    one.signal("KILL", pid)
    until(lambda: one.programs()[victim]["restarts"] == before[victim] + 1, lambda: f"restarted\n{one.describe()}", BACK)
    patient.assert_well()
    # Noticed, with the reason, and nobody else was touched. Of docker nothing but that it says healthy in the end: it looks every two seconds,
    # and this is over sooner. That it notices what goes on longer is the next test's. The history is PID 1's, where nothing is missed.
    events = [event for event in one.events(seq) if event["program"] == victim]
    assert any("SIGKILL" in event["cause"] and event["pid"] == pid and event["from"] == "RUNNING" for event in events), events
    assert [event["to"] for event in events if event["to"]][-2:] == ["STARTING", "RUNNING"], events
    # What the API had in hand ends with it; of the others nobody's connection depends.
    assert len(patient.prober.lost) - lost <= (1 if victim == "hive-service" else 0), patient.prober.lost
    now = one.programs()
    assert {name: program["restarts"] for name, program in now.items()} == {**before, victim: before[victim] + 1}
    assert now[victim]["pid"] != pid
    assert now[victim]["last_exit"]["signal"] == "SIGKILL" and now[victim]["last_exit"]["oom_killed"] is False


#: Kills a program as soon as it runs, again and again, and says each time which one it was. Not while it starts: that would be a failed
#: start, and PostgreSQL has eight of them in a row.
MURDERER = """while [ ! -e /tmp/enough ]; do
  set -- $(hivesup ctl status NAME)
  if [ "$2" = RUNNING ] && [ "$4" != "$last" ] && kill -9 "${4%,}"; then last=$4; echo "${4%,}"; fi
  sleep 0.05
done"""


def murder(patient, victim):
    """Kills a program until docker calls the container unhealthy: its pauses grow. Then it is left in peace."""
    one = patient.one
    one.wait_health()
    before = counters(one)
    begun = time.monotonic()
    killer = subprocess.Popen(["docker", "exec", one.name, "timeout", str(BACK), "sh", "-c", MURDERER.replace("NAME", victim)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        one.wait_health("unhealthy", BACK)
        seconds = time.monotonic() - begun
    finally:
        one.shell("touch /tmp/enough")
        killed = killer.communicate(timeout=30)[0].split()
    patient.assert_well()
    return {"restarts": {name: count - before[name] for name, count in counters(one).items()}, "seconds": seconds, "begun": begun, "killed": killed}


@pytest.mark.seconds(240)
def test_a_program_that_is_killed_again_and_again(together, capsys):
    """Docker says unhealthy, and healthy when it is over; the container goes on all the while, with the port open and no row lost."""
    patients = {(role, name): Patient(role) for role in selected_roles() for name in SERVICES}
    entered = []

    def suffer(key):
        entered.append(patients[key].__enter__())
        return murder(patients[key], key[1])

    try:
        seen = dict(zip(patients, together(*(lambda key=key: suffer(key) for key in patients)), strict=True))
        states = {key: patient.one.inspect() for key, patient in patients.items()}
    finally:
        together(*(patient.__exit__ for patient in entered))
    for (role, name), patient in patients.items():
        found, said, lost = seen[role, name], patient.health.statuses, patient.prober.lost
        with capsys.disabled():
            print(f"\n{role}: {name} killed {len(found['killed'])} times in {found['seconds']:.1f} s; {len(lost)} answers lost; docker said {', '.join(said)}", end="")
        assert len(set(found["killed"])) == len(found["killed"]) >= 3, found
        assert found["restarts"] == {other: len(found["killed"]) if other == name else 0 for other in found["restarts"]}, (name, found)
        assert said[0] == said[-1] == "healthy" and "unhealthy" in said, (name, said)
        assert any(name in reason for reasons in patient.prober.saw("unhealthy", found["begun"]) for reason in reasons), (name, patient.prober.changes)
        assert len(lost) <= (len(found["killed"]) if name == "hive-service" else 0), (name, lost)
        assert states[role, name]["RestartCount"] == 0 and states[role, name]["State"]["Running"]


def test_a_killed_backend_costs_postgresql_a_recovery_and_nothing_else(patient):
    """PostgreSQL ends all backends, because shared memory may be damaged, and recovers. The postmaster stays, and so do the counters."""
    one = patient.one
    patient.assert_well()
    before, victim = {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()}, backend(one)
    lost = len(patient.prober.lost)
    recoveries = one.logs().count("all server processes terminated; reinitializing")
    one.signal("KILL", victim)
    until(lambda: one.logs().count("all server processes terminated; reinitializing") == recoveries + 1, lambda: f"recovery\n{one.describe()}")
    patient.assert_well()
    assert {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()} == before
    assert f"server process (PID {victim}) was terminated by signal 9" in one.logs()
    assert len(patient.prober.lost) == lost, patient.prober.lost


def test_everything_killed_at_once_comes_back(patient):
    """kill -9 -1 as the container's user hits all but PID 1, which the kernel protects from its own namespace."""
    one = patient.one
    patient.assert_well()
    before, begun, started, lost = counters(one), time.monotonic(), one.inspect()["State"]["StartedAt"], len(patient.prober.lost)
    one.signal("KILL", "-1", check=False)
    until(lambda: all(counters(one)[name] == before[name] + 1 for name in SERVICES), lambda: f"{counters(one)}, before {before}\n{one.describe()}", BACK)
    patient.assert_well()
    assert patient.prober.saw("unhealthy", begun), patient.prober.changes
    assert len(patient.prober.lost) - lost <= 1, patient.prober.lost
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
    """Each in a container of its own, all at the same time. Docker looks every 2 s, as the image has it, and calls it unhealthy after three
    failures. The API and the monitor are unhealthy from the first of the three WATCHDOG=1 that they owe to the third, 10 s: on a busy machine,
    where one look takes as long as it may (2 s), that is room for two. So docker looks every second at these. That holds when nobody comes
    anew, too: all who ask may hang in connections that the API had accepted."""
    patients = {(role, name): Patient(role, *([] if name == "postgresql" else ["--health-interval", "1s"]))
                for role in selected_roles() for name in SERVICES}
    for patient in patients.values():
        patient.prober.timeout = 5
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
                  f"{len(patient.prober.lost)} answers lost, the slowest after {patient.prober.slowest:.1f} s; docker said {', '.join(said)}", end="")
        assert found["restarts"] == {other: int(other == name) for other in found["restarts"]}, name
        assert patient.prober.saw("unhealthy", found["begun"]), (name, patient.prober.changes)
        assert any("liveness" in cause for cause in found["events"]), (name, found["events"])
        assert said[0] == said[-1] == "healthy", (name, said)
        assert "unhealthy" in said, (name, said)
        # The one that the frozen API had in hand is lost when it is killed; every other one is answered, by PID 1 meanwhile.
        assert len(patient.prober.lost) <= (1 if name == "hive-service" else 0), (name, patient.prober.lost)
        assert patient.prober.refused == []


def test_a_frozen_api_is_noticed_though_nobody_asks(role, container):
    """Nobody connects, so nobody finds the port deaf; all there is to see is that the API does not speak."""
    one = container(role)
    with HealthLog(one) as health:
        one.run("--health-interval", "1s")
        one.wait_health()
        pid, seq = pids(one)["hive-service"], last_event(one)
        one.signal("STOP", pid)
        until(lambda: "unhealthy" in health.statuses, lambda: f"docker says so\n{one.describe()}", BACK)
        until(lambda: pids(one)["hive-service"] not in (pid, None), lambda: f"it is replaced\n{one.describe()}", BACK, 0.25)
        until(lambda: health.statuses[-1] == "healthy", lambda: f"and healthy again\n{one.describe()}", BACK)
        assert health.statuses == ["healthy", "unhealthy", "healthy"]
        assert any("no WATCHDOG=1" in event["cause"] for event in one.events(seq) if event["program"] == "hive-service")


@pytest.mark.parametrize("which", ["one", "all"])
def test_frozen_backends_go_on(patient, which):
    """The monitor finds them, tells of them, and sends CONT: they may hold locks, and killing them would cost a recovery."""
    one = patient.one
    patient.assert_well()
    before, begun = {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()}, time.monotonic()
    lost = len(patient.prober.lost)
    continued = one.logs().count("was stopped by a signal and may hold locks: sent it CONT")
    if which == "one":
        one.signal("STOP", backend(one))
    else:
        one.shell(f"kill -STOP $(cat /proc/{before['postgresql'][0]}/task/*/children)", check=False)
    until(lambda: one.logs().count("was stopped by a signal and may hold locks: sent it CONT") > continued, lambda: f"continued\n{one.describe()}", BACK, 0.2)
    patient.assert_well()
    assert any("stopped by a signal" in reason for reasons in patient.prober.saw("unhealthy", begun) for reason in reasons), patient.prober.changes
    assert {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()} == before
    assert len(patient.prober.lost) == lost, patient.prober.lost
