"""The container of etc/ROLE: PostgreSQL, migration, API and monitor under hivesupd; and a ledger of what it has promised to keep."""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import threading
import time

from . import processes
from .client import free_port, get
from .daemon import BINARIES, HIVESUP, Daemon
from .waiting import until

PROJECT = pathlib.Path(__file__).resolve().parents[3]
POSTGRES = os.environ.get("HIVE_PG_BINDIR", "")
DATABASE = {"genie": ("hive_genie", "hive", "genie_sessions"), "agent": ("hive_agent", "agent", "agent_deployments")}
RESOURCE = {"genie": "/api/v1/sessions", "agent": "/api/v1/deployments"}


def service_user():
    """Whom the services run as: HIVE_TEST_USER when this is root, else the user who tests."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    return os.environ.get("HIVE_TEST_USER") or "nobody"


def payload(role, number):
    """A body that creates one row."""
    if role == "genie":
        return {"user_id": f"ledger-{number}", "session_data": {"number": number}}
    return {"deployment_status": f"ledger-{number}", "agent_config": {"number": number}}


class Stack(Daemon):
    """One role's container in a directory; `HIVE_DATA` and the rest are below it."""

    def __init__(self, directory, role="genie", **options):
        directory = pathlib.Path(directory)
        self.role, self.port, self.pg_port = role, free_port(), free_port()
        self.data, self.run_directory, self.logs = directory / "data", directory / "run", directory / "logs"
        for path in (self.data, self.run_directory, self.logs):
            path.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(path, service_user())
        super().__init__(directory, **options)
        self.config = PROJECT / "etc" / role / "hivesup.conf"
        self.environment.update({
            "HIVE_ROLE": role, "HIVE_DATA": str(self.data), "HIVE_RUN_DIR": str(self.run_directory), "HIVE_ETC": str(PROJECT / "etc" / role),
            "HIVE_LOG_DIR": str(self.logs), "HIVE_PG_BINDIR": POSTGRES, "HIVE_PG_PORT": str(self.pg_port), "HIVE_PORT": str(self.port),
            "HIVESUP_SOCKET": self.socket, "HIVE_BIN_DIR": str(BINARIES), "HIVE_POSTGRES_USER": service_user(), "HIVE_BALLAST_MB": "0",
            "HIVE_PGBOUNCER": "false", "HIVE_REDIS": "false",
        })

    def healthy(self):
        """The health document when it says healthy, else None."""
        try:
            answer = get(self.port)
        except OSError:
            return None
        return answer.json if answer.status == 200 else None

    def wait_healthy(self, timeout=60):
        def look():
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.output()}"
            return self.healthy()

        return until(look, lambda: f"healthy: {self.document()}{self.output()}", timeout, 0.01)

    def document(self):
        try:
            return get(self.port).body.decode(errors="replace")
        except OSError as error:
            return repr(error)

    def postgres_pid(self):
        """The postmaster, as the host numbers it."""
        return self.host_pid("postgresql")

    def backend_pid(self):
        """A backend that serves a client."""
        def search():
            for pid in processes.children(self.postgres_pid()):
                title = " ".join(processes.command(pid))
                # "postgres: hive hive_genie [local] idle"
                if f" {DATABASE[self.role][0]} " in title:
                    return pid
            return None

        return until(search, "a backend with a client")

    def psql(self, sql, check=True):
        """Runs SQL as the application's role over the unix socket; returns what it printed."""
        database, role, _ = DATABASE[self.role]
        done = subprocess.run(
            [f"{POSTGRES}/psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.run_directory), "-p", str(self.pg_port),
             "-U", role, "-d", database, "-c", sql],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
            env={"PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": "5"},
        )
        if check:
            assert done.returncode == 0, done
        return done.stdout.strip()

    def cluster_state(self):
        """`Database cluster state` of pg_controldata."""
        done = subprocess.run([f"{POSTGRES}/pg_controldata", str(self.data / "pgdata")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env={"LANG": "C"})
        for line in done.stdout.splitlines():
            if line.startswith("Database cluster state:"):
                return line.partition(":")[2].strip()
        return done.stdout

    def assert_shut_down(self):
        assert self.cluster_state() == "shut down", (self.cluster_state(), self.output())


class Ledger:
    """Writers that never rest: two through the API, one through psql. What was acknowledged is remembered, and must be there for
    ever after. What was not acknowledged may or may not be there."""

    def __init__(self, stack):
        self.stack = stack
        self.acknowledged, self.refused = [], 0
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.number = 0
        self.threads = [threading.Thread(target=self._api, daemon=True) for _ in range(2)]
        self.threads.append(threading.Thread(target=self._direct, daemon=True))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(40)

    def _next(self):
        with self.lock:
            self.number += 1
            return self.number

    def _note(self, identity):
        with self.lock:
            self.acknowledged.append(identity)

    def _api(self):
        while not self.stopping.is_set():
            if not self._post():
                self.refused += 1
                self.stopping.wait(0.02)

    def _post(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.port, timeout=15)
        try:
            connection.request("POST", RESOURCE[self.stack.role], json.dumps(payload(self.stack.role, self._next())),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 201:
                return False
            self._note(json.loads(body)["id"])
            return True
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def _direct(self):
        database, role, table = DATABASE[self.stack.role]
        while not self.stopping.is_set():
            process = subprocess.Popen(
                [f"{POSTGRES}/psql", "-X", "-A", "-t", "-q", "-h", str(self.stack.run_directory), "-p", str(self.stack.pg_port), "-U", role,
                 "-d", database],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
                env={"PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": "5"},
            )
            # A backend that hangs must not hang the test: the process is killed when the ledger is closed.
            closer = threading.Thread(target=lambda p=process: (self.stopping.wait(), p.kill()), daemon=True)
            closer.start()
            try:
                while not self.stopping.is_set():
                    row = payload(self.stack.role, self._next())
                    names = ", ".join(row)
                    values = ", ".join("'" + (v if isinstance(v, str) else json.dumps(v)) + "'" for v in row.values())
                    process.stdin.write(f"INSERT INTO {table} ({names}) VALUES ({values}) RETURNING id;\n")
                    line = process.stdout.readline().strip()
                    if not line:
                        break
                    self._note(line)
            except OSError:
                pass
            finally:
                process.kill()
                with contextlib.suppress(OSError):
                    process.communicate()
            self.refused += 1
            self.stopping.wait(0.05)

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def wait_progress(self, more=20, timeout=30):
        """Until `more` further rows have been acknowledged."""
        target = self.count() + more
        until(lambda: self.count() >= target, lambda: f"{more} more rows acknowledged ({self.count()} of {target})", timeout, 0.01)

    def verify(self):
        """Every acknowledged row is there."""
        with self.lock:
            promised = set(self.acknowledged)
        assert promised
        kept = set(self.stack.psql(f"SELECT id FROM {DATABASE[self.stack.role][2]}").split())
        assert promised <= kept, f"{len(promised - kept)} of {len(promised)} acknowledged rows are lost"


def tool(stack, *arguments):
    return subprocess.run([HIVESUP, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=30, env={**stack.environment})


def seconds(function):
    begun = time.monotonic()
    value = function()
    return value, time.monotonic() - begun
