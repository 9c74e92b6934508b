"""pgbouncer and redis, switched on by the environment: started in their place, watched, replaced, stopped; and said clearly when they
are not there."""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import pytest

from lab.client import get
from lab.daemon import PID1, SUBREAPER
from lab.stack import DATABASE, POSTGRES, RESOURCE, Ledger, Stack, payload, tool
from lab.waiting import until

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BACK = 60

for program in ("pgbouncer", "redis-server", "redis-cli"):
    if not shutil.which(program, path=SYSTEM_PATH):
        raise pytest.UsageError(f"cannot test the optional programs: there is no {program}; use scripts/test, or scripts/setup test")


@pytest.fixture
def place():
    path = pathlib.Path(tempfile.mkdtemp(prefix="hso.", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def launch(place):
    """Makes a stack with `environment` over the usual one."""
    made = []

    def build(role="genie", mode=PID1, **environment):
        stack = Stack(place, role, mode=mode)
        stack.environment.update({"PATH": SYSTEM_PATH, **environment})
        made.append(stack)
        return stack

    yield build
    for stack in made:
        stack.destroy()


def pooler(stack, command):
    """What pgbouncer's console answers, one list for each row."""
    done = subprocess.run(
        [f"{POSTGRES}/psql", "-X", "-A", "-t", "-h", str(stack.run_directory), "-p", "6432", "-U", "hivesup_probe", "-d", "pgbouncer",
         "-c", command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20, env={"PATH": SYSTEM_PATH})
    assert done.returncode == 0, done
    return [line.split("|") for line in done.stdout.splitlines()]


def clients(stack):
    """How many sessions the API has with pgbouncer."""
    return sum(row[2] == DATABASE[stack.role][0] for row in pooler(stack, "SHOW CLIENTS"))


def post(stack, number=1):
    return get(stack.port, RESOURCE[stack.role], "POST", body=payload(stack.role, number), timeout=20)


def redis(stack, *words):
    done = subprocess.run(["redis-cli", "-e", "-s", str(stack.run_directory / "redis.sock"), *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, env={"PATH": SYSTEM_PATH})
    assert done.returncode == 0, done
    return done.stdout.strip()


def assert_private_socket(path):
    """Its owner's alone, and the owner is who the services run as."""
    found = os.stat(path)
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o077 == 0, oct(found.st_mode)
    assert found.st_uid == os.stat(path.parent).st_uid


# --- pgbouncer -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["genie", "agent"])
def test_the_api_pools_through_pgbouncer_and_in_no_other_way(launch, mode, role):
    with launch(role, mode, HIVE_PGBOUNCER="true") as stack:
        document = stack.wait_healthy()
        assert document["services"]["pgbouncer"]["state"] == "RUNNING" and document["database"] == "connected"
        assert post(stack).status == 201
        assert clients(stack) >= 1
        assert_private_socket(stack.run_directory / ".s.PGSQL.6432")
        assert stat.S_IMODE(os.stat(stack.run_directory / "pgbouncer.ini").st_mode) == 0o600
        # Without the pool there is no way round it, however well the database is.
        assert tool(stack, "ctl", "stop", "pgbouncer").returncode == 0
        assert stack.psql("SELECT 1") == "1"
        answer = post(stack, 2)
        assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
        answer = get(stack.port)
        assert answer.status == 503 and any("pgbouncer" in reason for reason in answer.json["reasons"]), answer.body
        assert tool(stack, "ctl", "start", "pgbouncer").returncode == 0
        until(lambda: post(stack, 3).status == 201, "rows are written again", BACK, 0.05)
        code, seconds = stack.stop()
        assert code == 0 and seconds < 9, (code, seconds, stack.output())
        assert not (stack.run_directory / ".s.PGSQL.6432").exists()
    stack.assert_shut_down()


def test_many_requests_share_few_sessions_of_the_server(launch):
    with launch("genie", HIVE_PGBOUNCER="true", HIVE_PGBOUNCER_POOL_SIZE="2") as stack:
        stack.wait_healthy()
        with concurrent.futures.ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda number: post(stack, number).status, range(200)))
        assert answers == [201] * 200
        assert clients(stack) > 2
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = 'hive_genie'" \
            " AND usename = 'hive' AND pid <> pg_backend_pid()"
        assert 1 <= int(stack.psql(query)) <= 2
        # What a session of its own would have been told: times in UTC.
        listed = get(stack.port, RESOURCE["genie"] + "?limit=1").json
        assert listed["total"] == 200 and listed["items"][0]["created_at"].endswith("Z")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
@pytest.mark.parametrize("victim", ["pgbouncer", "postgresql"])
def test_killed_or_frozen_it_is_replaced_and_nothing_is_lost(launch, victim, number):
    with launch("genie", HIVE_PGBOUNCER="true") as stack:
        stack.wait_healthy()
        with Ledger(stack) as ledger:
            ledger.wait_progress()
            pid = stack.host_pid(victim)
            os.kill(pid, number)
            until(lambda: not os.path.exists(f"/proc/{pid}"), lambda: f"{victim} is replaced: {stack.document()}{stack.output()}", BACK, 0.02)
            stack.wait_healthy(BACK)
            ledger.wait_progress(50)
            ledger.verify()
        assert clients(stack) >= 1


def test_pgbouncer_on_a_server_port_that_is_its_own_is_refused(launch):
    stack = launch("genie", HIVE_PGBOUNCER="true", HIVE_PG_PORT="6432")
    stack.start()
    assert stack.process.wait(30) == 64
    assert "cannot use HIVE_PG_PORT=6432" in stack.output()


# --- redis -----------------------------------------------------------------------------------------------------------------


def test_redis_keeps_what_it_held_over_a_stop(launch, mode):
    with launch("genie", mode, HIVE_REDIS="true") as stack:
        document = stack.wait_healthy()
        assert document["services"]["redis"]["state"] == "RUNNING"
        assert_private_socket(stack.run_directory / "redis.sock")
        assert redis(stack, "SET", "key", "value") == "OK"
        # It is on the socket and nowhere else.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 6379), 1)
        code, seconds = stack.stop()
        assert code == 0 and seconds < 9, (code, seconds, stack.output())
    dump = stack.data / ".hivesup" / "redis.rdb"
    assert dump.stat().st_size > 0 and stat.S_IMODE(dump.stat().st_mode) & 0o077 == 0
    stack.assert_shut_down()
    with stack:
        stack.wait_healthy()
        assert redis(stack, "GET", "key") == "value"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_redis_killed_or_frozen_is_replaced_and_the_api_does_not_notice(launch, number):
    with launch("genie", HIVE_REDIS="true") as stack:
        stack.wait_healthy()
        with Ledger(stack) as ledger:
            ledger.wait_progress()
            pid = stack.host_pid("redis")
            os.kill(pid, number)
            until(lambda: not os.path.exists(f"/proc/{pid}"), lambda: f"redis is replaced: {stack.document()}{stack.output()}", BACK, 0.02)
            stack.wait_healthy(BACK)
            ledger.wait_progress()
            ledger.verify()
            assert ledger.refused == 0
        assert redis(stack, "PING") == "PONG"


# --- not there, or off -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name,variable", [("redis", "HIVE_REDIS"), ("pgbouncer", "HIVE_PGBOUNCER")])
def test_a_program_that_is_not_installed_is_named(launch, place, name, variable):
    command = {"redis": "redis-server", "pgbouncer": "pgbouncer"}[name]
    (place / "empty").mkdir()
    stack = launch("genie", SUBREAPER, PATH=str(place / "empty"), **{variable: "true"})
    with stack:
        until(lambda: stack.control.program(name)["state"] == "BACKOFF", lambda: f"{name} is missed: {stack.output()}", 30, 0.02)
        line = [line for line in tool(stack, "ctl", "status", name).stdout.splitlines() if line.startswith(name)]
        assert command in line[0], line
        reasons = [reason for reason in stack.control.health()["reasons"] if reason.startswith(name)]
        assert reasons and command in reasons[0], stack.control.health()["reasons"]
        assert get(stack.port).status == 503
        if name == "redis":
            # Nobody waits for a cache.
            until(lambda: post(stack).status == 201, lambda: f"rows are written: {stack.output()}", 30, 0.05)


def test_switched_off_they_are_there_to_be_seen_and_harm_nobody(launch):
    with launch("genie") as stack:
        stack.wait_healthy()
        for name in ("pgbouncer", "redis"):
            assert stack.control.program(name)["state"] == "STOPPED"
        done = tool(stack, "ctl", "status")
        assert done.returncode == 0 and done.stdout.count("Not started") == 2, done
        assert not (stack.run_directory / "pgbouncer.ini").exists()
