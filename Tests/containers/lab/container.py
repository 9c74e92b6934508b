"""One container of genie or agent, from `docker run` to its removal."""

import http.client
import json
import os
import tempfile
import time

from . import docker as engine
from .docker import docker
from .waiting import Late, until


class Role:
    """What is different between the two containers."""

    def __init__(self, name, port, database, owner, table, resource):
        self.name, self.port, self.database, self.owner, self.table, self.resource = name, port, database, owner, table, resource
        self.image = os.environ.get(f"HIVE_IMAGE_{name.upper()}", f"hivesup-test/{name}:latest")

    def __repr__(self):
        return self.name

    def body(self, number):
        """What creates one row."""
        if self.name == "genie":
            return {"user_id": f"test-{number}", "session_data": {"number": number}}
        return {"deployment_status": f"test-{number}", "agent_config": {"number": number}}


GENIE = Role("genie", 48886, "hive_genie", "hive", "genie_sessions", "/api/v1/sessions")
AGENT = Role("agent", 38886, "hive_agent", "agent", "agent_deployments", "/api/v1/deployments")
ROLES = {"genie": GENIE, "agent": AGENT}
#: Genie on Debian 13 with its own PostgreSQL 17.
TRIXIE_IMAGE = os.environ.get("HIVE_IMAGE_TRIXIE", "hivesup-test/genie:trixie")
#: Genie on PostgreSQL 18, whose official image has its volume at /var/lib/postgresql.
NEXT_IMAGE = os.environ.get("HIVE_IMAGE_18", "hivesup-test/genie:18")


class Answer:
    """One HTTP answer."""

    def __init__(self, status, body):
        self.status, self.body = status, body

    @property
    def json(self):
        return json.loads(self.body)


class Container:
    """Made by the fixture `container`, which removes it with its anonymous volumes after the test."""

    def __init__(self, role=GENIE, image=None):
        self.role, self.image = role, image or role.image
        self.name = engine.unique(role.name)
        #: The API's port on the host's loopback address; docker chooses another one at each start.
        self.port = None
        self._address = None
        #: When the last `run` or `start` was called (time.monotonic()).
        self.begun = None

    # --- its life ----------------------------------------------------------------------------------------------------------

    def run(self, *options, command=(), publish=True, files=None):
        """`docker run --detach OPTIONS… IMAGE COMMAND…`; with `files` ({path: content}) `docker create`, these files, `docker start`."""
        published = ["--publish", f"127.0.0.1::{self.role.port}"] if publish else []
        rest = ["--name", self.name, "--label", engine.LABEL, *published, *options, self.image, *command]
        if files:
            docker("create", *rest)
            for path, content in files.items():
                self.write(path, content)
            return self.start()
        self.begun = time.monotonic()
        docker("run", "--detach", *rest)
        self._look_up_port()
        return self

    def write(self, path, content):
        """A file of root's that everybody may read and execute, from a string or bytes, in a container that may be down."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.chmod(file.name, 0o755)
            docker("cp", file.name, f"{self.name}:{path}")

    def renew(self):
        """After docker has started it again by itself: the port and the address are others now."""
        self.begun = time.monotonic()
        self._look_up_port()
        return self

    def start(self):
        self.begun = time.monotonic()
        docker("start", self.name)
        self._look_up_port()
        return self

    def stop(self, seconds=10):
        """`docker stop`; returns the exit status and how long it took."""
        begun = time.monotonic()
        docker("stop", "--time", seconds, self.name, timeout=seconds + 30)
        return self.exit_status(), time.monotonic() - begun

    def kill(self, signal="KILL"):
        """`docker kill --signal`: to hivesup, as everything that docker sends."""
        docker("kill", "--signal", signal, self.name)

    def remove(self):
        docker("rm", "--force", "--volumes", self.name, check=False)

    def _look_up_port(self):
        self._address = None
        # There is none with --network none, with an internal network, or when it has ended already.
        bindings = self.inspect()["NetworkSettings"]["Ports"] or {}
        binding = bindings.get(f"{self.role.port}/tcp")
        self.port = int(binding[0]["HostPort"]) if binding else None

    def address(self):
        """Its own address on the engine's network, which stays while it runs; the engine's proxy has no part there."""
        if self._address is None:
            networks = self.inspect()["NetworkSettings"]["Networks"].values()
            self._address = next(one["IPAddress"] for one in networks)
        return self._address

    # --- looking at it -------------------------------------------------------------------------------------------------------

    def inspect(self):
        return engine.inspect("container", self.name)

    def running(self):
        return self.inspect()["State"]["Running"]

    def exit_status(self):
        return self.inspect()["State"]["ExitCode"]

    def wait_exit(self, timeout=30):
        """Waits for its end; returns the exit status."""
        try:
            return int(docker("wait", self.name, timeout=timeout).stdout)
        except engine.Failed as error:
            raise Late(f"{error}\n{self.describe()}") from None

    def logs(self, since=None, tail=None):
        """Both streams of `docker logs`, in no promised order between the two."""
        options = [] if since is None else ["--since", since]
        options += [] if tail is None else ["--tail", tail]
        done = docker("logs", *options, self.name, check=False)
        return done.stdout + done.stderr

    def wait_log(self, text, timeout=30, since=None):
        """Until `text` is in its output; returns all of it."""
        def look():
            output = self.logs(since=since)
            return output if text in output else None

        return until(look, lambda: f"{text!r} in the output\n{self.describe()}", timeout, 0.05)

    def health(self):
        """What `docker inspect` says: starting, healthy, unhealthy."""
        return self.inspect()["State"]["Health"]["Status"]

    def wait_health(self, status="healthy", timeout=60):
        """Until docker's own health check says so; returns the seconds since the container was started."""
        def look():
            state = self.inspect()["State"]
            assert state["Running"], f"ended with exit status {state['ExitCode']} while waiting for {status}\n{self.describe()}"
            return state["Health"]["Status"] == status

        until(look, lambda: f"docker says {status}\n{self.describe()}", timeout, 0.05)
        return time.monotonic() - self.begun

    def describe(self):
        """Its state, its last health checks and its last lines: what a failed test prints."""
        found = docker("inspect", self.name, check=False)
        if found.returncode != 0:
            return f"--- {self.name}: {found.stderr.strip()}"
        state = json.loads(found.stdout)[0]["State"]
        probes = [f"{probe['ExitCode']}: {probe['Output'].strip()}" for probe in (state.pop("Health", None) or {}).get("Log") or []]
        return f"--- {self.name}: {state}\nhealth checks: {probes[-3:]}\n{self.logs(tail=60)}"

    # --- inside ------------------------------------------------------------------------------------------------------------------

    def exec(self, *command, user=None, check=True, timeout=30, detach=False):
        """`docker exec`; the result has returncode, stdout, stderr."""
        options = [] if user is None else ["--user", user]
        return docker("exec", *options, *(["--detach"] if detach else []), self.name, *command, check=check, timeout=timeout)

    def shell(self, script, **options):
        return self.exec("sh", "-c", script, **options)

    def signal(self, signal, *pids, **options):
        """kill(1) inside, as the container's user; the image has only the shell's own."""
        return self.shell(f"kill -{signal} {' '.join(map(str, pids))}", **options)

    def ctl(self, *arguments, **options):
        return self.exec("hivesup", "ctl", *arguments, **options)

    def programs(self):
        """`hivesup ctl status --json` as {name: its object}."""
        # Its exit status is 3 when a program is not running, as supervisorctl's.
        return {one["name"]: one for one in json.loads(self.ctl("status", "--json", check=False).stdout)["programs"]}

    def events(self, since=0):
        """What happened after event number `since`."""
        return [json.loads(line) for line in self.ctl("events", "--json", "--since", since).stdout.splitlines()]

    def psql(self, sql, check=True, timeout=30):
        """SQL as the application's role over the unix socket; what it printed."""
        return self.exec(*self.psql_command(), "-c", sql, check=check, timeout=timeout).stdout.strip()

    def psql_command(self):
        return ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "/run/hivesup/postgres", "-U", self.role.owner,
                "-d", self.role.database]

    # --- its API ---------------------------------------------------------------------------------------------------------------------

    def request(self, method, target, body=None, timeout=10):
        """One request to the published port on a connection of its own. OSError while nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP answer: {error!r}") from None
        finally:
            connection.close()

    def ready(self):
        """True when the health document says healthy. False while nothing listens."""
        if self.port is None:
            return False
        try:
            return self.request("GET", "/api/v1/health", timeout=2).status == 200
        except OSError:
            return False

    def wait_ready(self, timeout=60):
        """Until the health document says healthy; returns the seconds since the container was started. Sooner than docker's own check, which
        looks after its first interval only."""
        def look():
            if self.ready():
                return True
            assert self.running(), f"ended while waiting for readiness\n{self.describe()}"
            return False

        until(look, lambda: f"the health document says healthy\n{self.describe()}", timeout, 0.02)
        return time.monotonic() - self.begun

    def create(self, number):
        """One row through the API; returns its id, or None when it was not acknowledged."""
        try:
            answer = self.request("POST", self.role.resource, self.role.body(number))
        except OSError:
            return None
        return answer.json["id"] if answer.status == 201 else None

    def ids(self):
        """The ids of all rows."""
        return set(self.psql(f"SELECT id FROM {self.role.table}").split())


def postgres_tool(volume, image, tool, *arguments, user="1000:0"):
    """What one of PostgreSQL's programs prints about a cluster whose container is down."""
    return docker("run", "--rm", "--label", engine.LABEL, "--network", "none", "--user", user, "--volume", f"{volume}:/var/lib/postgresql/data",
                  "--env", "LC_ALL=C", "--entrypoint", tool, image, *arguments, "-D", "/var/lib/postgresql/data/pgdata").stdout


def cluster_state(volume, image, user="1000:0"):
    """`Database cluster state` of pg_controldata, of a cluster whose container is down."""
    output = postgres_tool(volume, image, "pg_controldata", user=user)
    for line in output.splitlines():
        if line.startswith("Database cluster state:"):
            return line.partition(":")[2].strip()
    raise AssertionError(f"no cluster state in {output!r}")
