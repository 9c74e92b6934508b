"""A terminal with a process on it, as `docker run -it` or a login shell has one."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from .waiting import LONG, Late


class Terminal:
    """Runs a command as the leader of a session whose controlling terminal is this one."""

    def __init__(self, argv, environment, cwd=None):
        self.master, slave = pty.openpty()
        # Prompts and echoes in bytes that a test can foresee.
        modes = termios.tcgetattr(slave)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)

        def lead():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])

        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env={**environment, "TERM": "dumb"}, cwd=cwd, preexec_fn=lead)
        os.close(slave)
        self.text = ""

    def write(self, text):
        os.write(self.master, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def foreground(self):
        """The foreground process group."""
        return os.tcgetpgrp(self.master)

    def read(self, timeout=0.0):
        """Takes what is there; False when nothing came, or nobody has the terminal open any more."""
        if self.master < 0 or not select.select([self.master], [], [], timeout)[0]:
            return False
        try:
            piece = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += piece.decode(errors="replace").replace("\r\n", "\n")
        return bool(piece)

    def wait(self, text, count=1, timeout=LONG):
        """Until `text` has been printed `count` times."""
        deadline = time.monotonic() + timeout
        while self.text.count(text) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not (self.read(min(left, 1)) or self.process.poll() is None):
                raise Late(f"not {count} × {text!r} on the terminal: {self.text!r}, ended with {self.process.poll()}")

    def wait_end(self, timeout=LONG):
        """The exit status, as a shell would have it."""
        deadline = time.monotonic() + timeout
        while (status := self.process.poll()) is None:
            if time.monotonic() > deadline:
                raise Late(f"it has not ended within {timeout} s; on the terminal: {self.text!r}")
            # A full terminal would hold it.
            self.read(0.01)
        while self.read():
            pass
        return status if status >= 0 else 128 - status

    def hang_up(self):
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.hang_up()
        self.process.wait()
