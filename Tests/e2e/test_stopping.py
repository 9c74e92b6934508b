"""Stopping: the order, the shared deadline, TERM at every moment of a start, and times that fit `docker stop`."""

import os
import signal
import time

import pytest

from lab import processes
from lab.config import ini, program, script, supervisord
from lab.waiting import until


def recorder(directory, name, on_term="exit 0"):
    """A program that tells of its start and of its TERM."""
    return script(directory, name, f"""
        trap 'echo stop {name} >{directory}/box; {on_term}' TERM
        sleep 1000 &
        # Until it has executed it would take a TERM with the shell's handler, and lose it.
        while read -r comm </proc/$!/comm && [ "$comm" != sleep ]; do :; done
        echo start {name} >{directory}/box
        while :; do wait $!; sleep 1000 & done
    """)


def test_the_stop_order_is_the_reverse_of_the_start_order(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(ini(*(program(f"p{n}", recorder(directory, f"p{n}"), priority=n) for n in (100, 300, 200))))
    with daemon:
        box.wait_start("start", 3)
        assert daemon.stop()[0] == 0
        assert [line for line in box.all() if line.startswith("stop")] == ["stop p300", "stop p200", "stop p100"]


def test_a_dependency_stops_after_what_depends_on_it_whatever_the_priorities(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(ini(
        program("db", recorder(directory, "db"), priority=200, startsecs=0),
        program("api", recorder(directory, "api", "sleep 0.3; echo drained >box; exit 0"), priority=200, depends_on="db:ready", directory=directory),
    ))
    with daemon:
        # On a busy machine the one that others depend on may be the last to say that it has started.
        box.wait_start("start", 2)
        assert daemon.stop()[0] == 0
        assert box.all()[-3:] == ["stop api", "drained", "stop db"]


def test_one_tier_stops_in_parallel(make, mode, directory):
    """Eight programs that need half a second each: half a second, not four (supervisord: 9.4 s)."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    slow = recorder(directory, "slow", "sleep 0.5; exit 0")
    daemon.write(ini(*(program(f"p{n}", slow, priority=5) for n in range(8))))
    with daemon:
        box.wait_start("start", 8)
        status, seconds = daemon.stop()
        assert status == 0 and 0.5 <= seconds < 2, seconds


def test_programs_that_are_down_cost_nothing(make, mode):
    """Ten groups that never started and one that runs: supervisord takes 10.8 s."""
    with make(ini(*(program(f"p{n}", "/bin/sleep 1000", autostart=False, priority=n) for n in range(10)),
                  program("main", "/bin/sleep 1000", priority=1)), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        status, seconds = daemon.stop()
        assert status == 0 and seconds < 1, seconds


def test_two_hundred_programs_stop_at_once(make, mode):
    with make(ini(*(program(f"p{n}", "/bin/sleep 1000", startsecs=0) for n in range(200))), mode=mode) as daemon:
        until(lambda: all(p["state"] == "RUNNING" for p in daemon.control.programs().values()), "all up")
        status, seconds = daemon.stop()
        assert status == 0 and seconds < 2, seconds


def test_one_deadline_is_shared_by_all(make, mode, actor):
    """Three tiers of deaf programs with a minute each: shutdown_timeout is the end for all of them together."""
    with make(ini(supervisord(shutdown_timeout=2),
                  *(program(f"p{n}", f"{actor} deaf", priority=n, startsecs=0, stopwaitsecs=60) for n in (1, 2, 3))), mode=mode) as daemon:
        until(lambda: all("deaf" in daemon.control.get(f"/v1/logs/p{n}").body.decode() for n in (1, 2, 3)), "all deaf")
        status, seconds = daemon.stop()
        assert status == 70, daemon.output()
        assert 1.0 <= seconds <= 2.3, seconds


def test_docker_stop_never_meets_its_kill(make, actor, directory):
    """The deadline of etc/genie, 9 s, with a program that hears nothing above one that needs a second: each has its share of the
    deadline, so that the database still closes by itself, and all is over within docker's 10 s."""
    daemon = make(mode="pid1")
    box = daemon.mailbox()
    daemon.write(ini(
        supervisord(shutdown_timeout=9),
        program("db", recorder(directory, "db", "sleep 1; echo closed >box; exit 0"), priority=1, directory=directory),
        program("api", f"{actor} deaf", priority=2, startsecs=0, stopwaitsecs=4),
    ))
    with daemon:
        box.wait_line("start db")
        until(lambda: "deaf" in daemon.control.get("/v1/logs/api").body.decode(), "deaf")
        status, seconds = daemon.stop(timeout=10)
        assert status == 70 and 1 <= seconds < 9.5, (status, seconds)
        assert box.all()[-1] == "closed"


def test_without_a_deadline_every_program_has_its_own(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(program("main", recorder(directory, "main", "sleep 1.5; exit 0"), stopwaitsecs=10))
    with daemon:
        box.wait_line("start main")
        status, seconds = daemon.stop()
        assert status == 0 and seconds >= 1.5


def test_stopasgroup_reaches_the_children_of_a_shell(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    child = script(directory, "child", f"trap 'echo child >{directory}/box; exit 0' TERM\necho up >{directory}/box\nwhile :; do sleep 0.05; done")
    daemon.write(program("main", script(directory, "parent", f"{child}\nexit 0"), stopasgroup=True))
    with daemon:
        box.wait_line("up")
        assert daemon.control.post("/v1/programs/main/stop").status == 200
        box.wait_line("child")
        daemon.wait_state("main", "STOPPED")


@pytest.mark.parametrize("state", ["STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "STOPPED"])
def test_term_in_every_state_of_a_program(make, mode, directory, state):
    """Whatever a program is doing: the daemon ends with 0, in time, and nothing is left."""
    keys = {
        "STARTING": dict(command="/bin/sleep 1000", startsecs=1000),
        "RUNNING": dict(command="/bin/sleep 1000", startsecs=0),
        "BACKOFF": dict(command="/bin/false", startsecs=5, startretries=10, backoff="initial:1000, factor:1, max:1000, jitter:0"),
        "STOPPING": dict(command=recorder(directory, "slow", "sleep 1; exit 0"), startsecs=0),
        "EXITED": dict(command="/bin/true", startsecs=0, autorestart=False),
        "FATAL": dict(command="/bin/false", startsecs=5, startretries=0),
        "STOPPED": dict(command="/bin/sleep 1000", autostart=False),
    }[state]
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(program("main", keys.pop("command"), **keys))
    with daemon:
        if state == "STOPPING":
            box.wait_line("start slow")
            daemon.control.post("/v1/programs/main/stop?wait=false")
        daemon.wait_state("main", state)
        status, seconds = daemon.stop()
        assert status == 0 and seconds < 3, (status, seconds, daemon.output())


def test_term_at_every_moment_of_a_start(make, mode, directory):
    """From the first instruction of hivesupd until all is up, in steps: always 0 and nothing left (pebble #502)."""
    slow = script(directory, "slow", "sleep 0.03\necho >&3\nexec sleep 1000")
    text = ini(
        program("init", "/bin/sleep 0.02", type="oneshot", startsecs=0, autorestart=False, priority=1),
        program("db", slow, priority=2, ready="notify-fd:3", depends_on="init:completed"),
        program("api", "/bin/sleep 1000", priority=3, depends_on="db:ready", startsecs=0),
    )
    for step in range(40):
        daemon = make(text, mode=mode).start()
        daemon.find()
        # Before it has blocked its signals a TERM ends it as it ends every program: that is the status 143 of a process, and as PID 1
        # the kernel drops it. From the control socket's appearance on it must be 0.
        if step:
            daemon.ready()
            deadline = time.monotonic() + step * 0.004
            while time.monotonic() < deadline:
                pass
        daemon.send(signal.SIGTERM)
        if step == 0 and mode == "pid1":
            until(lambda: daemon.process.poll() is not None or os.path.exists(daemon.socket), "ended or up")
            if daemon.process.poll() is None:
                daemon.send(signal.SIGTERM)
        status = daemon.wait(5)
        assert status == 0 or (step == 0 and status == 143), (step, status, daemon.output())
        daemon.assert_nothing_left()
        daemon.destroy()


def test_the_control_socket_is_gone_afterwards_and_a_new_daemon_takes_the_place_of_a_killed_one(make, directory):
    daemon = make(program("main", "/bin/sleep 1000"))
    with daemon:
        daemon.wait_state("main", "RUNNING")
    assert not os.path.exists(daemon.socket)
    daemon.start()
    daemon.find()
    daemon.ready()
    daemon.send(signal.SIGKILL)
    daemon.wait()
    daemon.destroy()
    with daemon:
        daemon.wait_state("main", "RUNNING")


def test_a_second_daemon_on_the_same_socket_is_refused(make, directory):
    with make(program("main", "/bin/sleep 1000")) as first:
        second = make(program("main", "/bin/sleep 1000"))
        assert second.run(10) == 2
        assert first.socket in second.text()
        assert first.control.get("/livez").status == 200


@pytest.mark.parametrize("request_stop", ["/v1/shutdown"])
def test_a_shutdown_by_the_control_socket_is_a_shutdown(make, mode, request_stop):
    with make(program("main", "/bin/sleep 1000"), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        assert daemon.control.post(request_stop).status in (200, 202)
        assert daemon.wait(5) == 0


def test_processes_of_its_own_are_all_gone_when_it_ends(make, actor, directory):
    """As a subreaper: a daemonized grandchild in a session of its own is ended with the rest."""
    daemon = make(program("main", f"{actor} daemonize /bin/sleep 1000", startsecs=0))
    with daemon:
        until(lambda: "daemonized" in daemon.control.get("/v1/logs/main").body.decode(), "daemonized")
        assert len(processes.descendants(daemon.pid)) == 2
        assert daemon.stop()[0] == 0
