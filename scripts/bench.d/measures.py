"""What is measured, and how. Every figure is of real processes: times are differences of CLOCK_MONOTONIC between a stamp of
ours and the stamp that the service takes in its main."""

import contextlib
import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

import processes


class Trouble(Exception):
    """A supervisor did not do what was to be measured."""


def memory_directory():
    """Where supervisors keep their files: in memory, as below a container's /run. A disk's journal would be measured with them."""
    with open("/proc/self/mounts") as mounts:
        kinds = {words[1]: words[2] for words in map(str.split, mounts)}
    return next((path for path in ("/run", "/dev/shm") if kinds.get(path) == "tmpfs" and os.access(path, os.W_OK)), "/tmp")


class Bench:
    """A directory with the programs and the socket that they report to, and one for the supervisors' files."""

    def __init__(self, sources):
        self.directory = tempfile.mkdtemp(prefix="hsb.", dir="/tmp")
        self.files = tempfile.mkdtemp(prefix="hsb.", dir=memory_directory())
        self.service = f"{self.directory}/service"
        self.orphans = f"{self.directory}/orphans"
        self.spawns = f"{self.directory}/spawns"
        for program in (self.service, self.orphans, self.spawns):
            source = os.path.join(sources, os.path.basename(program) + ".c")
            subprocess.run(["cc", "-O2", "-static", "-o", program, source], check=True)
        self.socket = f"{self.directory}/socket"
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.receiver.bind(self.socket)

    def close(self):
        self.receiver.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.files, ignore_errors=True)

    def receive(self, deadline):
        """The next report as [name, number, number], or None at the monotonic time `deadline`."""
        while True:
            try:
                name, first, second = self.receiver.recv(512).decode().split()
                return name, int(first), int(second)
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self.receiver], [], [], left)[0]:
                    return None

    def drain(self):
        while self.receive(0):
            pass

    @contextlib.contextmanager
    def running(self, kind, commands=None, count=None, namespace=False):
        """`kind` with its services, up: yields a Run. Whatever happens, nothing of it is left afterwards."""
        directory = tempfile.mkdtemp(dir=self.files)
        supervisor = kind(directory, self.service, self.socket)
        commands = commands(self) if commands else supervisor.services([f"s{i:04}" for i in range(count)])
        argv, extra = supervisor.prepare(commands)
        if namespace:
            prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
            argv = prefix + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"]) + argv
        self.drain()
        with open(f"{directory}/output", "wb") as output:
            begun = time.monotonic_ns()
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory, env={**os.environ, **extra}
            )
        run = Run(self, supervisor, process, begun, commands)
        try:
            yield run
        finally:
            run.kill()
            shutil.rmtree(directory, ignore_errors=True)


class Run:
    """A running supervisor."""

    def __init__(self, bench, supervisor, process, begun, commands):
        self.bench, self.supervisor, self.process, self.begun = bench, supervisor, process, begun
        self.commands = commands
        self.up = {}

    def wait_up(self, timeout=60):
        """Until every service has reported; returns the boot time in ms."""
        deadline = time.monotonic() + timeout
        last = 0
        while len(self.up) < len(self.commands):
            report = self.bench.receive(deadline)
            if report is None:
                raise Trouble(
                    f"{self.supervisor.name}: {len(self.up)} of {len(self.commands)} services up after {timeout} s\n"
                    + self.output()
                )
            name, pid, stamp = report
            self.up[name] = (pid, stamp)
            last = max(last, stamp)
        return (last - self.begun) / 1e6

    def output(self):
        with open(f"{self.supervisor.directory}/output", errors="replace") as file:
            return file.read()[-2000:]

    def own(self):
        """The supervisor's own processes: the tree without the services."""
        return [pid for pid in processes.tree(self.process.pid) if processes.executable(pid) != self.bench.service]

    def stop(self, timeout=60):
        """Asks it to stop; returns the ms until it and every process below it were gone."""
        pids = processes.tree(self.process.pid)
        begun = time.monotonic_ns()
        self.process.send_signal(self.supervisor.stop_signal)
        gone = processes.wait_gone(pids, timeout)
        if gone is None:
            raise Trouble(f"{self.supervisor.name}: still there {timeout} s after {self.supervisor.stop_signal!r}")
        self.process.wait()
        return (gone - begun) / 1e6

    def kill(self):
        pids = processes.tree(self.process.pid) if self.process.poll() is None else []
        # The supervisor first, or it would start again what is killed.
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        processes.wait_gone(pids, 10)


def spread(values):
    values = sorted(values)
    return {
        "n": len(values),
        "min": values[0],
        "median": statistics.median(values),
        "p90": values[min(len(values) - 1, int(len(values) * 0.9))],
        "max": values[-1],
    }


def settle(run, seconds):
    """Lets `seconds` of quiet go by: start-up timers (supervisord's startsecs) must not be charged to being idle."""
    time.sleep(seconds)
    if run.process.poll() is not None:
        raise Trouble(f"{run.supervisor.name} ended by itself\n" + run.output())


def boot_and_stop(bench, kind, count, rounds):
    boots, stops = [], []
    for _ in range(rounds):
        with bench.running(kind, count=count) as run:
            boots.append(run.wait_up())
            # A supervisor that counts its services as starting is not what one stops in production.
            settle(run, 1.3)
            stops.append(run.stop())
    return {"boot_ms": spread(boots), "stop_ms": spread(stops)}


def resident(bench, kind, count, seconds):
    """Memory and idle wake-ups with `count` services, in one run."""
    with bench.running(kind, count=count) as run:
        run.wait_up()
        # Long enough for what each does once when it has become idle (hivesup gives code pages back after 3 s).
        settle(run, 5)
        own = run.own()
        result = {"processes": len(own), "memory_kib": processes.memory(own)}
        before, begun = processes.context_switches(own), time.monotonic()
        settle(run, seconds)
        result["wakeups_per_s"] = (processes.context_switches(own) - before) / (time.monotonic() - begun)
    return result


def restarts(bench, kind, samples):
    """kill -9 of one of two services in turn → the main of the new one. Each is up for more than 2.5 s before: throttles of
    fast restarts (which every one of them has) are not what is measured."""
    with bench.running(kind, count=2) as run:
        run.wait_up()
        settle(run, 3)
        names = sorted(run.up)
        taken, killed = [], {}
        for i in range(samples):
            name = names[i % 2]
            time.sleep(max(0.0, killed.get(name, 0) + 2.6 - time.monotonic()))
            pid = run.up[name][0]
            killed[name] = time.monotonic()
            begun = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            report = bench.receive(time.monotonic() + 15)
            if report is None or report[0] != name:
                raise Trouble(f"{kind.name}: {name} was not started again within 15 s (got {report})\n" + run.output())
            run.up[name] = report[1:]
            taken.append((report[2] - begun) / 1e6)
    return spread(taken)


def orphans(bench, kind, count, rounds):
    """As PID 1 of a namespace of its own: `count` orphans end at one moment; ms until the last one is reaped."""
    taken = []
    for _ in range(rounds):
        def commands(bench):
            return {"orphans": [bench.orphans, str(count), bench.socket]}

        with bench.running(kind, commands=commands, namespace=True) as run:
            report = bench.receive(time.monotonic() + 60)
            if report is None:
                raise Trouble(f"{kind.name}: {count} orphans were not reaped within 60 s\n" + run.output())
            taken.append(report[2] / 1e6)
        # supervisord reaps a hundred a second: once is enough to see it.
        if taken[-1] > 10_000:
            break
    return spread(taken)


def status(bench, kind, count, samples):
    """The command that prints the state of `count` services: ms from its start to its end."""
    with bench.running(kind, count=count) as run:
        run.wait_up()
        settle(run, 1.5)
        argv = run.supervisor.status()
        if argv is None:
            return None
        taken = []
        for _ in range(samples):
            begun = time.monotonic_ns()
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            taken.append((time.monotonic_ns() - begun) / 1e6)
            if done.returncode != 0:
                raise Trouble(f"{kind.name}: {' '.join(argv)}: status {done.returncode}\n{done.stdout.decode()[-500:]}")
    return spread(taken)
