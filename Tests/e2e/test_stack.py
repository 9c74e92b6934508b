"""The container's main job: PostgreSQL and the API stay up, come back, and stop cleanly; no acknowledged row is lost; the port never
refuses a connection."""

import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from lab import processes
from lab.client import get
from lab.daemon import PID1
from lab.prober import Prober
from lab.stack import DATABASE, POSTGRES, RESOURCE, Ledger, Stack, payload, tool
from lab.waiting import until

if not POSTGRES:
    raise pytest.UsageError("cannot test the stack: give HIVE_PG_BINDIR, or use scripts/test")

#: A hang is noticed after three liveness checks five seconds apart; then it is stopped, and started again.
BACK = 60


def new_directory():
    path = pathlib.Path(tempfile.mkdtemp(prefix="hst.", dir="/tmp"))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def genie():
    """One genie as PID 1 that lives through all of this module's troubles, with writers and a prober that never rest."""
    directory = new_directory()
    stack = Stack(directory, "genie", mode=PID1)
    try:
        with stack:
            stack.wait_healthy()
            with Prober(stack.port) as prober, Ledger(stack) as ledger:
                stack.prober, stack.ledger = prober, ledger
                yield stack
            assert prober.refused == [], prober.refused[:5]
            assert stack.stop()[0] == 0, stack.output()
            stack.assert_shut_down()
    finally:
        stack.destroy()
        shutil.rmtree(directory, ignore_errors=True)


VICTIMS = {
    "postgresql": lambda stack: stack.postgres_pid(),
    "backend": lambda stack: stack.backend_pid(),
    "hive-service": lambda stack: stack.host_pid("hive-service"),
    "health-monitor": lambda stack: stack.host_pid("health-monitor"),
}


def strike(stack, victim, number):
    """Sends it the signal; a backend may end between being found and being hit."""
    while True:
        pid = VICTIMS[victim](stack)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return pid


def assert_all_is_well(stack):
    """Healthy, writable, nothing lost, never refused, nothing dead lying around."""
    stack.wait_healthy(BACK)
    stack.ledger.wait_progress()
    stack.ledger.verify()
    assert stack.prober.refused == []
    until(lambda: not processes.zombies(stack.pid), "no zombies")


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_it_comes_back(genie, victim):
    assert_all_is_well(genie)
    pid = strike(genie, victim, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the victim is reaped")
    assert_all_is_well(genie)
    document = genie.healthy() or genie.wait_healthy(BACK)
    assert document["services"]["postgresql"]["state"] == "RUNNING" and document["database"] == "connected"


@pytest.mark.parametrize("victim", ["postgresql", "hive-service", "health-monitor"])
def test_frozen_it_is_noticed_and_replaced(genie, victim):
    """SIGSTOP: the process is there and does nothing. Its liveness check finds it."""
    assert_all_is_well(genie)
    pid = strike(genie, victim, signal.SIGSTOP)
    until(lambda: not os.path.exists(f"/proc/{pid}"), lambda: f"{victim} is replaced: {genie.document()}{genie.output()}", BACK, 0.05)
    assert_all_is_well(genie)


@pytest.mark.parametrize("which", ["one", "all"])
def test_frozen_backends_go_on(genie, which):
    """SIGSTOP of backends in the middle of their work. Frozen all at once, those are among them that hold the locks which every writer
    needs: nothing that only reads would notice. The monitor names them, health says so, and they go on without a person."""
    for _ in range(3 if which == "one" else 1):
        assert_all_is_well(genie)
        frozen = [genie.backend_pid()] if which == "one" else processes.children(genie.postgres_pid())
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        if which == "all":
            red = until(lambda: next((a for a in [get(genie.port)] if b"stopped by a signal" in a.body), None), genie.document, BACK)
            assert red.status == 503 and red.json["status"] == "unhealthy"
        until(lambda: not any(processes.stat(pid) == "T" for pid in frozen), lambda: f"continued: {genie.document()}", BACK)
        assert_all_is_well(genie)


def test_a_storm_of_kills(genie):
    """Everybody in turn, before the last one is back."""
    for _ in range(3):
        for victim in ("hive-service", "postgresql", "health-monitor"):
            with contextlib.suppress(AssertionError):
                strike(genie, victim, signal.SIGKILL)
            time.sleep(0.05)
    assert_all_is_well(genie)


def test_postmaster_and_all_backends_at_once(genie):
    assert_all_is_well(genie)
    postmaster = genie.postgres_pid()
    for pid in [postmaster, *processes.children(postmaster)]:
        # Some end by themselves, now that the postmaster is gone.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert_all_is_well(genie)


def test_five_thousand_orphans_beside_the_stack(genie, actor):
    """They are the API's: a child of the service's user makes them in the same namespace, by nsenter where that is allowed."""
    assert_all_is_well(genie)
    enter = ["nsenter", "--target", str(genie.pid), "--pid", "--mount"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    maker = subprocess.Popen(enter + [actor, "orphans", "5000", "50"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                             env=genie.environment)
    try:
        assert maker.stdout.readline() == b"orphaned 5000\n"
        until(lambda: not processes.zombies(genie.pid), "no zombies")
        assert_all_is_well(genie)
    finally:
        for pid in [*processes.descendants(maker.pid), maker.pid]:
            os.kill(pid, signal.SIGKILL)
        maker.wait()
        maker.stdout.close()


def test_the_health_document_is_complete(genie):
    def passing():
        # A program that was just replaced has not been due for its first sign of life yet.
        document = genie.healthy()
        up = [service for service in document["services"].values() if service["status"] != "stopped"] if document else []
        checks = [check for service in up for check in service["checks"]]
        return document if checks and all(check["status"] == "passing" for check in checks) else None

    document = until(passing, genie.document, BACK, 0.05)
    assert document["status"] == "healthy" and document["container"] == "genie" and document["database"] == "connected"
    assert document["reasons"] == [] and document["uptime_seconds"] > 0 and document["version"]
    assert document["timestamp"].endswith("Z")
    assert {name for name, service in document["services"].items() if service["status"] == "stopped"} == {"pgbouncer", "redis"}
    for name in ("postgresql", "hive-service", "health-monitor"):
        service = document["services"][name]
        assert service["status"] == "healthy" and service["state"] == "RUNNING" and service["pid"] > 0, service
        for check in service["checks"]:
            assert check["observed_at"].endswith("Z"), check
    for target in ("/api/v1/health", "/health"):
        answer = get(genie.port, target)
        assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
        head = get(genie.port, target, "HEAD")
        assert head.status == 200 and head.body == b""


def test_the_api_creates_reads_lists_changes_and_deletes(genie):
    made = get(genie.port, RESOURCE["genie"], "POST", body={"user_id": "somebody", "session_data": {"a": [1, None, "ü"]}})
    assert made.status == 201, made.body
    one = f"{RESOURCE['genie']}/{made.json['id']}"
    assert get(genie.port, one).json["session_data"] == {"a": [1, None, "ü"]}
    assert get(genie.port, f"{RESOURCE['genie']}?limit=1").status == 200
    assert get(genie.port, one, "DELETE").status in (200, 204)
    assert get(genie.port, one).status == 404
    wrong = get(genie.port, RESOURCE["genie"], "POST", body={"user_id": 7})
    assert wrong.status == 422 and wrong.json["detail"][0]["loc"][0] == "body", wrong.body


def test_the_extension_is_there(genie):
    assert genie.psql("SELECT '[1,2,3]'::vector <-> '[1,2,4]'::vector") == "1"


# --- starts and stops: each with a container of its own --------------------------------------------------------------------------


@pytest.fixture
def place():
    path = new_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("role", ["genie", "agent"])
def test_first_boot_stop_and_second_boot(place, mode, role):
    stack = Stack(place, role, mode=mode)
    with stack:
        stack.wait_healthy()
        identity = get(stack.port, RESOURCE[role], "POST", body=payload(role, 1)).json["id"]
        done = tool(stack, "ctl", "status")
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 7, done
        assert tool(stack, "healthcheck").returncode == 0
        with stack.keeps_descriptors():
            for _ in range(20):
                assert get(stack.port).status == 200
        status, seconds = stack.stop()
        assert status == 0 and seconds < 9, (status, seconds, stack.output())
        stack.assert_shut_down()
    with stack:
        stack.wait_healthy()
        assert get(stack.port, f"{RESOURCE[role]}/{identity}").status == 200
        assert stack.stop(signal.SIGINT)[0] == 0
        stack.assert_shut_down()


def test_term_in_every_phase_of_the_first_boot(place):
    """initdb, bootstrap, server start, migration, API start: TERM ends it with 0 and leaves nothing; the next boot on the same volume
    is healthy. The steps cover what a first boot takes on this machine."""
    (place / "probe").mkdir()
    probe = Stack(place / "probe", mode=PID1)
    with probe:
        begun = time.monotonic()
        probe.wait_healthy()
        whole = time.monotonic() - begun
    steps = 12
    for step in range(steps):
        directory = place / f"{step}"
        directory.mkdir()
        stack = Stack(directory, mode=PID1).start()
        try:
            stack.find()
            stack.ready()
            time.sleep(whole * 1.1 * step / steps)
            status, seconds = stack.stop()
            # Work that is asked to stop half-way may say so; the container itself was asked to stop.
            assert status == 0 and seconds < 9, (step, status, seconds, stack.output())
            stack.assert_nothing_left()
            if (stack.data / "pgdata").exists():
                assert stack.cluster_state() == "shut down", (step, stack.cluster_state(), stack.output())
        finally:
            stack.destroy()
        if step % 3 == 0:
            with stack:
                stack.wait_healthy()
        shutil.rmtree(directory, ignore_errors=True)


def test_killed_in_every_phase_of_the_first_boot(place):
    """Power loss: SIGKILL of PID 1 and with it of everything. The same volume then becomes healthy by itself."""
    stack = Stack(place, mode=PID1)
    for step in range(8):
        stack.start()
        stack.find()
        stack.ready()
        time.sleep(0.12 * step)
        stack.send(signal.SIGKILL)
        stack.wait()
        stack.assert_nothing_left()
    with stack:
        stack.wait_healthy()
        assert stack.stop()[0] == 0
        stack.assert_shut_down()


def test_docker_stop_with_a_client_in_a_transaction(place):
    """The smart shutdown of the official image waits for it until it is killed; fast shutdown does not."""
    stack = Stack(place, mode=PID1)
    with stack:
        stack.wait_healthy()
        database, role, table = DATABASE["genie"]
        client = subprocess.Popen(
            [f"{POSTGRES}/psql", "-X", "-q", "-h", str(stack.run_directory), "-p", str(stack.pg_port), "-U", role, "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"PATH": "/usr/bin:/bin"})
        try:
            client.stdin.write(f"BEGIN;\nINSERT INTO {table} (user_id) VALUES ('open');\n\\echo open\n")
            client.stdin.flush()
            assert client.stdout.readline() == "open\n"
            status, seconds = stack.stop()
            assert status == 0 and seconds < 5, (status, seconds, stack.output())
            stack.assert_shut_down()
        finally:
            client.kill()
            client.communicate()


@pytest.mark.parametrize("optional", ["false", "true"], ids=["alone", "pgbouncer and redis"])
@pytest.mark.parametrize("role", ["genie", "agent"])
def test_docker_stop_with_requests_that_wait_for_a_lock(place, mode, role, optional):
    """They are given the drain's time, then cancelled and answered; nothing is killed, whatever else has to be stopped."""
    stack = Stack(place, role, mode=mode)
    stack.environment.update({"HIVE_PGBOUNCER": optional, "HIVE_REDIS": optional, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    with stack:
        stack.wait_healthy()
        database, owner, table = DATABASE[role]
        locker = subprocess.Popen(
            [f"{POSTGRES}/psql", "-X", "-q", "-h", str(stack.run_directory), "-p", str(stack.pg_port), "-U", owner, "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"PATH": "/usr/bin:/bin"})
        try:
            locker.stdin.write(f"BEGIN;\nLOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n")
            locker.stdin.flush()
            assert locker.stdout.readline() == "locked\n"
            with concurrent.futures.ThreadPoolExecutor(3) as threads:
                requests = [threads.submit(get, stack.port, RESOURCE[role], "POST", 30, payload(role, number)) for number in range(3)]
                until(lambda: stack.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "3", stack.output, 30, 0.05)
                status, seconds = stack.stop(timeout=12)
                answers = [request.result() for request in requests]
            for answer in answers:
                assert answer.status == 503 and answer.headers["retry-after"] == "1" and answer.headers["connection"] == "close", answer.body
            assert status == 0 and seconds < 9, (status, seconds, stack.output())
            stack.assert_shut_down()
        finally:
            locker.kill()
            locker.communicate()


def test_a_frozen_postgres_still_closes_its_database(place):
    """A stopped process acts on no signal; the stop plan's come with SIGCONT, so it need not be killed."""
    stack = Stack(place, mode=PID1)
    with stack:
        stack.wait_healthy()
        os.kill(stack.postgres_pid(), signal.SIGSTOP)
        status, seconds = stack.stop(timeout=12)
        assert status == 0 and seconds < 5, (status, seconds, stack.output())
        stack.assert_shut_down()


def test_a_postgres_that_cannot_be_stopped_does_not_outlast_the_deadline(place):
    """Frozen again and again: SIGKILL comes inside Docker's ten seconds, the status says so, and the next boot recovers."""
    stack = Stack(place, mode=PID1)
    with stack:
        stack.wait_healthy()
        pid = stack.postgres_pid()
        freezing = threading.Event()

        def freeze():
            while not freezing.is_set() and os.path.exists(f"/proc/{pid}"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)

        thread = threading.Thread(target=freeze)
        thread.start()
        try:
            status, seconds = stack.stop(timeout=12)
        finally:
            freezing.set()
            thread.join()
        assert status in (0, 70) and seconds < 9.8, (status, seconds, stack.output())
    with stack:
        stack.wait_healthy()


def test_a_volume_in_use_is_refused_with_the_reason(place):
    for name in ("a", "b"):
        (place / name).mkdir()
    first = Stack(place / "a")
    with first:
        first.wait_healthy()
        second = Stack(place / "b")
        second.environment["HIVE_DATA"] = str(first.data)
        second.environment["HIVE_LOCK_TIMEOUT"] = "1"
        with second:
            document = until(lambda: "exit status 75" in str(second.document()) and get(second.port), second.output, 20, 0.05)
            assert document.status == 503 and any("postgresql" in reason for reason in document.json["reasons"]), document.json
            assert str(first.data) in second.output()
            assert second.stop()[0] == 0
        assert first.healthy()
        first.psql("SELECT 1")
