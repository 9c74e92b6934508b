"""A lack of descriptors, processes or memory passes; what it must not do is end a program's life, leak, or be taken for success.
Each of these is a bug that was found in a peer."""

import os
import resource
import signal
import subprocess
import time

import pytest

from lab import processes
from lab.config import ini, program
from lab.daemon import HIVESUP, SUBREAPER
from lab.waiting import until


def test_a_start_without_free_descriptors_is_repeated_until_there_are_some(make, mode):
    """vminitd reports success; pebble leaves the service in backoff for ever. startretries=0: a shortage is no attempt."""
    with make(program("main", "/bin/sleep 1000", startsecs=0, startretries=0), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        main = daemon.host_pid("main")
        used = max(processes.descriptors(daemon.pid)) + 1
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (min(used, 3), before[1]))
        os.kill(main, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{main}"), "main is reaped although nothing can be opened")
        time.sleep(0.3)
        assert processes.children(daemon.pid) == []
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        daemon.wait_state("main", "RUNNING", timeout=10)
        assert daemon.stop()[0] == 0, daemon.output()


def test_a_start_without_free_processes_is_repeated_and_no_signal_stays_blocked(make, directory):
    """swift-subprocess keeps 53 signals blocked after one EAGAIN. RLIMIT_NPROC does not bind root: an ordinary user runs it."""
    ordinary = [] if os.geteuid() else ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if ordinary:
        os.chmod(directory, 0o777)
    daemon = make(mode=SUBREAPER, command=[*ordinary, HIVESUP, "run", "-c", str(directory / "hivesup.conf")])
    daemon.write(program("main", "/bin/sleep 1000", startsecs=0, startretries=0))
    with daemon:
        daemon.wait_state("main", "RUNNING")
        def limit(soft):
            # Of another user's process only that user may change it, unless one has CAP_SYS_RESOURCE.
            subprocess.run([*ordinary, "prlimit", "--pid", str(daemon.pid), f"--nproc={soft}:"], check=True)

        with open(f"/proc/{daemon.pid}/limits") as file:
            before = next(line.split()[2] for line in file if line.startswith("Max processes"))
        blocked = processes.status(daemon.pid, "SigBlk")
        limit(0)
        os.kill(daemon.host_pid("main"), signal.SIGKILL)
        until(lambda: processes.children(daemon.pid) == [], "main is gone")
        time.sleep(0.3)
        assert processes.children(daemon.pid) == []
        assert processes.status(daemon.pid, "SigBlk") == blocked
        limit(before)
        daemon.wait_state("main", "RUNNING", timeout=10)
        status, seconds = daemon.stop()
        assert status == 0 and seconds < 2, (status, seconds)


def test_a_hundred_failed_starts_leak_no_descriptor(make, mode):
    with make(program("main", "/nonexistent/program", startretries=1_000_000, backoff="initial:0.005, factor:1, max:0.005, jitter:0"), mode=mode) as daemon:
        until(lambda: daemon.state("main") in ("BACKOFF", "STARTING"), "it tries")
        with daemon.keeps_descriptors():
            begun = daemon.text().count("/nonexistent/program")
            until(lambda: daemon.text().count("/nonexistent/program") >= begun + 100, "a hundred more attempts")


def test_a_thousand_restarts_leak_nothing(make, mode):
    """Descriptors, zombies and resident memory stay where they were. They are crashes: between expected exits there would be a second."""
    with make(program("main", "/bin/false", startsecs=0, autorestart=True,
                      backoff="initial:0.001, factor:1, max:0.001, jitter:0"), mode=mode) as daemon:
        def restarts():
            return daemon.control.program("main")["restarts"]

        until(lambda: restarts() >= 200, lambda: f"200 restarts: {daemon.control.program('main')}", 60)
        resident = int(processes.status(daemon.pid, "VmRSS")[0])
        until(lambda: restarts() >= 1200, lambda: f"1200 restarts: {daemon.control.program('main')}", 120)
        assert int(processes.status(daemon.pid, "VmRSS")[0]) - resident <= 256
        assert daemon.control.post("/v1/programs/main/stop").status == 200
        assert len(processes.descriptors(daemon.pid)) < 40


def test_idle_it_does_not_wake_up(make, mode):
    """No tick: not one context switch in two seconds without a check or a client."""
    with make(ini(*(program(f"p{n}", "/bin/sleep 1000", startsecs=0) for n in range(20))), mode=mode) as daemon:
        until(lambda: all(p["state"] == "RUNNING" for p in daemon.control.programs().values()), "all up")

        def switches():
            return int(processes.status(daemon.pid, "voluntary_ctxt_switches")[0])

        # What it does once when it has become idle is over.
        time.sleep(4)
        before = switches()
        time.sleep(2)
        assert switches() == before


def test_it_stays_small(make):
    """Four megabytes with two programs, one thread. The code that only starting needs is given back a while after."""
    with make(ini(program("one", "/bin/sleep 1000", startsecs=0), program("two", "/bin/sleep 1000", startsecs=0))) as daemon:
        for name in ("one", "two"):
            daemon.wait_state(name, "RUNNING")
        assert processes.status(daemon.pid, "Threads") == ["1"]
        until(lambda: int(processes.status(daemon.pid, "VmRSS")[0]) <= 4096, lambda: f"4 MB: {processes.status(daemon.pid, 'VmRSS')}", 10, 0.1)


def test_no_writable_directory_is_needed(make, directory):
    """A container with read_only: true: no control socket, no pid file, no log; it still runs its program and stops."""
    (directory / "hivesup.conf").write_text(
        "[supervisord]\nnodaemon=true\ncontrol_socket=none\nchildlogdir=/\n"
        "[program:main]\ncommand=/bin/sleep 1000\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\nstderr_logfile=NONE\nstartsecs=0\n")
    daemon = make().start()
    daemon.find()
    until(lambda: processes.children(daemon.pid), daemon.output, 5)
    assert sorted(os.listdir(directory)) == ["hivesup.conf", "stderr", "stdout"]
    assert daemon.stop()[0] == 0


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_it_starts_without_standard_descriptors(directory, make, closed):
    """Closed by whoever started it: what it opens next must not become its standard output."""
    daemon = make(program("main", "/bin/sleep 1000", startsecs=0))
    close = " ".join(f"{n}<&-" if n == 0 else f"{n}>&-" for n in closed)
    daemon.command = ["/bin/sh", "-c", f'exec "$0" run -c "$1" {close}', HIVESUP, str(daemon.config)]
    with daemon:
        daemon.wait_state("main", "RUNNING")
        open_now = processes.descriptors(daemon.pid)
        for number in closed:
            assert open_now.get(number, "") == "/dev/null", open_now
        assert daemon.stop()[0] == 0
