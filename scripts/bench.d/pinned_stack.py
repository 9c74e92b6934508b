"""The genie stack with its processes placed in one of three ways, and what a benchmark asks of it."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

import measures
import processes
import spawning
import stack

DATABASE, OWNER = "hive_genie", "hive"
P, E, BOTH = {0}, {1}, {0, 1}
#: CPU 0 is called fast and CPU 1 frugal: on cores that are alike what is measured is the separation, not their speed.
CLASSES = {"HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1"}
NO_CLASSES = {"HIVE_CPU_PERFORMANCE": "", "HIVE_CPU_EFFICIENCY": "", "HIVE_CPU_LOW_POWER": ""}


class Placement:
    """Where the stack's processes run: the environment that brings it about, and the masks that must come of it."""

    def __init__(self, title, environment, backends, autovacuum):
        self.title, self.environment = title, environment
        self.masks = {"postmaster": backends, "autovacuum launcher": autovacuum}


PLACEMENTS = {
    "unpinned": Placement("not pinned", {**NO_CLASSES, "HIVE_PG_PIN": "off"}, BOTH, BOTH),
    "program": Placement("the program pinned as a whole", {**CLASSES, "HIVE_PG_PIN": "off"}, P, P),
    "role": Placement("pinned by role", {**CLASSES, "HIVE_PG_PIN": "by-class"}, P, E),
}


def title(pid):
    """What a process of the server calls itself, without its prefixes; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
    return re.sub(r"^postgres: (hive-genie: )?", "", text)


def cpu_ns(pid):
    """(CPU time in ns, number of times on a CPU) of a process's main thread, or None when it is gone. The servers' processes and the
    monitor have no other thread."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            run, _, slices = file.read().split()
    except (OSError, ValueError):
        return None
    return int(run), int(slices)


class Server:
    """One volume that is booted again and again; between two boots only the environment changes."""

    def __init__(self):
        self.bin = os.environ["HIVE_PG_BINDIR"]
        self.state = tempfile.mkdtemp(prefix="hsb-pin.", dir="/var/lib" if os.geteuid() == 0 else None)
        os.chmod(self.state, 0o755)
        self.log = open(f"{self.state}/output", "wb")
        self.ports = stack.free_port(), stack.free_port()
        self.process = None

    def close(self):
        self.log.close()
        shutil.rmtree(self.state, ignore_errors=True)

    def output(self):
        with open(f"{self.state}/output", errors="replace") as file:
            return file.read()[-3000:]

    @contextlib.contextmanager
    def up(self, placement, extra=None):
        """The stack, healthy and with the masks that `placement` promises: without them the figures would mean nothing."""
        try:
            with stack.launched(self.state, self.ports, self.log, {**placement.environment, **(extra or {})}) as self.process:
                stack.wait_healthy(self.process, self.ports[0])
                # The script's own words: the sockets' place depends on the length of the path.
                with open(f"/proc/{self.process.pid}/environ", "rb") as file:
                    environment = dict(word.split(b"=", 1) for word in file.read().split(b"\0") if b"=" in word)
                self.control = environment[b"HIVESUP_SOCKET"].decode()
                self.run_directory = environment[b"HIVE_RUN_DIR"].decode()
                self.wait_masks(placement)
                yield self
                stack.stop(self.process)
        except measures.Trouble as trouble:
            raise measures.Trouble(f"{trouble}\n{self.output()}") from None

    # What runs.

    def find(self, words, parent=None):
        """The process below `parent` (hivesupd) whose command line has `words` in it."""
        for pid in processes.tree(parent or self.process.pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if words in file.read().replace(b"\0", b" ").decode(errors="replace"):
                        return pid
        raise measures.Trouble(f"cannot find {words} among the stack's processes")

    def postmaster(self):
        return self.find("/postgres ")

    def service(self):
        return self.find("/hive-service")

    def monitor(self):
        return self.find("hive-postgres monitor")

    def children(self, name):
        return [pid for pid in processes.children(self.postmaster()) if title(pid).startswith(name)]

    def masks(self):
        found = {"postmaster": os.sched_getaffinity(self.postmaster())}
        for pid in self.children("autovacuum launcher"):
            found["autovacuum launcher"] = os.sched_getaffinity(pid)
        return found

    def wait_masks(self, placement, seconds=15):
        deadline = time.monotonic() + seconds
        while self.masks() != placement.masks:
            if time.monotonic() > deadline:
                raise measures.Trouble(f"cannot measure '{placement.title}': after {seconds} s the masks are {self.masks()}")
            time.sleep(0.05)

    def metrics(self):
        return spawning.metrics(self.control)

    # What it is asked.

    def client(self, program, *arguments, user=OWNER, database=DATABASE):
        return [f"{self.bin}/{program}", "-h", self.run_directory, "-p", str(self.ports[1]), "-U", user, *arguments, database]

    def sql(self, *statements, user=OWNER, database=DATABASE):
        words = [word for one in statements for word in ("-c", one)]
        done = subprocess.run(
            self.client("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *words, "-d", user=user, database=database),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
        )
        if done.returncode != 0:
            raise measures.Trouble(f"cannot run SQL: {done.stderr.strip()}")
        return done.stdout.strip()

    def administer(self, *statements):
        self.sql(*statements, user="postgres", database="postgres")

    @contextlib.contextmanager
    def background(self, script, clients, name, *options):
        """pgbench with `script` on `clients` connections, until the end."""
        path = f"{self.state}/{name}.sql"
        with open(path, "w") as file:
            file.write(script)
        process = subprocess.Popen(
            self.client("pgbench", "-n", "-f", path, "-c", str(clients), "-T", "3600", *options),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log,
        )
        try:
            yield process
            if process.poll() is not None:
                raise measures.Trouble(f"the clients of {name} ended with status {process.returncode}")
        finally:
            process.kill()
            process.wait()
