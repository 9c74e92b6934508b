"""scripts/run, as a newcomer types it."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

import pytest

from lab import processes
from lab.client import free_port, get
from lab.daemon import BINARIES, HIVESUP
from lab.stack import POSTGRES, PROJECT, RESOURCE, payload, service_user
from lab.waiting import gone, until

RUN = str(PROJECT / "scripts/run")


class Running:
    """`scripts/run ROLE` in the foreground of its own process group, as a terminal has it."""

    def __init__(self, role, state):
        self.role, self.state, self.port, self.pg_port = role, state, free_port(), free_port()
        self.output = open(f"{state}/{role}.output", "w+b")
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(state), "HIVE_BIN_DIR": str(BINARIES), "HIVE_PG_BINDIR": POSTGRES, "HIVE_STATE": str(state),
            "HIVE_PORT": str(self.port), "HIVE_PG_PORT": str(self.pg_port), "HIVE_POSTGRES_USER": service_user(), "HIVE_BALLAST_MB": "0",
        }
        self.process = subprocess.Popen([RUN, role], stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, env=environment,
                                        start_new_session=True)

    def text(self):
        self.output.flush()
        with open(self.output.name, errors="replace") as file:
            return file.read()

    def wait_healthy(self):
        def look():
            assert self.process.poll() is None, self.text()
            try:
                return get(self.port).status == 200
            except OSError:
                return False

        until(look, self.text, 90, 0.05)

    def interrupt(self):
        """Ctrl-C: the terminal sends INT to the whole foreground group."""
        pids = [self.process.pid, *processes.descendants(self.process.pid)]
        os.killpg(self.process.pid, signal.SIGINT)
        assert gone(pids, 15) == [], self.text()
        return self.process.wait()

    def close(self):
        for pid in [*processes.descendants(self.process.pid), self.process.pid] if self.process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.output.close()


@pytest.fixture
def state():
    path = pathlib.Path(tempfile.mkdtemp(prefix="hsr.", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_both_roles_at_once_then_ctrl_c(state):
    running = []
    try:
        for role in ("genie", "agent"):
            running.append(Running(role, state))
        for one in running:
            one.wait_healthy()
            made = get(one.port, RESOURCE[one.role], "POST", body=payload(one.role, 1))
            assert made.status == 201, (made.status, made.body)
            socket = next(line.split("=", 1)[1].split()[0] for line in one.text().splitlines() if "HIVESUP_SOCKET=" in line)
            done = subprocess.run([HIVESUP, "ctl", "status"], env={"HIVESUP_SOCKET": socket}, stdout=subprocess.PIPE, text=True, timeout=20)
            assert done.returncode == 0 and "postgresql" in done.stdout, done
            # As root the services are not root.
            wanted = pwd.getpwnam(service_user()).pw_uid
            for pid in processes.descendants(one.process.pid):
                uid = processes.status(pid, "Uid")
                assert uid is None or int(uid[1]) == wanted, (processes.command(pid), uid)
        for one in running:
            assert one.interrupt() == 0, one.text()
            done = subprocess.run([f"{POSTGRES}/pg_controldata", f"{state}/{one.role}/data/pgdata"], stdout=subprocess.PIPE, text=True, env={"LANG": "C"})
            assert "Database cluster state:               shut down\n" in done.stdout, done.stdout
    finally:
        for one in running:
            one.close()


def run_script(*arguments, **environment):
    return subprocess.run([RUN, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HIVE_PG_BINDIR": POSTGRES, **environment})


def test_without_a_role_it_says_how_it_is_used():
    done = run_script()
    assert done.returncode == 2 and "usage: scripts/run genie|agent" in done.stderr, done


def test_a_taken_port_is_said_before_anything_is_done(state):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for name in ("HIVE_PORT", "HIVE_PG_PORT"):
            done = run_script("genie", **{"HIVE_BIN_DIR": str(BINARIES), "HIVE_STATE": str(state), "HIVE_PORT": str(free_port()),
                                          "HIVE_PG_PORT": str(free_port()), name: port})
            assert done.returncode == 1 and f"cannot use port {port}" in done.stderr and name in done.stderr, done
        assert os.listdir(state) == []


def test_a_wrong_bin_dir_is_said(state):
    done = run_script("genie", HIVE_BIN_DIR=str(state), HIVE_STATE=str(state), HIVE_PORT=str(free_port()), HIVE_PG_PORT=str(free_port()))
    assert done.returncode == 1 and "cannot use HIVE_BIN_DIR" in done.stderr, done
