"""Whatever is orphaned in the container comes to PID 1, and is reaped at once; nothing outlives the stop."""

import os
import signal

import pytest

from lab import processes
from lab.config import ini, program, script
from lab.waiting import until


@pytest.mark.parametrize("lifetime_ms", [0, 300])
def test_five_thousand_orphans_are_reaped(make, mode, actor, lifetime_ms):
    daemon = make(mode=mode)
    daemon.write(ini(program("main", "/bin/sleep 1000"), program("maker", f"{actor} orphans 5000 {lifetime_ms}", autostart=False,
                                                                  stdout_logfile="NONE", stderr_logfile="NONE")))
    with daemon:
        main = daemon.wait_state("main", "RUNNING")
        with daemon.keeps_descriptors():
            assert daemon.control.post("/v1/programs/maker/start").status == 200
            maker = daemon.host_pid("maker")

            def only_the_two():
                return sorted(processes.children(daemon.pid)) == sorted([daemon.host_pid("main"), maker])

            until(lambda: "orphaned 5000" in daemon.control.get("/v1/logs/maker").body.decode(), "all 5000 made", 60)
            until(only_the_two, lambda: f"only main and maker: {processes.children(daemon.pid)[:20]}", 60)
            assert processes.zombies(daemon.pid) == []
            assert daemon.control.post("/v1/programs/maker/stop").status == 200
            daemon.wait_state("maker", "STOPPED")
        assert daemon.control.program("main")["pid"] == main["pid"]


def test_an_orphan_with_a_programs_former_id_changes_nothing(make, mode, actor):
    """Exits of strangers are nobody's: no program changes its state for them, whatever their status."""
    with make(program("maker", f"{actor} orphans 200 0"), mode=mode) as daemon:
        until(lambda: "orphaned 200" in daemon.control.get("/v1/logs/maker").body.decode(), "all made")
        until(lambda: len(processes.children(daemon.pid)) == 1, "all reaped")
        one = daemon.control.program("maker")
        assert one["state"] in ("STARTING", "RUNNING") and one["restarts"] == 0 and one["last_exit"] is None, one


def test_stopping_a_program_ends_what_it_daemonized(make, mode, actor, directory):
    """The grandchild has a session of its own: a group signal does not reach it. It gets TERM and time for it, not just a KILL."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    polite = script(directory, "polite", f"""
        trap 'echo bye >{directory}/box; exit 0' TERM
        echo up >{directory}/box
        while :; do sleep 1000 & wait $!; done
    """)
    daemon.write(program("main", f"{actor} daemonize {polite}"))
    with daemon:
        box.wait_line("up")
        daemon.wait_state("main", "RUNNING")
        assert daemon.control.post("/v1/programs/main/stop").status == 200
        daemon.wait_state("main", "STOPPED")
        box.wait_line("bye")
        until(lambda: processes.children(daemon.pid) == [], lambda: f"nothing below: {daemon.describe()}", 5)


def test_the_tree_of_a_dead_program_is_gone_before_it_is_started_again(make, mode, directory):
    """tini #236, pebble #594: a restart that collides with the children of the old one."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    parent = script(directory, "parent", f"""
        if [ -e {directory}/child ] && kill -0 "$(cat {directory}/child)" 2>/dev/null; then echo collision >{directory}/box; fi
        sleep 1000 & echo $! >{directory}/child
        echo up >{directory}/box
        wait
    """)
    daemon.write(program("main", parent, startsecs=0, backoff="initial:0.01, factor:1, max:0.01, jitter:0"))
    with daemon:
        for round in range(1, 6):
            box.wait_line("up", round)
            os.kill(daemon.host_pid("main"), signal.SIGKILL)
        box.wait_line("up", 6)
        assert "collision" not in box.all()


def test_at_the_end_every_process_gets_term_and_time(make, actor, directory):
    """tini and dumb-init end with their child: the kernel kills a daemonized grandchild at once. Here it may finish its half second."""
    daemon = make(mode="pid1")
    box = daemon.mailbox()
    slow = script(directory, "slow", f"""
        trap 'sleep 0.5; echo finished >{directory}/box; exit 0' TERM
        echo up >{directory}/box
        while :; do sleep 0.05; done
    """)
    daemon.write(program("main", f"{actor} daemonize {slow}"))
    with daemon:
        box.wait_line("up")
        daemon.wait_state("main", "RUNNING")
        assert daemon.stop()[0] == 0, daemon.output()
        box.wait_line("finished", timeout=1)


def test_an_exit_is_seen_although_a_grandchild_holds_the_pipe(make, mode, directory):
    """pebble #149: `exited` never waits for the end of file on the output."""
    holder = script(directory, "holder", "setsid sleep 1000 &\nexit 3")
    with make(program("main", holder, startsecs=0, autorestart=False), mode=mode) as daemon:
        one = daemon.wait_state("main", "EXITED", timeout=5)
        assert one["last_exit"]["exit_status"] == 3
