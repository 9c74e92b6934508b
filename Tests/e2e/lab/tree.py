"""A tree of processes whose threads are looked at one by one, and what a person is told of it."""

import contextlib
import os
import pty
import subprocess
import termios

from . import processes
from .affinity import threads
from .daemon import HIVESUP, hivesup
from .waiting import until

#: A tree: threads in the program itself, a child, and a grandchild in a session of its own whose parent has ended; each with threads.
TREE = """
import os, sys, threading, time
def rest():
    time.sleep(1000)
def threads():
    for _ in range(3):
        threading.Thread(target=rest, daemon=True).start()
if os.fork() == 0:
    threads()
    rest()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        threads()
        with open(sys.argv[1], "w") as file:
            file.write("up")
        rest()
    os._exit(0)
os.wait()
threads()
rest()
"""
#: The program, its child, the orphan: each with three threads more.
TREE_SIZE = (3, 12)


def members(daemon, name):
    """The processes of one program: those that have its name in their environment."""
    named = set(processes.with_environment("SUPERVISOR_PROCESS_NAME", name))
    return sorted(named.intersection(processes.with_environment("E2E_MARK", daemon.mark)))


def masks(daemon, name):
    """The different masks of the program's threads, and how many processes and threads it has."""
    pids = members(daemon, name)
    found = threads(pids)
    return {frozenset(one) for one in found.values()}, (len(pids), len(found))


def whole_tree(daemon, name):
    """Waits until the tree stands, and is `TREE_SIZE` large."""
    until(lambda: (daemon.directory / f"{name}.up").exists() and masks(daemon, name)[1] == TREE_SIZE,
          lambda: f"{name}: {masks(daemon, name)}{daemon.output()}")


def is_on(daemon, name, cpus):
    return masks(daemon, name) == ({frozenset(cpus)}, TREE_SIZE)


def ctl(daemon, *words):
    return hivesup("ctl", *words, "--socket", daemon.socket)


def on_a_terminal(daemon, *words):
    """What a person sees."""
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (40, 300))
        process = subprocess.Popen([HIVESUP, "ctl", *words, "--socket", daemon.socket], stdin=theirs, stdout=theirs, stderr=theirs,
                                   env={**os.environ, "NO_COLOR": "1"})
        os.close(theirs)
        theirs = None
        text = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
            while piece := os.read(ours, 65536):
                text += piece
        assert process.wait(10) in (0, 3), text
        return text.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        if theirs is not None:
            os.close(theirs)
