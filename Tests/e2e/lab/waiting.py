"""Waiting for something to become true, with a deadline. Where the kernel tells (a process's end, a pipe, a socket) the tests
wait for that; `until` is for what can only be looked at."""

import os
import select
import time

#: Generous: a test that hits it has found something, or the machine stands still.
LONG = 30.0


class Late(AssertionError):
    """Something did not happen in time."""


def until(condition, what, timeout=LONG, pause=0.005):
    """Looks every `pause` seconds until `condition()` is true, and returns its value. `what` is for the message: a string, or a
    function that makes one when the deadline has passed."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Late(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(pause)


def gone(pids, timeout=LONG):
    """Waits for the end of all `pids` by their pidfds; returns those that are still alive at the deadline."""
    poll, open_fds = select.poll(), {}
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        open_fds[fd] = pid
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + timeout
    try:
        while open_fds:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                os.close(fd)
                del open_fds[fd]
        return sorted(open_fds.values())
    finally:
        for fd in open_fds:
            os.close(fd)
