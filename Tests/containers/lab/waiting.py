"""Waiting for something to become true, with a deadline."""

import time


class Late(AssertionError):
    """Something did not happen in time."""


def until(condition, what, timeout=30.0, pause=0.02):
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
