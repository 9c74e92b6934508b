"""`hivesup PROGRAM …`: hivesup as the init of one program (docs/running.md). tini's contract, and what goes beyond it."""

import contextlib
import hashlib
import os
import pathlib
import resource
import signal
import subprocess
import time

import pytest

from lab import processes
from lab.config import script
from lab.daemon import HIVESUP, HIVESUPD, PID1, SUBREAPER, hivesup, unshare
from lab.terminal import Terminal
from lab.waiting import until

#: Everything that can be caught, but for the init's own business and the C library's two.
FORWARDED = [n for n in range(1, 65) if n not in (
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU, 32, 33)]
DEADLY = [n for n in range(1, 65) if n not in (
    signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)]


@pytest.fixture
def start(make, mode):
    """Makes an init of these words."""
    return lambda *words, **options: make(mode=mode, command=[HIVESUP, *map(str, words)], **options)


@pytest.fixture
def terminal(directory):
    """Starts words on a terminal of their own; kills what is left of them."""
    made = []

    def build(*words, mode=SUBREAPER):
        argv = (unshare() if mode == PID1 else []) + [str(word) for word in words]
        one = Terminal(argv, {"PATH": f"{os.path.dirname(HIVESUP)}:/usr/bin:/bin", "LANG": "C.UTF-8"}, cwd=directory)
        made.append(one)
        return one

    yield build
    for one in made:
        below = processes.descendants(one.process.pid)
        one.close()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


# --- words -------------------------------------------------------------------------------------------------------------------


def test_a_slip_of_the_pen_is_answered_with_usage_and_2():
    for word, meant in [("statsu", "ctl status"), ("chekc", "check"), ("restart", "ctl restart")]:
        done = hivesup(word, "whatever")
        assert done.returncode == 2 and done.stdout == "", done
        assert f"Did you mean 'hivesup {meant}'?\n" in done.stderr and "Usage: hivesup" in done.stderr, done
    done = hivesup("frobnicate")
    assert done.returncode == 2 and "Usage: hivesup" in done.stderr and "Did you mean" not in done.stderr, done
    done = hivesup("--")
    assert done.returncode == 2 and "no program follows" in done.stderr, done


def test_126_and_127_are_the_shells(directory):
    closed = pathlib.Path(directory, "closed")
    closed.write_text("#!/bin/sh\n")
    closed.chmod(0o644)
    orphaned = script(directory, "orphaned", "exit 3")
    pathlib.Path(orphaned).write_text("#!/nowhere/interpreter\n")
    for words, status, text in [
        ([closed], 126, "cannot run"), (["--", closed], 126, "cannot run"), ([directory], 126, "cannot run"),
        (["/nowhere/program"], 127, "No such file"), (["--", "frobnicate"], 127, "in PATH"), (["--", "check"], 127, "in PATH"),
        ([orphaned], 127, "interpreter"),
    ]:
        done = hivesup(*words)
        assert done.returncode == status and text in done.stderr and done.stdout == "", done
        assert len(done.stderr.splitlines()) == 1, done


def test_a_program_for_another_machine_is_126_and_no_shell_script(directory):
    alien = pathlib.Path(directory, "alien")
    # An ELF header that no kernel here executes (machine 0xFFFF).
    alien.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xff\xff" + bytes(44))
    alien.chmod(0o755)
    done = hivesup(alien)
    assert done.returncode == 126 and "architecture" in done.stderr, done


def test_a_script_without_a_first_line_is_the_shells(directory):
    plain = pathlib.Path(directory, "plain")
    plain.write_text('printf "%s|" "$0" "$@"; exit 5\n')
    plain.chmod(0o755)
    done = hivesup(plain, "a b", "c")
    assert (done.returncode, done.stdout) == (5, f"{plain}|a b|c|"), done


def test_two_dashes_run_a_program_of_a_commands_name(directory):
    script(directory, "check", 'echo "mine $*"')
    path = {"PATH": f"{directory}:/usr/bin:/bin"}
    assert hivesup("--", "check", "--help", environment=path).stdout == "mine --help\n"
    assert "mine" not in hivesup("check", "--help", environment=path).stdout
    # Behind the program's name everything is the program's.
    assert hivesup("echo", "--", "-c", "--version").stdout == "-- -c --version\n"


def test_control_needs_no_configuration(make, directory):
    """`docker exec … hivesup ctl status` as a user who can read no configuration."""
    with make("[program:main]\ncommand=/bin/sleep 1000\nstartsecs=0\n") as daemon:
        daemon.wait_state("main", "RUNNING")
        os.chmod(daemon.config, 0)
        done = hivesup("ctl", "status", environment={"HIVESUP_SOCKET": daemon.socket})
        assert done.returncode == 0 and "main" in done.stdout and done.stderr == "", done


def test_hivesupd_refuses_half_an_init():
    for words in (["--init"], ["--init", "/bin/true"], ["--init", "/bin/true", "--"], ["--init", "/bin/true", "x", "y"]):
        done = subprocess.run([HIVESUPD, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
        assert done.returncode == 2 and "usage: hivesupd" in done.stderr, done


# --- statuses ----------------------------------------------------------------------------------------------------------------


def test_the_exit_status_is_kept(start):
    for status in sorted({*range(0, 256, 7), 1, 2, 126, 127, 128, 129, 137, 143, 254, 255}):
        assert start("sh", "-c", f"exit {status}").run() == status


def test_every_deadly_signal_is_128_and_its_number(start):
    for number in DEADLY:
        assert start("sh", "-c", f"kill -{number} $$; exit 99").run() == 128 + number


# --- signals -----------------------------------------------------------------------------------------------------------------


def test_every_signal_reaches_the_program_once(start, actor):
    """Also those that report faults, when somebody sends them: a core dump of a hanging program is asked for so."""
    init = start(actor, "signals")
    init.start()
    init.find()
    until(lambda: "foreground" in init.text(init.stdout_path), init.output)
    for number in FORWARDED:
        init.send(number)
        until(lambda: f"got {number}\n" in init.text(init.stdout_path), lambda: f"{number} arrives: {init.describe()}")
    for number in (signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU):
        init.send(number)
    init.send(signal.SIGUSR1)
    until(lambda: init.text(init.stdout_path).count("got 10\n") == 2, init.output)
    lines = init.text(init.stdout_path).splitlines()
    assert lines == ["foreground -1", *(f"got {n}" for n in FORWARDED), "got 10"], lines
    os.kill(processes.children(init.pid)[0], signal.SIGKILL)
    assert init.wait() == 137


def test_a_burst_of_real_time_signals_arrives_whole(start, actor):
    init = start(actor, "signals")
    init.start()
    init.find()
    until(lambda: "foreground" in init.text(init.stdout_path), init.output)
    for _ in range(500):
        init.send(signal.SIGRTMIN + 3)
    until(lambda: init.text(init.stdout_path).count(f"got {signal.SIGRTMIN + 3}\n") == 500, init.output)
    os.kill(processes.children(init.pid)[0], signal.SIGKILL)
    assert init.wait() == 137


def test_the_program_has_no_signal_blocked_or_ignored(directory):
    """Whatever hivesup's own parent ignores and blocks. An ignored CHLD would also lose the exit status (wait(2))."""
    look = script(directory, "look", "grep -E '^Sig(Blk|Ign):' /proc/self/status; exit 3")

    def rude():
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD, signal.SIGTSTP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2, signal.SIGRTMIN])

    done = subprocess.run([HIVESUP, look], stdout=subprocess.PIPE, text=True, timeout=20, preexec_fn=rude, restore_signals=False)
    assert [int(line.split()[1], 16) for line in done.stdout.splitlines()] == [0, 0] and done.returncode == 3, done


def test_a_parent_that_ignores_chld_loses_no_exit_of_a_supervised_program(make):
    daemon = make("[program:main]\ncommand=/bin/sh -c 'exit 7'\nstartsecs=0\nautorestart=false\ncritical=true\n")
    # Not this process's own disposition: a daemon that ends while it is set takes its status with it.
    daemon.command = ["env", "--ignore-signal=CHLD", HIVESUP, "run", "-c", str(daemon.config)]
    daemon.start()
    assert daemon.wait() == 7, daemon.output()


def test_a_term_during_the_start_is_not_lost(make, directory):
    """As PID 1 the kernel drops what has the default action. From the moment when hivesup takes TERM, each one counts: in hivesup, on the
    way to hivesupd, in hivesupd, with the program and without."""
    for attempt in range(40):
        init = make(mode=PID1, command=[HIVESUP, "sleep", "1000"]).start()

        def ours():
            assert init.process.poll() is None, init.output()
            for pid in processes.children(init.process.pid):
                if processes.executable(pid) in ("hivesup", "hivesupd"):
                    taken = [processes.status(pid, key) for key in ("SigCgt", "SigBlk")]
                    if any(mask and int(mask[0], 16) & 1 << signal.SIGTERM - 1 for mask in taken):
                        return pid
            return None

        init.pid = until(ours, "hivesup takes TERM", pause=0)
        time.sleep(attempt * 0.0005)
        init.send(signal.SIGTERM)
        assert init.wait(10) == 128 + signal.SIGTERM, init.output()


def test_stopped_and_continued_it_goes_on(start, actor):
    init = start(actor, "signals")
    init.start()
    init.find()
    until(lambda: "foreground" in init.text(init.stdout_path), init.output)
    init.send(signal.SIGSTOP)
    until(lambda: processes.stat(init.pid) == "T", "it is stopped")
    init.send(signal.SIGUSR1)
    init.send(signal.SIGCONT)
    until(lambda: {"got 10", "got 18"} <= set(init.text(init.stdout_path).splitlines()), init.output)
    os.kill(processes.children(init.pid)[0], signal.SIGKILL)
    assert init.wait() == 137


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_a_stop_that_was_asked_for_stays(start, number):
    """STOP for the program itself, TSTP through hivesup, which then stops too unless it is PID 1: CONT to hivesup ends both."""
    init = start("sleep", "1000")
    init.start()
    init.find()
    child = until(lambda: processes.children(init.pid), "the program")[0]
    until(lambda: processes.executable(child) == "sleep", "it runs")
    if number == signal.SIGSTOP:
        os.kill(child, number)
    else:
        init.send(number)
    own = "T" if number == signal.SIGTSTP and init.mode == SUBREAPER else "S"
    until(lambda: processes.stat(child) == "T" and processes.stat(init.pid) == own, init.describe)
    # Time enough for a wrong CONT.
    time.sleep(0.1)
    assert processes.stat(child) == "T"
    init.send(signal.SIGCONT)
    until(lambda: processes.stat(child) == "S", init.describe)
    init.send(signal.SIGTERM)
    assert init.wait() == 143


# --- what it passes on -------------------------------------------------------------------------------------------------------


def test_standard_input_and_output_are_the_programs_own():
    data = os.urandom(4 << 20)
    done = subprocess.run([HIVESUP, "sh", "-c", "echo aside >&2; cat"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0 and done.stderr == b"aside\n"
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_descriptors_are_inherited_as_they_are(directory):
    """A closed one stays closed, another one stays open at its number; nothing of hivesup's own is among them."""
    file = pathlib.Path(directory, "file")
    file.write_text("seven\n")
    done = subprocess.run(
        ["sh", "-c", 'exec 7<"$1" 0<&-; shift; exec "$@"', "-", file, HIVESUP, "sh", "-c", "cat <&7; ls -l /proc/$$/fd"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    lines = done.stdout.splitlines()
    numbers = sorted(int(line.split()[-3]) for line in lines if " -> " in line)
    assert lines[0] == "seven" and numbers == [1, 2, 7], done
    for closed in ("0<&-", "1<&-", "2<&-", "0<&- 1<&- 2<&-"):
        done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "-", HIVESUP, "sh", "-c", "exit 6"], timeout=20)
        assert done.returncode == 6, closed


def test_arguments_and_environment_are_bytes():
    word, variable = b"caf\xe9 \xff\xfe", b"\xe9\xff"
    done = subprocess.run(
        [HIVESUP.encode(), b"sh", b"-c", b'printf "%s/%s" "$1" "$V"; ps -o args= -p $$ >&2', b"-", word, b""],
        env={b"PATH": b"/usr/bin:/bin", b"V": variable, b"LC_ALL": b"C"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    assert done.stdout == word + b"/" + variable, done


def test_limits_umask_directory_and_priority_are_inherited(directory):
    def change():
        os.umask(0o027)
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (333, 444))

    done = subprocess.run(
        [HIVESUP, "sh", "-c", "umask; nice; ulimit -Sn; ulimit -Hn; pwd"], stdout=subprocess.PIPE, text=True, timeout=20, preexec_fn=change,
        cwd=directory)
    assert done.stdout.split() == ["0027", "3", "333", "444", str(directory)], done


# --- orphans -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime_ms", [0, 200])
def test_two_hundred_orphans_are_reaped(start, actor, lifetime_ms):
    init = start(actor, "orphans", 200, lifetime_ms)
    init.start()
    init.find()
    until(lambda: "orphaned 200" in init.text(init.stdout_path), init.output, 60)
    main = until(lambda: (c := processes.children(init.pid)) and len(c) == 1 and c[0], lambda: f"only the program: {init.describe()}")
    assert processes.executable(main) == "actor" and processes.zombies(init.pid) == []
    init.send(signal.SIGTERM)
    assert init.wait() == 143
    init.assert_nothing_left()


def test_a_daemon_that_outlives_the_program_gets_term_and_its_time(start, actor, directory):
    """tini and dumb-init end with their child, and the kernel kills the rest at once. The status is the program's all the same."""
    init = start("sh", "-c", f"{actor} daemonize {directory}/slow & exec {directory}/leave")
    box = init.mailbox()
    script(directory, "slow", f"""
        trap 'sleep 0.5; echo finished >{directory}/box; exit 0' TERM
        echo up >{directory}/box
        while :; do sleep 0.05; done
    """)
    script(directory, "leave", f"while ! [ -e {directory}/go ]; do sleep 0.01; done; exit 42")
    init.start()
    init.find()
    box.wait_line("up")
    pathlib.Path(directory, "go").touch()
    begun = time.monotonic()
    assert init.wait() == 42, init.output()
    assert 0.4 < time.monotonic() - begun < 4
    box.wait_line("finished", timeout=1)
    init.assert_nothing_left()


def test_what_does_not_hear_term_is_killed_after_five_seconds(start, actor):
    init = start("sh", "-c", f"{actor} deaf & sleep 0.3; exit 9")
    begun = time.monotonic()
    assert init.run() == 9
    assert 4.5 < time.monotonic() - begun < 8


def test_further_signals_reach_those_who_are_left(start, actor, directory):
    """While a daemon takes its time, a second signal is for it. (A shell starts it with INT and QUIT ignored.)"""
    init = start("sh", "-c", f"{directory}/stubborn & while ! [ -e {directory}/go ]; do sleep 0.01; done; exit 4")
    box = init.mailbox()
    script(directory, "stubborn", f"""
        trap 'echo TERM >{directory}/box' TERM
        trap 'echo HUP >{directory}/box; exit 0' HUP
        echo up >{directory}/box
        while :; do sleep 0.02; done
    """)
    init.start()
    init.find()
    box.wait_line("up")
    pathlib.Path(directory, "go").touch()
    box.wait_line("TERM")
    begun = time.monotonic()
    init.send(signal.SIGHUP)
    box.wait_line("HUP")
    assert init.wait() == 4 and time.monotonic() - begun < 3


def test_it_does_not_wake_up_while_nothing_happens(start):
    init = start("sleep", "1000")
    init.start()
    init.find()
    until(lambda: [processes.executable(pid) for pid in processes.children(init.pid)] == ["sleep"], init.describe)
    until(lambda: processes.stat(init.pid) == "S", "it sleeps")
    before = processes.status(init.pid, "voluntary_ctxt_switches")
    # The time in which tini would have woken up at least once.
    time.sleep(1.2)
    assert processes.status(init.pid, "voluntary_ctxt_switches") == before
    assert processes.executable(init.pid) == os.path.basename(HIVESUPD)
    init.send(signal.SIGTERM)
    assert init.wait() == 143


# --- the terminal ------------------------------------------------------------------------------------------------------------


def test_the_program_owns_the_terminal(terminal, mode, actor):
    """It is in the foreground from its first instruction; keys that signal and the window's size reach it, once and from the terminal."""
    tty = terminal(HIVESUP, actor, "signals", mode=mode)
    tty.wait("foreground 1\n")
    tty.write("\x03")
    tty.wait("got 2\n")
    tty.write("\x1c")
    tty.wait("got 3\n")
    tty.resize(40, 100)
    tty.wait("got 28\n")
    tty.write("\x03")
    tty.wait("got 2\n", 2)
    assert tty.text.splitlines() == ["foreground 1", "got 2", "got 3", "got 28", "got 2"], tty.text


def test_ctrl_c_ends_the_program_and_the_status_says_so(terminal, mode):
    tty = terminal(HIVESUP, "sh", "-c", "echo up; exec sleep 1000", mode=mode)
    tty.wait("up\n")
    tty.write("\x03")
    assert tty.wait_end(10) == 130


def test_end_of_input_reaches_the_program(terminal, mode):
    tty = terminal(HIVESUP, "cat", mode=mode)
    tty.write("one\n")
    tty.wait("one\n")
    tty.write("\x04")
    assert tty.wait_end(10) == 0


def test_ctrl_z_without_a_shell_does_not_hang(terminal, mode):
    """Nobody could continue the program: it goes on. With tini it stands still for ever."""
    tty = terminal(HIVESUP, "cat", mode=mode)
    for turn in range(3):
        tty.write(f"before {turn}\n")
        tty.wait(f"before {turn}\n")
        tty.write("\x1a")
        tty.write(f"after {turn}\n")
        tty.wait(f"after {turn}\n", timeout=10)
    tty.write("\x04")
    assert tty.wait_end(10) == 0


def test_ctrl_z_below_another_init_does_not_hang(terminal, directory):
    """`docker run --init`: hivesup is a child of PID 1, in a process group of its own; PID 1 is no shell."""
    tty = terminal(HIVESUP, HIVESUP, "cat", mode=PID1)
    tty.write("before\n")
    tty.wait("before\n")
    tty.write("\x1a")
    tty.write("after\n")
    tty.wait("after\n", timeout=10)
    tty.write("\x04")
    assert tty.wait_end(10) == 0


def test_a_shells_job_control_works(terminal):
    """Ctrl-Z gives the shell back, `fg` the program; and at the end the shell has its terminal."""
    tty = terminal("bash", "--norc", "--noprofile", "-i")
    tty.write("PS1='ready> '\n")
    tty.wait("ready> ")
    tty.write("hivesup cat; echo status=$?\n")
    tty.write("one\n")
    tty.wait("one\n")
    tty.write("\x1a")
    tty.wait("Stopped", timeout=10)
    tty.write("echo shell=$((40+2))\n")
    tty.wait("shell=42\n")
    tty.write("fg\n")
    tty.write("two\n")
    tty.wait("two\n", timeout=10)
    tty.write("\x04")
    tty.write("echo over=$((50+5))\n")
    tty.wait("over=55\n", timeout=10)
    tty.write("exit 3\n")
    assert tty.wait_end(10) == 3


def test_in_the_background_it_waits_for_the_terminal(terminal):
    """A job that reads is stopped, seen as such by the shell, and reads on after `fg`; it never takes what the shell has."""
    tty = terminal("bash", "--norc", "--noprofile", "-i")
    tty.write("PS1='ready> '\n")
    tty.wait("ready> ")
    tty.write("hivesup cat &\n")
    tty.wait("ready> ", 2)
    tty.write("sleep 0.3; jobs\n")
    tty.wait("Stopped", timeout=10)
    tty.write("fg\n")
    tty.write("one\n")
    tty.wait("one\n", timeout=10)
    tty.write("\x04")
    tty.write("exit 3\n")
    assert tty.wait_end(10) == 3


def test_the_terminal_is_given_back(terminal):
    """A script that goes on in hivesup's process group can read."""
    tty = terminal("sh", "-c", "hivesup true; read line; echo \"got $line\"")
    tty.write("words\n")
    tty.wait("got words\n", timeout=10)
    assert tty.wait_end(10) == 0


def test_a_hang_up_reaches_the_program(terminal, directory):
    tty = terminal(HIVESUP, "sh", "-c", f"trap 'echo HUP >{directory}/hup; exit 5' HUP; echo up; while :; do sleep 0.02; done")
    tty.wait("up\n")
    tty.hang_up()
    assert tty.wait_end(10) == 5
    assert pathlib.Path(directory, "hup").read_text() == "HUP\n"
