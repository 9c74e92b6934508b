"""hivesupd under test: a configuration in a directory of its own, started as `hivesup run` starts it."""

import collections
import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import time
import uuid

from . import processes
from .client import Control, Events
from .mailbox import Mailbox
from .waiting import LONG, Late, gone, until

BINARIES = pathlib.Path(
    os.environ.get("HIVE_BIN_DIR") or pathlib.Path(__file__).resolve().parents[3] / ".build/release"
)
HIVESUP = str(BINARIES / "hivesup")
HIVESUPD = str(BINARIES / "hivesupd")

#: Where it runs: as a child of the test (it makes itself a subreaper), or as PID 1 of a namespace.
SUBREAPER, PID1 = "subreaper", "pid1"


def unshare():
    """The prefix that makes a command PID 1. An ordinary user needs a user namespace around it, and stays that user in it: a container
    with USER, not one with root."""
    prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    return prefix if os.geteuid() == 0 else prefix + ["--user", "--map-current-user"]


class Daemon:
    """One hivesupd. `with` starts it, and afterwards sees that nothing of it is left."""

    def __init__(self, directory, text="", mode=SUBREAPER, environment=None, arguments=(), stdout=None, command=None):
        self.directory = pathlib.Path(directory)
        self.mode = mode
        self.arguments = list(arguments)
        self.command = command
        self.config = self.directory / "hivesup.conf"
        self.socket = str(self.directory / "control.sock")
        self.mark = uuid.uuid4().hex
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "E2E_MARK": self.mark, **(environment or {})
        }
        self.stdout_path, self.stderr_path = self.directory / "stdout", self.directory / "stderr"
        self.stdout = stdout
        self.process = self.pid = None
        self.control = Control(self.socket)
        self.box = None
        if text:
            self.write(text)

    def write(self, text):
        """Writes the configuration: `[supervisord]` is added with what every test wants, unless the text has one."""
        if "[supervisord]" not in text:
            text = "[supervisord]\n" + text
        head = f"[supervisord]\ncontrol_socket={self.socket}\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={self.directory}/pid\nchildlogdir={self.directory}\n"
        self.config.write_text(text.replace("[supervisord]\n", head, 1))

    def mailbox(self):
        """A mailbox at `box` in the daemon's directory."""
        if self.box is None:
            self.box = Mailbox(self.directory / "box")
        return self.box

    # --- start and stop ------------------------------------------------------------------------------------------------

    def start(self):
        argv = self.command or [HIVESUP, "run", "-c", str(self.config), *self.arguments]
        if self.mode == PID1:
            argv = unshare() + argv
        with contextlib.ExitStack() as stack:
            out = self.stdout if self.stdout is not None else stack.enter_context(open(self.stdout_path, "ab"))
            err = stack.enter_context(open(self.stderr_path, "ab"))
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.directory, env=self.environment,
                # Core files of the programs that are killed by signals are of no use here.
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
            )
        self.pid = self.process.pid
        return self

    def find(self):
        """Waits until hivesupd itself runs, and knows its process id."""
        def search():
            if self.process.poll() is not None:
                raise Late(f"hivesupd ended with {self.process.returncode} before it ran: {self.output()}")
            for pid in [self.process.pid, *processes.descendants(self.process.pid)]:
                if processes.executable(pid) == "hivesupd":
                    return pid
            return None

        self.pid = until(search, "hivesupd runs", pause=0.001)
        return self.pid

    def __enter__(self):
        self.start()
        self.find()
        self.ready()
        return self

    def ready(self):
        """Waits until the control socket answers."""
        def answers():
            if self.process.poll() is not None:
                raise Late(f"hivesupd ended with {self.process.returncode}: {self.output()}")
            try:
                return self.control.get("/livez").status == 200
            except OSError:
                return False

        until(answers, lambda: f"{self.socket} answers: {self.output()}", pause=0.002)

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                if self.process.poll() is None:
                    self.send(signal.SIGTERM)
                    self.wait()
                self.assert_nothing_left()
        finally:
            self.destroy()

    def destroy(self):
        """Kills whatever is left, so that one test's trouble is not the next one's."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            with contextlib.suppress(ProcessLookupError):
                if self.pid:
                    os.kill(self.pid, signal.SIGKILL)
            self.process.wait()
        for pid in processes.with_environment("E2E_MARK", self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.box is not None:
            self.box.close()
            self.box = None

    def send(self, number):
        """Sends a signal to hivesupd, also when it is PID 1 of a namespace."""
        os.kill(self.pid, number)

    def wait(self, timeout=LONG):
        """Waits for the end; returns the exit status as a shell would, 128 + number for a signal."""
        left = gone([self.process.pid], timeout)
        if left:
            raise Late(f"hivesupd has not ended within {timeout} s: {self.describe()}")
        status = self.process.wait()
        return status if status >= 0 else 128 - status

    def run(self, timeout=LONG):
        """Starts it and waits for its own end; returns the exit status. Nothing may be left."""
        try:
            self.start()
            status = self.wait(timeout)
            self.assert_nothing_left()
            return status
        finally:
            self.destroy()

    def stop(self, number=signal.SIGTERM, timeout=LONG):
        """Asks it to stop and waits; returns (exit status, seconds it took)."""
        begun = time.monotonic()
        self.send(number)
        status = self.wait(timeout)
        return status, time.monotonic() - begun

    # --- look --------------------------------------------------------------------------------------------------------------

    def output(self):
        """What it wrote so far, for messages."""
        text = ""
        for path in (self.stdout_path, self.stderr_path):
            if path.exists():
                text += f"\n--- {path.name}\n{path.read_text(errors='replace')[-4000:]}"
        return text

    def text(self, path=None):
        """Its standard error so far (or another file's text)."""
        return (path or self.stderr_path).read_text(errors="replace")

    def describe(self):
        tree = [(pid, processes.stat(pid), processes.command(pid)) for pid in [self.pid, *processes.descendants(self.pid)]]
        return f"{tree}{self.output()}"

    def children(self):
        return processes.children(self.pid)

    def state(self, name):
        return self.control.program(name)["state"]

    def wait_state(self, name, state, timeout=LONG):
        """Until the program `name` is in `state`; returns its status object."""
        def reached():
            program = self.control.program(name)
            return program if program["state"] == state else None

        return until(reached, lambda: f"{name} {state}: {self.control.program(name)}{self.output()}", timeout)

    def host_pid(self, name):
        """The host's id of a running program, also inside of a namespace."""
        inner = self.control.program(name)["pid"]
        assert inner, f"{name} has no process"
        return self.on_host(inner)

    def on_host(self, inner):
        """The host's id of what is called `inner` where the daemon runs."""
        if self.mode != PID1:
            return inner
        for pid in processes.descendants(self.pid):
            if processes.namespace_pid(pid) == inner:
                return pid
        raise AssertionError(f"no process with the id {inner} in the namespace")

    @contextlib.contextmanager
    def events(self):
        events = Events(self.socket)
        try:
            yield events
        finally:
            events.close()

    def assert_nothing_left(self):
        """No process of ours anywhere: the mark in the environment finds also those that changed their parent and session."""
        def left():
            return [pid for pid in processes.with_environment("E2E_MARK", self.mark) if processes.stat(pid) != "Z"]

        # The kernel ends a namespace's processes a moment after its PID 1.
        deadline = time.monotonic() + (2 if self.mode == PID1 else 0)
        while left() and time.monotonic() < deadline:
            time.sleep(0.005)
        rest = [(pid, processes.command(pid)) for pid in left()]
        assert not rest, f"processes left behind: {rest}{self.output()}"

    @contextlib.contextmanager
    def keeps_descriptors(self):
        """No descriptor more when the block is left than when it was entered, counted by kind, and no zombie."""
        def kinds():
            return collections.Counter(target.partition(":[")[0] for target in processes.descriptors(self.pid).values())

        before = kinds()
        yield
        until(lambda: not kinds() - before, lambda: f"no more descriptors than {before}, but {kinds() - before}", 5)
        until(lambda: not processes.zombies(self.pid), lambda: f"no zombies: {processes.zombies(self.pid)}", 5)


def hivesup(*arguments, timeout=20, environment=None, **options):
    """Runs the command `hivesup`; returns the finished process with text output."""
    return subprocess.run(
        [HIVESUP, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=timeout, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **(environment or {})}, **options,
    )
