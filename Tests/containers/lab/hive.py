"""The host's command `hive`, and compose projects for it."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

from . import docker as engine
from .docker import docker
from .waiting import until

PROJECT = pathlib.Path(__file__).resolve().parents[3]


def program():
    """The built `hive`: HIVE_BIN_DIR's, else this checkout's release build, brought up to date."""
    given = os.environ.get("HIVE_BIN_DIR")
    if given and os.access(pathlib.Path(given) / "hive", os.X_OK):
        return str(pathlib.Path(given) / "hive")
    subprocess.run(["swift", "build", "-c", "release", "--product", "hive"], cwd=PROJECT, check=True, timeout=1200)
    return str(PROJECT / ".build" / "release" / "hive")


class Result:
    """What one run of hive did."""

    def __init__(self, status, output, error):
        self.status, self.output, self.error = status, output, error

    def __repr__(self):
        return f"exit status {self.status}\n--- stdout\n{self.output}\n--- stderr\n{self.error}"

    @property
    def json(self):
        return json.loads(self.output)

    def role(self, name="genie"):
        """What the JSON document tells about one role."""
        return next(one for one in self.json["roles"] if one["role"] == name)


class Hive:
    """`hive` with compose files of its own. Everything that compose makes has this run's label."""

    def __init__(self, path, directory):
        self.path, self.directory = path, pathlib.Path(directory)
        self.name = re.sub("[^a-z0-9-]", "", engine.unique("hive"))
        self.environment = {**os.environ, "HIVE_COMPOSE_DIR": str(self.directory), "NO_COLOR": "1"}
        for variable in ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "DOCKER_HOST"):
            self.environment.pop(variable, None)
        self.roles = []

    def use(self, configuration):
        """The directory that DOCKER_CONFIG names: what is in its cli-plugins is `docker compose`. Empty: as it is."""
        if configuration:
            self.environment["DOCKER_CONFIG"] = configuration
        return self

    def describe(self, role, restart="unless-stopped", volumes=("data:/var/lib/postgresql/data",), environment=(), text=None,
                 port=None, image=None):
        """Writes ROLE/compose.yaml; `text` is all of it, otherwise it is made of the rest."""
        place = self.directory / str(role)
        place.mkdir(exist_ok=True)
        label = engine.LABEL.split("=")
        published = f"127.0.0.1:{port or ''}:{role.port}"
        service = {
            "image": image or role.image, "restart": restart, "ports": [published], "volumes": list(volumes),
            "environment": list(environment), "labels": {label[0]: label[1]}, "stop_grace_period": "10s",
        }
        document = {
            "services": {str(role): service}, "volumes": {"data": {"labels": {label[0]: label[1]}}},
            "networks": {"default": {"labels": {label[0]: label[1]}}},
        }
        # YAML is a superset of JSON.
        (place / "compose.yaml").write_text(text or json.dumps(document, indent=1))
        if role not in self.roles:
            self.roles.append(role)
        return self

    def command(self, *words):
        """The command line: the project's name is an option of the subcommand."""
        words = list(map(str, words))
        # Each role's own project, as compose itself would choose one for each directory.
        return [self.path, words[0], "--project-name", self.name, *words[1:]]

    def run(self, *words, timeout=90, text=None, environment=None, **options):
        done = subprocess.run(
            self.command(*words), input=text, stdin=None if text is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=timeout, env={**self.environment, **(environment or {})}, **options)
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *words):
        """Runs it beside the test."""
        return subprocess.Popen(
            self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment)

    def container(self, role="genie"):
        """`docker inspect` of a role's container, or None."""
        found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}", "--filter",
                       f"label=com.docker.compose.service={role}").stdout.split()
        return engine.inspect("container", found[0]) if found else None

    def volumes(self):
        return docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").stdout.split()


class Terminal:
    """A command on a terminal of its own, 100 columns wide."""

    def __init__(self, command, environment, columns=100):
        self.output = b""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execvpe("sh", ["sh", "-c", f'stty cols {columns}; exec "$@"', "sh", *command], environment)

    def read(self, seconds=0.1):
        """Takes what there is; False at the end."""
        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        if not ready:
            return True
        try:
            piece = os.read(self.descriptor, 65536)
        except OSError:
            piece = b""
        self.output += piece
        return bool(piece)

    def wait_for(self, text, timeout=60):
        def look():
            self.read()
            return text.encode() in self.output

        until(look, lambda: f"{text!r} on the terminal: {self.output!r}", timeout, 0)

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def end(self, timeout=60):
        """Reads to the end; returns the exit status, 128 + n for a signal."""
        deadline = time.monotonic() + timeout
        while self.read():
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.descriptor)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    @property
    def text(self):
        return self.output.decode(errors="replace")
