"""What runs out, or is not as it should be: disk, memory, the reader of the container's output, the clock. No acknowledged row is lost, the
port answers, the reason is told, and where possible it ends without a person."""

import pathlib
import re
import struct
import subprocess
import threading
import time

from lab import docker as engine
from lab.container import GENIE, cluster_state
from lab.docker import docker
from lab.traffic import HealthLog, Ledger, Prober
from lab.waiting import until

DATA = "/var/lib/postgresql/data"


def metric(one, name):
    """The value of a sample of /metrics, named with its labels; nil when there is none."""
    text = one.request("GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else None


def reasons(one):
    try:
        document = one.request("GET", "/api/v1/health", timeout=3).json
    except OSError as error:
        return repr(error)
    return f"{document['status']}: {'; '.join(document['reasons'])}"


def writes_again(one, ledger):
    until(one.ready, lambda: f"healthy: {reasons(one)}\n{one.describe()}", 60)
    count = len(ledger.acknowledged)
    until(lambda: len(ledger.acknowledged) > count + 5, lambda: f"rows are acknowledged\n{one.describe()}", 30)
    assert ledger.missing() == set()


# --- the disk ----------------------------------------------------------------------------------------------------------------------

#: WAL and nothing else, until there is no room for more of it: PostgreSQL's answer is a PANIC.
WAL = "SELECT count(pg_logical_emit_message(false, 'test', repeat('x', 100000))) FROM generate_series(1, 2000)"


def test_a_full_disk(role, container, volume, capsys):
    """400 MB, 64 of them ballast. Full: reading goes on, writing fails, health says why. Out of WAL: the ballast pays for the recovery. Out
    of WAL again: PostgreSQL waits for space, in a container that is there and says so; also when it is started like this. Space: it goes on
    by itself. No acknowledged row is lost."""
    data = volume("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=400m,uid=1000,gid=0,mode=2775")
    # A tmpfs is there as long as somebody has it mounted; and somebody has to make room at the end.
    other = container(role)
    docker("run", "--detach", "--name", other.name, "--label", engine.LABEL, "--volume", f"{data}:{DATA}", "--network", "none",
           "--entrypoint", "sleep", role.image, "600")
    one = container(role)
    with HealthLog(one) as health:
        one.run("--volume", f"{data}:{DATA}", "--env", "HIVE_BALLAST_MB=64")
        one.wait_ready()
        one.wait_health()
        with Ledger(one, pause=0.05) as ledger, Prober(one) as prober:
            writes_again(one, ledger)
            assert one.shell(f"stat -c %s {DATA}/.hivesup/ballast").stdout.strip() == str(64 << 20)
            one.shell(f"cat /dev/zero >{DATA}/filler", check=False)
            until(lambda: "disk full" in reasons(one), lambda: f"health says why: {reasons(one)}", 15)
            failed = one.exec(*one.psql_command(), "-c", "CREATE TABLE large AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 50000) n", check=False)
            assert "No space left on device" in failed.stderr, failed
            assert ledger.missing() == set()
            until(lambda: "unhealthy" in health.statuses, lambda: f"docker says so\n{one.describe()}", 20)

            one.psql(WAL, check=False)
            one.wait_log("giving up 64 MB of ballast")
            until(lambda: one.programs()["postgresql"]["restarts"] == 1 and one.programs()["postgresql"]["ready"], one.describe)
            assert ledger.missing() == set()
            until(lambda: "disk full" in reasons(one), lambda: f"health says why: {reasons(one)}", 15)

            one.shell(f"cat /dev/zero >{DATA}/filler2", check=False)
            one.psql(WAL, check=False)
            one.wait_log("It starts by itself when there is room")
            until(lambda: "waiting for space" in reasons(one), lambda: f"health says what it waits for: {reasons(one)}", 15)
            time.sleep(2)
            program = one.programs()["postgresql"]
            assert (program["state"], program["restarts"], program["failed_starts"]) == ("STARTING", 2, 0), program
            assert one.create(0) is None
            assert prober.refused == []
    promised = set(ledger.acknowledged)

    # Stopped and started as it is.
    status, seconds = one.stop()
    assert status == 0 and seconds < 5, (status, seconds, one.describe())
    one.start()
    until(lambda: "waiting for space" in reasons(one), lambda: f"health says what it waits for: {reasons(one)}\n{one.describe()}", 30)
    assert reasons(one).startswith("starting")
    begun = time.monotonic()
    other.shell(f"rm {DATA}/filler {DATA}/filler2")
    until(one.ready, lambda: f"healthy: {reasons(one)}\n{one.describe()}", 30)
    with capsys.disabled():
        print(f"\nhealthy {time.monotonic() - begun:.1f} s after there was space again")
    assert "there is room again" in one.logs()
    assert promised <= one.ids() and len(promised) > 10
    assert one.create(1)
    assert one.shell(f"stat -c %s {DATA}/.hivesup/ballast").stdout.strip() == str(64 << 20), "the ballast is there again"
    assert one.stop()[0] == 0
    assert cluster_state(data, role.image) == "shut down"


# --- memory ------------------------------------------------------------------------------------------------------------------------

#: Doubles an array in one backend's memory.
GREED = "DO $$ DECLARE a text[] := '{}'; BEGIN FOR n IN 1..1000000 LOOP a := a || repeat(md5(n::text), 32768); END LOOP; END $$"
#: tail keeps the last line of its input, which never ends.
EATER = """[program:eater]
command=/usr/bin/tail /dev/zero
autostart=false
autorestart=false
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
"""


def test_the_memory_limit(role, container):
    """The kernel kills the backend that has it all, not the postmaster, not the API, not PID 1. PostgreSQL recovers; the log says what it was."""
    one = container(role).run("--memory", "512m", "--memory-swap", "512m", files={"/etc/hivesup/conf.d/eater.conf": EATER})
    one.wait_ready()
    until(lambda: one.programs()["health-monitor"]["ready"], "the monitor is there")
    with Ledger(one) as ledger, Prober(one) as prober:
        writes_again(one, ledger)
        before = {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()}
        failed = one.exec(*one.psql_command(), "-c", GREED, check=False, timeout=60)
        assert "server closed the connection unexpectedly" in failed.stderr, failed
        writes_again(one, ledger)
        output = one.wait_log("out of memory: the kernel has killed a process of this container (1 since the start); the memory limit is 512 MB", 15)
        assert "was terminated by signal 9: Killed" in output and "ready to accept connections" in output
        assert {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()} == before
        assert metric(one, "hivesup_oom_kills_total") == 1
        assert any("out of memory" in event["cause"] and not event["program"] for event in one.events())

        # A program of hivesup's own: its last exit says it.
        one.ctl("start", "eater", check=False)
        ended = until(lambda: one.programs()["eater"]["last_exit"], lambda: f"it is killed\n{one.describe()}", 60)
        assert (ended["signal"], ended["oom_killed"]) == ("SIGKILL", True), one.describe()
        writes_again(one, ledger)
        assert {name: value for name, value in before.items() if name != "eater"} == {
            name: (p["pid"], p["restarts"]) for name, p in one.programs().items() if name != "eater"}
        assert prober.refused == []
    assert one.inspect()["RestartCount"] == 0 and one.running()
    assert one.stop()[0] == 0


# --- the reader of the output ------------------------------------------------------------------------------------------------------

FLOOD = "DO $$ BEGIN FOR n IN 1..8000 LOOP RAISE LOG '{word} % {filling}', n; END LOOP; END $$"
DROPPED = 'hivesup_output_dropped_lines_total{stream="stdout"}'


def flood(one, word):
    """8000 lines of half a kilobyte into PostgreSQL's log."""
    return one.psql(FLOOD.format(word=word, filling="x" * 400), timeout=60)


class Reader(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.text = pipe, ""

    def run(self):
        for line in self.pipe:
            self.text += line if isinstance(line, str) else line.decode(errors="replace")


def foreground(one):
    """`docker run` without --detach: the container's output comes out of it."""
    process = subprocess.Popen(
        ["docker", "run", "--name", one.name, "--label", engine.LABEL, "--publish", f"127.0.0.1::{GENIE.port}", GENIE.image],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: docker("container", "inspect", one.name, check=False).returncode == 0 and one.running(), "it runs", 30)
    one.renew()
    one.wait_ready()
    return process


def ended(pid):
    """Whether a process of this machine is gone, or waits for its parent only."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_reader_that_does_not_read_stops_nobody(container, capsys):
    """`docker run` in the foreground, whose own output nobody reads: the engine stops reading the container's output, for its log too. Lines
    are dropped then, and counted; nothing waits. When it is read again, a line says how many there were. A stop does not wait for it."""
    one = container(GENIE)
    process = foreground(one)
    try:
        with Ledger(one) as ledger, Prober(one) as prober:
            writes_again(one, ledger)
            floods = 0
            while not metric(one, DROPPED):
                floods += 1
                assert floods <= 40, "160 MB found a reader"
                flood(one, "first")
            flood(one, "second")
            writes_again(one, ledger)
            one.ctl("status", check=False, timeout=5)
            assert one.exec("hivesup", "healthcheck").returncode == 0
            until(lambda: prober.answered > 50, "answers")
            assert prober.refused == [] and prober.lost == [] and prober.slowest < 5, (prober.refused, prober.lost, prober.slowest)
            dropped = metric(one, DROPPED)
            reader = Reader(process.stdout)
            reader.start()
            until(lambda: "lines dropped: the container's output is not read fast enough" in reader.text, lambda: f"it is told: {reader.text[-500:]!r}", 30)
            one.psql("DO $$ BEGIN RAISE LOG 'after the pause'; END $$")
            until(lambda: "after the pause" in reader.text, lambda: f"output goes on: {reader.text[-500:]!r}")
            told = re.findall(r"hivesupd log \| (?:[A-Z]+ )?(\d+) lines dropped", reader.text)
            assert sum(map(int, told)) == metric(one, DROPPED) >= dropped > 0, (told, dropped)
            # What came was whole, and in order.
            assert reader.text.index("lines dropped") < reader.text.index("after the pause")
            assert ledger.missing() == set()
            with capsys.disabled():
                print(f"\n{sum(map(int, told))} lines dropped after {floods} floods of 4 MB; slowest answer {prober.slowest * 1000:.0f} ms")
        status, seconds = one.stop()
        assert status == 0 and seconds < 5, (status, seconds, one.describe())
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_stop_does_not_wait_for_a_reader(container):
    """hivesup is gone in time. The engine (20.10) itself then waits for its client before it says so: until that is gone, too."""
    one = container(GENIE)
    process = foreground(one)
    try:
        for _ in range(40):
            if metric(one, DROPPED):
                break
            flood(one, "flood")
        assert metric(one, DROPPED)
        pid = one.inspect()["State"]["Pid"]
        begun = time.monotonic()
        stop = subprocess.Popen(["docker", "kill", "--signal", "TERM", one.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: ended(pid), lambda: f"PID 1 ends\n{one.describe()}", 8)
            assert time.monotonic() - begun < 5
        finally:
            process.kill()
            stop.wait(30)
        assert one.wait_exit() == 0
    finally:
        process.kill()
        process.wait()


# --- the clock ---------------------------------------------------------------------------------------------------------------------

LAB = pathlib.Path(__file__).parent / "lab"
#: Nothing but one program that runs by the clock.
SCHEDULE = """[supervisord]
nodaemon=true
control_socket=none
logfile=NONE
[program:nightly]
type=scheduled
schedule=0 3 * * *
command=/bin/true
"""


def compiled(tmp_path, name, *options):
    built = tmp_path / name
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", *options, "-o", built, LAB / f"{name}.c"], check=True, timeout=60)
    return built.read_bytes()


def test_programs_whose_clock_is_set(container, tmp_path):
    """PostgreSQL, the API and the monitor see the wall clock go forwards by more than a year, back to before the start, and right again. None
    of them hangs, none is restarted, and health never changes: what is waited for is measured by the monotonic clock."""
    shim = compiled(tmp_path, "clock", "-shared", "-fPIC")
    one = container(GENIE).run("--env", "LD_PRELOAD=/usr/local/lib/clock.so",
                               files={"/usr/local/lib/clock.so": shim, "/tmp/clock": bytes(4096)})
    one.wait_ready()
    one.wait_health()
    with Ledger(one, pause=0.02) as ledger, Prober(one) as prober:
        writes_again(one, ledger)
        before = {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()}
        for offset in (400 * 86400, -400 * 86400, 0):
            octets = "".join(f"\\{byte:03o}" for byte in struct.pack("<q", offset))
            one.shell(f"printf '{octets}' | dd of=/tmp/clock conv=notrunc status=none", user="0")
            ahead = float(one.psql("SELECT extract(epoch FROM clock_timestamp())")) - time.time()
            assert abs(ahead - offset) < 60, "the step was seen"
            # Longer than the liveness checks' interval, and than what the monitor keeps a connection for.
            time.sleep(6)
            writes_again(one, ledger)
        assert {name: (p["pid"], p["restarts"]) for name, p in one.programs().items()} == before
        assert {status for _, _, status, _ in prober.changes} == {"healthy"}, prober.changes
        assert prober.refused == [] and prober.slowest < 5
        years = one.psql(f"SELECT count(DISTINCT date_trunc('day', created_at)) FROM {one.role.table}")
        assert int(years) >= 3, "rows were written at all three times"
    status, seconds = one.stop()
    assert (status, seconds < 5) == (0, True), one.describe()


def switches(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE).group(1))


def test_pid_1_is_woken_when_the_clock_is_set(container, tmp_path):
    """On the kernel's word, not by looking every now and then: asleep before, awake once for each time the clock is set, asleep again. What it
    does then, the next run of what has a schedule computed anew, is in SupervisorCoreTests, where the clock may jump by years."""
    nudge = compiled(tmp_path, "nudge", "-static")
    one = container(GENIE).run("--no-healthcheck", "--cap-add", "SYS_TIME", command=["run", "-c", "/etc/hivesup/schedule.conf"], publish=False,
                               files={"/etc/hivesup/schedule.conf": SCHEDULE, "/usr/local/bin/nudge": nudge})
    pid = one.inspect()["State"]["Pid"]
    # What it does once when it has become idle is over then.
    time.sleep(5)
    asleep = switches(pid)
    one.exec("true", user="0")
    time.sleep(1)
    assert switches(pid) == asleep, "it woke up although nothing happened to it"
    one.exec("nudge", user="0")
    until(lambda: switches(pid) > asleep, lambda: f"woken\n{one.describe()}", 5)
    time.sleep(1)
    # Twice set: two turns of its loop at most, and once more to tidy up when it is idle again.
    assert switches(pid) - asleep <= 3
    assert one.running()
    assert one.stop()[0] == 0
