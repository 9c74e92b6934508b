"""`docker run --user 12345:0`: the whole stack as a user that /etc/passwd does not have. As root the processes get that number; an
ordinary user gets it in a user namespace of his own."""

import glob
import os
import pathlib
import shutil
import tempfile

import pytest

from lab.client import get
from lab.daemon import HIVESUP, PID1, SUBREAPER
from lab.stack import POSTGRES, RESOURCE, Stack, payload, tool

USER, GROUP = 12345, 0

if not POSTGRES:
    raise pytest.UsageError("cannot test the stack: give HIVE_PG_BINDIR, or use scripts/test")
if not (glob.glob("/usr/lib/*/libnss_wrapper.so") or os.path.exists("/usr/lib/libnss_wrapper.so")):
    raise pytest.UsageError("cannot test users without a name: install libnss-wrapper, or use scripts/test")


class Unnamed(Stack):
    """A stack as PID 1 of a namespace, as the user 12345:0."""

    def __init__(self, directory, role):
        super().__init__(directory, role, mode=PID1)
        run = [HIVESUP, "run", "-c", str(self.config)]
        namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        if os.geteuid() == 0:
            self.command = [*namespace, "setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--", *run]
            # As the image has them: of somebody else, writable for group 0, which Docker gives to such a user.
            for path in (self.directory, self.data, self.run_directory, self.logs):
                os.chown(path, 1000, GROUP)
                path.chmod(0o2775)
        else:
            self.command = [*namespace, "--user", f"--map-user={USER}", f"--map-group={GROUP}", *run]
        # hivesup in the image starts with these, and with no name for its user.
        self.environment.update({"HOME": "/", "HIVE_POSTGRES_USER": "hive"})

    def start(self):
        # The command has the namespace in it.
        self.mode = SUBREAPER
        try:
            return super().start()
        finally:
            self.mode = PID1


@pytest.fixture
def place():
    path = pathlib.Path(tempfile.mkdtemp(prefix="hsu.", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("role", ["genie", "agent"])
def test_the_whole_stack_runs_as_a_user_without_a_name(place, role):
    stack = Unnamed(place, role)
    with stack:
        stack.wait_healthy()
        created = get(stack.port, RESOURCE[role], "POST", body=payload(role, 1))
        assert created.status == 201, created.body
        identity = created.json["id"]
        # PID 1 takes its own user's commands on the control socket.
        assert tool(stack, "ctl", "restart", "postgresql").returncode == 0, stack.output()
        stack.wait_healthy()
        status, seconds = stack.stop()
        assert status == 0 and seconds < 5, (status, seconds, stack.output())
        stack.assert_shut_down()
    data = (stack.data / "pgdata").stat()
    assert data.st_uid == (USER if os.geteuid() == 0 else os.geteuid())
    stack.stderr_path.unlink()
    stack.stdout_path.unlink()
    with stack:
        stack.wait_healthy()
        assert get(stack.port, f"{RESOURCE[role]}/{identity}").json["id"] == identity
        # No recovery, no complaint about a name.
        for words in ("not shut down", "could not look up", "no line in /etc/passwd"):
            assert words not in stack.output(), stack.output()
        assert stack.stop()[0] == 0
        stack.assert_shut_down()
    ident = (stack.data / ".hivesup" / "server" / "pg_ident.conf").read_text()
    assert f'hive "uid{USER}" ' in ident, ident
