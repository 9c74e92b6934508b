"""Every signal sent to PID 1: the documented effect (docs/running.md) and nothing else. TERM, INT and QUIT stop; HUP reloads (test_reload); USR2 reopens
log files (test_output); everything else that can be caught does nothing."""

import os
import signal

import pytest

from lab import processes
from lab.config import ini, program, script
from lab.waiting import gone, until

STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
#: Faults. They are not blocked: one of our own must not be held back. The kernel keeps PID 1 from those that others send (signal(7)).
FAULTS = {signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS}
UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
WITH_EFFECT = STOPPING | {signal.SIGHUP, signal.SIGUSR2} | FAULTS | UNCATCHABLE
WITHOUT_EFFECT = [n for n in range(1, 65) if n not in WITH_EFFECT]


@pytest.mark.parametrize("number", sorted(STOPPING))
def test_term_int_and_quit_stop(make, mode, number):
    with make(program("main", "/bin/sleep 1000"), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        status, seconds = daemon.stop(number)
        assert status == 0 and seconds < 2, (status, seconds, daemon.output())


def test_every_other_signal_does_nothing(make, mode, directory):
    """Each is sent three times; then the daemon still answers, and the program has neither been signalled nor restarted."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    # A shell can trap everything that can be caught; each would be told.
    listen = script(directory, "listen", "\n".join(
        [f"trap 'echo got {n} >{directory}/box' {n}" for n in WITHOUT_EFFECT if n not in (signal.SIGCHLD, 32, 33)]
        + [f"echo up >{directory}/box", "while :; do sleep 1000 & wait $!; done"]
    ))
    daemon.write(program("main", listen, stopasgroup=True))
    with daemon:
        box.wait_line("up")
        before = daemon.wait_state("main", "RUNNING")
        for number in WITHOUT_EFFECT:
            for _ in range(3):
                daemon.send(number)
            assert daemon.control.get("/livez").status == 200, number
        after = daemon.control.program("main")
        assert (after["pid"], after["restarts"], after["state"]) == (before["pid"], before["restarts"], "RUNNING")
        assert box.all() == ["up"]


def test_faults_sent_by_others_do_not_reach_pid_1(make):
    with make(program("main", "/bin/sleep 1000", startsecs=0), mode="pid1") as daemon:
        before = daemon.wait_state("main", "RUNNING")
        for number in sorted(FAULTS):
            daemon.send(number)
            assert daemon.control.get("/livez").status == 200, number
        assert daemon.control.program("main")["pid"] == before["pid"]


def test_ten_thousand_signals_at_once_lose_nothing(make, mode):
    """A storm of CHLD, USR1 and WINCH: the loop drains its signalfd, sees the one exit among them, and still stops."""
    with make(ini(program("main", "/bin/sleep 1000"), program("other", "/bin/sleep 1000")), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        first = daemon.host_pid("other")
        for i in range(10_000):
            daemon.send((signal.SIGCHLD, signal.SIGUSR1, signal.SIGWINCH)[i % 3])
            if i == 5_000:
                os.kill(first, signal.SIGKILL)
        until(lambda: daemon.control.program("other")["restarts"] == 1, "other was restarted once")
        assert daemon.stop()[0] == 0


def test_a_second_term_goes_to_the_next_step_of_the_stop_plan(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    stubborn = script(directory, "stubborn", f"""
        trap 'echo INT >{directory}/box' INT
        trap 'echo QUIT >{directory}/box; exit 0' QUIT
        echo up >{directory}/box
        while :; do sleep 1000 & wait $!; done
    """)
    daemon.write(program("main", stubborn, stop_plan="INT:60, QUIT:60"))
    with daemon:
        box.wait_line("up")
        daemon.wait_state("main", "RUNNING")
        daemon.send(signal.SIGTERM)
        box.wait_line("INT")
        assert box.all() == ["up", "INT"]
        daemon.send(signal.SIGTERM)
        box.wait_line("QUIT")
        assert daemon.wait(5) == 0, daemon.output()


def test_every_further_term_escalates_until_kill(make, mode, actor):
    """A program that hears nothing: TERM, TERM again, and it is killed long before its stopwaitsecs."""
    daemon = make(program("main", f"{actor} deaf", stop_plan="TERM:60, INT:60", startsecs=0), mode=mode)
    with daemon:
        pid = daemon.host_pid("main")
        until(lambda: (processes.status(pid, "SigIgn") or ["0"])[0].startswith("f"), "deaf ignores signals", 5)
        for _ in range(3):
            assert gone([pid], 0.05) == [pid]
            daemon.send(signal.SIGTERM)
        assert gone([pid], 5) == []
        # Not in time by its own plan: the documented status for having had to kill.
        assert daemon.wait(5) == 70, daemon.output()


def test_kill_of_pid_1_leaves_nothing(make):
    """The kernel ends a namespace with its PID 1; nothing outlives it."""
    daemon = make(program("main", "/bin/sleep 1000"), mode="pid1").start()
    daemon.find()
    daemon.ready()
    daemon.wait_state("main", "RUNNING")
    daemon.send(signal.SIGKILL)
    # What unshare makes of it is its own affair; that it was no clean stop must be seen.
    assert daemon.wait() != 0
    daemon.assert_nothing_left()


def test_stopped_and_continued_it_goes_on(make, mode):
    """SIGSTOP and SIGCONT (a frozen container): what happened meanwhile is seen afterwards."""
    with make(program("main", "/bin/sleep 1000"), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        pid = daemon.host_pid("main")
        daemon.send(signal.SIGSTOP)
        until(lambda: processes.stat(daemon.pid) == "T", "hivesupd is stopped")
        os.kill(pid, signal.SIGKILL)
        daemon.send(signal.SIGCONT)
        again = until(lambda: (p := daemon.control.program("main"))["restarts"] == 1 and p, "main was restarted")
        assert again["last_exit"]["signal"] in ("KILL", "SIGKILL", 9), again
