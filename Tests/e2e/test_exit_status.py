"""Every exit status and every deadly signal of a program: how it is classified, and what the container's own status becomes.
All of them, not a sample."""

import signal

import pytest

from lab.config import ini, program, script, supervisord
from lab.daemon import PID1

#: Signals whose default action ends a process (signal(7)); 32 and 33 are the C library's, the kernel kills with them as well.
DEADLY = [n for n in range(1, 65) if n not in (
    signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH,
    signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
)]
#: Signals whose default action is to do nothing.
HARMLESS = [signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH]


def test_every_status_is_expected_or_not_as_exitcodes_says(make, mode, directory):
    """autorestart=unexpected: a program whose status is in exitcodes stays down, every other one is started again."""
    expected = {n for n in range(256) if n % 3 == 0}
    box = make(mode=mode)
    mailbox = box.mailbox()
    again = script(directory, "again", f"""
        if [ -e {directory}/ran$1 ]; then echo again $1 >{directory}/box; exec sleep 1000; fi
        : >{directory}/ran$1
        exit $1
    """)
    box.write(ini(*(
        program(f"x{n}", f"{again} {n}", startsecs=0, autorestart="unexpected", exitcodes=",".join(map(str, sorted(expected))))
        for n in range(256)
    )))
    with box:
        mailbox.wait_start("again ", 256 - len(expected), timeout=60)
        for n in expected:
            one = box.wait_state(f"x{n}", "EXITED")
            assert one["last_exit"]["exit_status"] == n and one["last_exit"]["expected"] is True, one
        programs = box.control.programs()
        for n in set(range(256)) - expected:
            one = programs[f"x{n}"]
            assert one["state"] == "RUNNING" and one["restarts"] == 1, one
            assert one["last_exit"]["exit_status"] == n and one["last_exit"]["expected"] is False, one
        again = [line for line in mailbox.all() if line.startswith("again ")]
        assert len(again) == len(set(again)) == 256 - len(expected)


def test_every_status_of_a_critical_program_is_the_containers(make, mode, directory):
    """1…255 after having been up."""
    for status in range(1, 256):
        leave = script(directory, "leave", f"exit {status}")
        daemon = make(program("main", leave, startsecs=0, autorestart=False, critical=True), mode=mode)
        assert daemon.run() == status, daemon.output()


def test_every_status_of_a_critical_oneshot_is_the_containers(make, mode, directory):
    for status in range(1, 256):
        leave = script(directory, "leave", f"exit {status}")
        daemon = make(
            program("main", leave, type="oneshot", startsecs=0, startretries=0, autorestart=False, critical=True), mode=mode)
        assert daemon.run() == status, daemon.output()


def test_a_critical_program_that_never_comes_up_ends_the_container_with_its_status(make, mode, directory):
    """FATAL after its retries, in STARTING each time."""
    for status in (1, 2, 42, 127, 128, 137, 143, 255):
        leave = script(directory, "leave", f"exit {status}")
        daemon = make(
            program("main", leave, startsecs=5, startretries=1, backoff="initial:0.01, factor:1, max:0.01, jitter:0",
                    critical=True), mode=mode)
        assert daemon.run() == status, daemon.output()


@pytest.mark.parametrize("command, status", [("/nonexistent/program", 127), ("/etc/passwd", 126)])
def test_a_critical_program_that_cannot_be_executed_ends_the_container_as_a_shell_would(make, mode, command, status):
    assert make(program("main", command, startretries=0, critical=True), mode=mode).run() == status


def test_a_critical_program_that_ends_as_expected_does_not_end_the_container(make, mode, directory):
    leave = script(directory, "leave", "exit 0")
    with make(program("main", leave, startsecs=0, autorestart="unexpected", critical=True), mode=mode) as daemon:
        daemon.wait_state("main", "EXITED")
        assert daemon.process.poll() is None
        assert daemon.stop()[0] == 0


def test_a_program_that_is_not_critical_never_decides_the_status(make, mode, directory):
    leave = script(directory, "leave", "exit 7")
    with make(program("main", leave, startsecs=0, autorestart=False), mode=mode) as daemon:
        daemon.wait_state("main", "EXITED")
        assert daemon.stop()[0] == 0


def test_every_deadly_signal_of_a_critical_program_is_128_and_its_number(make, mode, directory):
    for number in DEADLY:
        die = script(directory, "die", f"kill -{number} $$\nexit 99")
        daemon = make(program("main", die, startsecs=0, autorestart=False, critical=True), mode=mode)
        assert daemon.run() == 128 + number, (number, daemon.output())


def test_every_harmless_signal_leaves_a_program_alone(make, mode, directory):
    """Nothing that we blocked or ignored for ourselves may reach the program: its own exit follows."""
    for number in HARMLESS:
        live = script(directory, "live", f"kill -{number} $$\nexit 7")
        daemon = make(program("main", live, startsecs=0, autorestart=False, critical=True), mode=mode)
        assert daemon.run() == 7, (number, daemon.output())


def test_a_program_starts_with_no_signal_blocked_or_ignored(make, mode, directory):
    """Law 4: what PID 1 blocks for its signalfd, and SIGPIPE, must not be inherited."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    look = script(directory, "look", f"""
        grep -E '^Sig(Blk|Ign):' /proc/self/status >{directory}/box
        exec sleep 1000
    """)
    daemon.write(program("main", look))
    with daemon:
        lines = box.wait(lambda lines: lines if len(lines) >= 2 else None, "SigBlk and SigIgn")
        assert [int(line.split()[1], 16) for line in lines[:2]] == [0, 0], lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_asked_to_stop_is_status_0_whatever_the_programs_say(make, mode, directory, number):
    """A program that answers TERM with an error has still been stopped as asked."""
    rude = script(directory, "rude", "trap 'exit 9' TERM\necho up >>up\nwhile :; do sleep 1000 & wait; done")
    with make(ini(program("main", rude, critical=True, directory=directory, stopasgroup=True)), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        assert daemon.stop(number)[0] == 0, daemon.output()


def test_the_status_survives_pid_1(make, directory):
    """Docker sees what PID 1 of the namespace returns: a chain of supervisor and shell around it changes nothing."""
    leave = script(directory, "leave", "exit 42")
    daemon = make(ini(supervisord(nodaemon=True), program("main", leave, startsecs=0, autorestart=False, critical=True)), mode=PID1)
    assert daemon.run() == 42
