"""`ready=postgres` of a server that was built with sd_notify: it says when to look, and what it answers counts."""

import os
import signal

from lab.config import ini, program
from lab.waiting import until

#: Speaks as much of the protocol as the check does. USR1: it is up and says so. USR2: it goes down and says so. HUP: it says that it is up,
#: and lets nobody in.
SERVER = """#!/usr/bin/python3
import os, selectors, signal, socket, struct

def tell(text):
    path = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text, "\\0" + path[1:] if path[0] == "@" else path)

def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body

ANSWERS = {True: message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\\0\\0"),
           False: message(b"E", b"SFATAL\\0C57P03\\0Mthe database system is not there\\0\\0")}
isUp = False

def handle(number, frame):
    global isUp
    isUp = number == signal.SIGUSR1
    tell(b"STOPPING=1\\n" if number == signal.SIGUSR2 else b"READY=1\\n")

for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
    signal.signal(number, handle)
server = socket.socket(socket.AF_UNIX)
server.bind(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".s.PGSQL.5432"))
server.listen()
while True:
    client, _ = server.accept()
    with client:
        if client.recv(4096):
            client.sendall(ANSWERS[isUp])
"""


def test_it_is_asked_when_it_says_something(make, mode, directory):
    path = directory / "server"
    path.write_text(SERVER)
    path.chmod(0o755)
    # Nothing but its word makes anybody look again within the time of this test.
    daemon = make(ini(program("db", path, ready=f"postgres:{directory}", ready_interval=600, ready_timeout=20, ready_failures=1, startretries=0)),
                  mode=mode)
    with daemon:
        until(lambda: "not there" in str(daemon.control.health()), lambda: f"it lets nobody in: {daemon.control.health()}{daemon.output()}")
        assert daemon.control.program("db")["state"] == "STARTING"
        pid = daemon.host_pid("db")

        def say(number, is_ready):
            os.kill(pid, number)
            until(lambda: daemon.control.program("db")["ready"] == is_ready, lambda: f"ready: {is_ready}: {daemon.control.program('db')}{daemon.output()}")

        say(signal.SIGUSR1, True)
        daemon.wait_state("db", "RUNNING")
        # Down and up again: a crash of a backend, and its end.
        say(signal.SIGUSR2, False)
        say(signal.SIGUSR1, True)
        # It may say what it likes.
        say(signal.SIGHUP, False)
        assert "not there (57P03)" in str(daemon.control.health()), daemon.control.health()
        say(signal.SIGUSR1, True)
        assert daemon.host_pid("db") == pid
