"""The whole stack on two classes of cores: the machine's CPU 0 is called a performance core, CPU 1 an efficiency core, and sensors of the
test's tell how hot it is. What counts is what the kernel and the server say: masks, SHOW, and the server's own log."""

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
from lab.stack import DATABASE, POSTGRES, Stack, tool
from lab.waiting import until

if not POSTGRES:
    raise pytest.UsageError("cannot test the stack: give HIVE_PG_BINDIR, or use scripts/test")

pytestmark = pytest.mark.skipif(not {0, 1} <= os.sched_getaffinity(0), reason="needs CPU 0 and CPU 1")

P, E, BOTH = {0}, {1}, {0, 1}
#: Autovacuum is asked for on the fast core, so that the heat has something to move at its first step.
CLASSES = {"HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1", "HIVE_PG_PIN_AUTOVACUUM": "performance", "HIVE_MONITOR_INTERVAL": "1"}
EFFICIENT = {"autovacuum launcher", "autovacuum worker", "logical replication launcher", "archiver"}
FAST = {"postmaster", "backend", "walwriter", "checkpointer", "background writer"}
RELOAD = "received SIGHUP, reloading"


def role(pid, postmaster):
    """What a process of the server is for, by its title; None while it has none."""
    if pid == postmaster:
        return "postmaster"
    title = " ".join(processes.command(pid)).strip()
    if not title.startswith("postgres: "):
        return None
    # cluster_name of etc/genie/postgresql.conf.
    text = title.removeprefix("postgres: ").removeprefix("hive-genie: ")
    if " [local] " in text:
        return "backend"
    return next((name for name in EFFICIENT | FAST if text.startswith(name)), text)


class Sensors:
    """A sysfs with one sensor."""

    def __init__(self, directory):
        self.root = directory / "sys"
        device = self.root / "class/hwmon/hwmon0"
        device.mkdir(parents=True)
        (device / "name").write_text("coretemp\n")
        (device / "temp1_label").write_text("Package id 0\n")
        self.file = device / "temp1_input"
        self.set(50)

    def set(self, celsius):
        """As the kernel changes it: whole."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{round(celsius * 1000)}\n")
        new.replace(self.file)


class Cores(Stack):
    """A stack whose processes' masks are looked at."""

    def __init__(self, directory, environment=CLASSES, **options):
        super().__init__(directory, "genie", **options)
        self.sensors = Sensors(pathlib.Path(directory))
        self.environment.update({**environment, "HIVESUP_SYSFS_ROOT": str(self.sensors.root)})

    def masks(self):
        """{role: the different masks of its processes} of the server."""
        postmaster, found = self.postgres_pid(), {}
        for pid in [postmaster, *processes.children(postmaster)]:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                name = role(pid, postmaster)
                if name:
                    found.setdefault(name, set()).add(frozenset(os.sched_getaffinity(pid)))
        return found

    def are(self, **expected):
        """Whether all processes of these roles have these masks."""
        masks = self.masks()
        return all(masks.get(name.replace("_", " ")) == {frozenset(cpus)} for name, cpus in expected.items())

    @contextlib.contextmanager
    def session(self):
        """A backend that is there throughout: those of the monitor and of the API's pool come and go."""
        database, user, _ = DATABASE[self.role]
        client = subprocess.Popen(
            [f"{POSTGRES}/psql", "-X", "-A", "-t", "-q", "-h", str(self.run_directory), "-p", str(self.pg_port), "-U", user, "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": "5"})
        try:
            print("SELECT 1;", file=client.stdin, flush=True)
            assert client.stdout.readline() == "1\n"
            yield
        finally:
            client.kill()
            client.communicate()

    def thermal(self):
        answer = self.control.get("/v1/thermal")
        return answer.json if answer.status == 200 else {}

    def wait_state(self, state, timeout=30):
        until(lambda: self.thermal().get("state") == state, lambda: f"{state}: {self.thermal()}{self.output()}", timeout, 0.02)

    def setting(self, name):
        return self.psql(f"SHOW {name}")

    def reloads(self):
        return self.stdout_path.read_text(errors="replace").count(RELOAD)

    def metric(self, name):
        lines = self.control.get("/metrics").body.decode().splitlines()
        return next((line.rpartition(" ")[2] for line in lines if line.startswith((name + " ", name + "{"))), None)


@pytest.fixture
def place():
    path = pathlib.Path(tempfile.mkdtemp(prefix="hsc.", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def running(place, **options):
    stack = Cores(place, mode=PID1, **options)
    try:
        with stack:
            stack.wait_healthy()
            yield stack
            assert stack.stop()[0] == 0, stack.output()
            stack.assert_shut_down()
    finally:
        stack.destroy()


NORMAL = dict(postmaster=P, backend=P, walwriter=P, checkpointer=P, background_writer=P, autovacuum_launcher=P, logical_replication_launcher=E)
WARNING = {**NORMAL, "autovacuum_launcher": E}
CRITICAL = {**WARNING, "postmaster": E, "backend": E}


def test_each_process_runs_on_the_cores_of_its_role(place):
    """Under connections that come and go (pgbench -C), and with autovacuum at work."""
    classes = {name: value for name, value in CLASSES.items() if name != "HIVE_PG_PIN_AUTOVACUUM"}
    with running(place, environment=classes) as stack:
        expected = {**NORMAL, "autovacuum_launcher": E}
        until(lambda: stack.are(**expected), lambda: f"{stack.masks()}{stack.output()}")
        assert os.sched_getaffinity(stack.host_pid("health-monitor")) == E
        database, user, _ = DATABASE["genie"]
        connection = ["-h", str(stack.run_directory), "-p", str(stack.pg_port), "-U", user]
        bench = [f"{POSTGRES}/pgbench", *connection]
        subprocess.run([*bench, "-i", "-q", "-s", "2", database], check=True, capture_output=True, timeout=60)
        stack.psql("ALTER TABLE pgbench_accounts SET (autovacuum_vacuum_cost_delay = 20, autovacuum_vacuum_cost_limit = 20)")
        subprocess.run([f"{POSTGRES}/psql", "-X", "-q", "-h", str(stack.run_directory), "-p", str(stack.pg_port), "-U", "postgres", "-d", "postgres",
                        "-c", "ALTER SYSTEM SET autovacuum_naptime = '1s'", "-c", "SELECT pg_reload_conf()"], check=True, capture_output=True,
                       timeout=30)
        stack.psql("UPDATE pgbench_accounts SET abalance = abalance + 1")
        load = subprocess.Popen([*bench, "-C", "-S", "-c", "4", "-T", "8", database], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        postmaster, seen, wrong, first, late = stack.postgres_pid(), {}, [], {}, {}
        while load.poll() is None:
            now = time.monotonic()
            for pid in processes.children(postmaster):
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    name = role(pid, postmaster)
                    mask = os.sched_getaffinity(pid)
                    if name is None or role(pid, postmaster) != name:
                        continue
                    seen.setdefault(name, set()).add(pid)
                    if name in FAST:
                        if mask != P:
                            wrong.append((name, pid, mask))
                    elif name in EFFICIENT and mask != E:
                        late[pid] = now - first.setdefault(pid, now)
        assert load.returncode == 0, load.stdout.read()
        assert not wrong, wrong[:5]
        assert len(seen["backend"]) > 50 and seen.get("autovacuum worker"), {name: len(pids) for name, pids in seen.items()}
        # A quarter of a second, and what a busy machine adds.
        assert all(wait < 1 for wait in late.values()), late
        pinning = stack.thermal()["pinning"]
        assert pinning["profile"] == "by-class" and pinning["refused"] == []
        backends = next(one for one in pinning["roles"] if one["role"] == "backends")
        assert backends["cpus"] == "0" and backends["requested"] == "performance" and backends["processes"] >= 2
        assert float(stack.metric('hivesup_postgres_processes{role="walwriter",cpus="0"}')) == 1
        assert float(stack.metric("hivesup_postgres_affinity_refused")) == 0

        # A new server is no different.
        os.kill(postmaster, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{postmaster}"), "the postmaster is gone")
        stack.wait_healthy()
        until(lambda: stack.are(**expected), lambda: f"{stack.masks()}{stack.output()}")


def test_roles_come_back_after_the_whole_tree_was_moved(place):
    """By a pin, which stands for a reload and for CPUs that come: no check is near that would notice."""
    with running(place, environment={**CLASSES, "HIVE_MONITOR_INTERVAL": "20"}) as stack:
        until(lambda: stack.are(**NORMAL), lambda: f"{stack.masks()}{stack.output()}", 30)
        slowest = 0
        for _ in range(5):
            assert stack.control.post("/v1/programs/postgresql/pin?class=efficiency").status == 200
            begun = time.monotonic()
            until(lambda: stack.are(**NORMAL), lambda: f"{stack.masks()}{stack.output()}", 10, 0.02)
            slowest = max(slowest, time.monotonic() - begun)
            time.sleep(0.4)
        # A quarter of a second, and what a busy machine adds.
        assert slowest < 3, slowest


def test_settings_masks_and_health_follow_the_temperature(place):
    with running(place) as stack:
        stack.wait_state("normal")
        until(lambda: stack.are(**NORMAL), lambda: f"{stack.masks()}{stack.output()}")
        workers = stack.setting("max_parallel_workers")
        delay = stack.setting("autovacuum_vacuum_cost_delay")
        # The server's own values are learned from a session.
        time.sleep(2.5)
        begun, before = time.monotonic(), stack.reloads()

        stack.sensors.set(81)
        stack.wait_state("warning")
        until(lambda: stack.setting("max_parallel_workers") == str(int(workers) // 2), lambda: stack.setting("max_parallel_workers"))
        until(lambda: stack.are(**WARNING), lambda: f"{stack.masks()}")

        # Up and down around the threshold: one change.
        stop = threading.Event()

        def flap():
            while not stop.is_set():
                stack.sensors.set(85.2)
                stop.wait(0.7)
                stack.sensors.set(84.8)
                stop.wait(0.7)

        flapper = threading.Thread(target=flap)
        flapper.start()
        try:
            stack.wait_state("critical")
            hot = time.monotonic()
            until(lambda: stack.setting("max_parallel_workers") == "0", lambda: stack.setting("max_parallel_workers"))
            assert stack.setting("autovacuum_vacuum_cost_delay") == "20ms"
            until(lambda: stack.are(**CRITICAL), lambda: f"{stack.masks()}")
            # The walwriter, for which everybody waits, stays.
            assert stack.masks()["walwriter"] == {frozenset(P)}
            health = get(stack.port).json
            assert health["thermal"]["state"] == "critical" and health["thermal"]["celsius"] > 84
            assert float(stack.metric("hivesup_thermal_state")) == 2 and float(stack.metric("system_cpu_temperature")) > 84
            shown = tool(stack, "ctl", "thermal", "--socket", stack.socket)
            assert shown.returncode == 3 and "critical" in shown.stdout and "CPU 1: backends (heat)" in shown.stdout, shown
            time.sleep(max(0, hot + 8 - time.monotonic()))
            assert stack.reloads() - before == 2
        finally:
            stop.set()
            flapper.join()

        stack.sensors.set(60)
        stack.wait_state("warning")
        until(lambda: stack.are(**WARNING), lambda: f"{stack.masks()}")
        until(lambda: stack.setting("autovacuum_vacuum_cost_delay") == delay, lambda: stack.setting("autovacuum_vacuum_cost_delay"))
        stack.wait_state("normal", 60)
        until(lambda: stack.setting("max_parallel_workers") == workers, lambda: stack.setting("max_parallel_workers"))
        until(lambda: stack.are(**NORMAL), lambda: f"{stack.masks()}")
        assert get(stack.port).json["thermal"]["state"] == "normal"
        assert tool(stack, "ctl", "thermal", "--socket", stack.socket).returncode == 0
        # Every change is one reload, and the changes are a dwell apart but for the rise to critical.
        count = stack.reloads() - before
        assert count == 4 and count <= 2 + (time.monotonic() - begun) / 10, count


def test_a_monitor_that_dies_in_the_heat_leaves_nothing_behind(place):
    with running(place) as stack:
        stack.wait_state("normal")
        until(lambda: stack.are(**NORMAL), lambda: f"{stack.masks()}{stack.output()}")
        workers = stack.setting("max_parallel_workers")
        stack.sensors.set(95)
        stack.wait_state("critical")
        until(lambda: stack.are(**CRITICAL) and stack.setting("max_parallel_workers") == "0", lambda: f"{stack.masks()}")
        monitor = stack.host_pid("health-monitor")
        stack.sensors.set(50)
        os.kill(monitor, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{monitor}"), "the monitor is gone")
        until(lambda: stack.are(**NORMAL), lambda: f"{stack.masks()}{stack.output()}")
        until(lambda: stack.setting("max_parallel_workers") == workers, lambda: stack.setting("max_parallel_workers"))
        stack.wait_state("normal")
        stack.wait_healthy()


def test_lost_sensors_keep_the_brakes_and_a_stop_takes_them_off(place):
    """What cannot be read is not cold; but when nobody watches any more, nothing may stay behind."""
    with running(place) as stack, stack.session():
        stack.wait_state("normal")
        workers = stack.setting("max_parallel_workers")
        stack.sensors.set(95)
        stack.wait_state("critical")
        until(lambda: stack.are(**CRITICAL), lambda: f"{stack.masks()}")
        for garbage in ("-274000\n", "hot\n", None):
            if garbage is None:
                stack.sensors.file.unlink()
            else:
                stack.sensors.file.write_text(garbage)
            time.sleep(1.2)
        until(lambda: stack.thermal()["knowledge"] == "unknown", lambda: f"{stack.thermal()}{stack.output()}")
        assert stack.thermal()["state"] == "critical" and get(stack.port).json["thermal"]["knowledge"] == "unknown"
        assert tool(stack, "ctl", "thermal", "--socket", stack.socket).returncode == 3
        assert stack.are(**CRITICAL) and stack.setting("max_parallel_workers") == "0", stack.masks()
        assert tool(stack, "ctl", "stop", "health-monitor", "--socket", stack.socket).returncode == 0
        until(lambda: stack.are(**NORMAL), lambda: f"{stack.masks()}{stack.output()}")
        until(lambda: stack.setting("max_parallel_workers") == workers, lambda: stack.setting("max_parallel_workers"))


def test_switched_off_the_server_is_left_alone(place):
    """But for what the program itself asks for in hivesup.conf: all of it on fast cores."""
    with running(place, environment={**CLASSES, "HIVE_PG_PIN": "off", "HIVE_PG_PIN_AUTOVACUUM": ""}) as stack:
        time.sleep(1.5)
        masks = stack.masks()
        assert len(masks) >= 6 and set().union(*masks.values()) == {frozenset(P)}, masks
        assert "pinning" not in stack.thermal()
