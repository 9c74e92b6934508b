"""A named pipe through which the programs under supervision tell the test what happens to them, a line at a time."""

import os
import select
import time

from .waiting import LONG, Late


class Mailbox:
    """Programs write with `echo WORDS >PATH`; lines shorter than PIPE_BUF arrive whole (pipe(7))."""

    def __init__(self, path):
        self.path = str(path)
        os.mkfifo(self.path, 0o666)
        os.chmod(self.path, 0o666)
        # Both ends: a writer's open never waits, and the last writer's close is no end of file.
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.rest = b""
        self.lines = []

    def close(self):
        os.close(self.fd)

    def _read(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        self.rest += os.read(self.fd, 65536)
        *whole, self.rest = self.rest.split(b"\n")
        self.lines += [line.decode(errors="replace") for line in whole]
        return True

    def all(self):
        """Everything that has arrived so far."""
        while self._read(0):
            pass
        return list(self.lines)

    def wait(self, condition, what, timeout=LONG):
        """Until `condition(lines)` is true of everything that has arrived; returns its value."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition(self.all())
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late(f"not within {timeout} s: {what}; last lines: {self.lines[-10:]}")
            self._read(left)

    def wait_line(self, line, count=1, timeout=LONG):
        """Until the exact `line` has arrived `count` times."""
        self.wait(lambda lines: lines.count(line) >= count, f"{count} × {line!r}", timeout)

    def wait_start(self, prefix, count=1, timeout=LONG):
        """Until `count` lines begin with `prefix`; returns them."""
        def found(lines):
            mine = [line for line in lines if line.startswith(prefix)]
            return mine if len(mine) >= count else None

        return self.wait(found, f"{count} lines {prefix!r}…", timeout)
