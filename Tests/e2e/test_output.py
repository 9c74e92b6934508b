"""Where the output of programs goes: files with rotation, the container's own output, the tail; and that nobody's reading or
not reading stops PID 1."""

import json
import os
import re
import signal
import subprocess
import time

from lab import processes
from lab.client import readable
from lab.config import ini, program, script
from lab.waiting import until


def test_files_rotate_by_size_with_supervisords_names(make, mode, actor, directory):
    """Nothing is lost: the files together have every byte, each at most its size, the newest without a number."""
    log = directory / "main.log"
    # 50 000 bytes, in files of 16 KB: three full ones and a rest, or with whole reads a little different; five are kept.
    with make(program("main", f"{actor} flood 50000", stdout_logfile=log, stdout_logfile_maxbytes="16KB", stdout_logfile_backups=5), mode=mode):
        def total():
            return sum(os.path.getsize(directory / name) for name in os.listdir(directory) if name.startswith("main.log"))

        until(lambda: total() == 50000, lambda: f"50000 bytes: {total()}")
        names = sorted(name for name in os.listdir(directory) if name.startswith("main.log"))
        assert names == ["main.log"] + [f"main.log.{n}" for n in range(1, len(names))] and len(names) >= 2, names
        for name in names[1:]:
            size = os.path.getsize(directory / name)
            assert size >= 16 * 1024, (name, size)


def test_only_so_many_rotated_files_are_kept(make, actor, directory):
    log = directory / "main.log"
    with make(program("main", f"{actor} flood 500000", stdout_logfile=log, stdout_logfile_maxbytes="10KB", stdout_logfile_backups=2)) as daemon:
        until(lambda: "flooded" in daemon.control.get("/v1/logs/main?stream=stderr").body.decode(), "flooded")
        names = lambda: sorted(name for name in os.listdir(directory) if name.startswith("main.log"))
        until(lambda: names() == ["main.log", "main.log.1", "main.log.2"], names)


def test_usr2_reopens_the_files(make, mode, directory):
    """logrotate's way: rename, USR2, and new lines go into a new file."""
    log = directory / "main.log"
    say = script(directory, "say", f"echo one\nread line <{directory}/gate\necho two\nexec sleep 1000")
    os.mkfifo(directory / "gate")
    with make(program("main", say, stdout_logfile=log, stdout_logfile_maxbytes=0), mode=mode) as daemon:
        until(lambda: log.exists() and log.read_text() == "one\n", "one")
        os.rename(log, directory / "main.log.old")
        daemon.send(signal.SIGUSR2)
        until(log.exists, "a new file")
        (directory / "gate").write_text("\n")
        until(lambda: log.read_text() == "two\n", lambda: log.read_text())
        assert (directory / "main.log.old").read_text() == "one\n"


def test_the_containers_output_is_the_inherited_descriptor(make, mode, directory):
    """/dev/stdout of a pipe or a file of another user cannot be reopened (supervisor #753, #1078, #1224); ours is written to."""
    say = script(directory, "say", "echo to stdout\necho to stderr >&2\nexec sleep 1000")
    with make(program("main", say, stdout_logfile="/dev/stdout", stdout_logfile_maxbytes=0,
                      stderr_logfile="/dev/stderr", stderr_logfile_maxbytes=0), mode=mode) as daemon:
        until(lambda: daemon.text(daemon.stdout_path) == "to stdout\n", daemon.output)
        until(lambda: "to stderr\n" in daemon.text(), daemon.output)


def test_prefix_and_json_lines(make, mode, directory):
    say = script(directory, "say", "echo 'a \"quoted\" line'\nexec sleep 1000")
    with make(ini(
        program("plain", say, stdout_logfile="/dev/stdout", stdout_logfile_maxbytes=0, log_format="prefix"),
        program("object", say, stdout_logfile="/dev/stdout", stdout_logfile_maxbytes=0, log_format="json"),
    ), mode=mode) as daemon:
        lines = until(lambda: len(ls := daemon.text(daemon.stdout_path).splitlines()) == 2 and ls, daemon.output)
        [prefixed] = [line for line in lines if not line.startswith("{")]
        [encoded] = [line for line in lines if line.startswith("{")]
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z plain stdout \| a "quoted" line', prefixed), prefixed
        values = json.loads(encoded)
        assert values["program"] == "object" and values["stream"] == "stdout" and 'a "quoted" line' in values.values(), values


def test_a_reader_that_stands_still_never_blocks_pid_1(make, mode, actor, directory):
    """The container's output is a pipe that nobody reads. Two megabytes later the daemon answers, restarts, and when the reader wakes
    up it is told how many lines it missed; the line count adds up."""
    reader, writer = os.pipe()
    daemon = make(ini(
        program("flood", f"{actor} flood 2000000", stdout_logfile="/dev/stdout", stdout_logfile_maxbytes=0),
        program("main", "/bin/sleep 1000", startsecs=0),
    ), mode=mode, stdout=writer)
    with daemon:
        os.close(writer)
        until(lambda: "flooded" in daemon.control.get("/v1/logs/flood?stream=stderr").body.decode(), "the flood is over, nobody having read", 20)
        begun = time.monotonic()
        os.kill(daemon.host_pid("main"), signal.SIGKILL)
        until(lambda: daemon.control.program("main")["restarts"] == 1, "main was restarted", 5)
        assert time.monotonic() - begun < 2
        # Idle, although bytes are waiting to be written: no busy loop.
        before = processes.cpu_seconds(daemon.pid)
        time.sleep(0.5)
        assert processes.cpu_seconds(daemon.pid) - before < 0.2
        data = b""
        while readable(reader, 1):
            data += os.read(reader, 1 << 16)
        text = data.decode()
        dropped = sum(int(n) for n in re.findall(r"(\d+) lines? dropped", text))
        whole = text.count("x" * 99 + "\n")
        assert dropped > 0, text[-500:]
        assert abs(dropped + whole - 20_000) <= 2, (dropped, whole)
        assert daemon.stop()[0] == 0
    os.close(reader)


def test_a_reader_that_goes_away_does_not_end_pid_1(make, mode, directory):
    """`docker logs` was cut, the pipe is broken: EPIPE and no more."""
    reader, writer = os.pipe()
    say = script(directory, "say", "while :; do echo line; sleep 0.02; done")
    daemon = make(program("main", say, stdout_logfile="/dev/stdout", stdout_logfile_maxbytes=0, startsecs=0), mode=mode, stdout=writer)
    with daemon:
        os.close(writer)
        assert os.read(reader, 100).startswith(b"line\n")
        os.close(reader)
        time.sleep(0.3)
        one = daemon.control.program("main")
        assert one["state"] == "RUNNING" and one["restarts"] == 0
        assert daemon.stop()[0] == 0


def test_the_tail_has_the_last_lines_and_follows(make, mode, directory):
    say = script(directory, "say", f"echo first\nread line <{directory}/gate\necho second\nexec sleep 1000")
    os.mkfifo(directory / "gate")
    with make(program("main", say), mode=mode) as daemon:
        from lab.daemon import HIVESUP

        until(lambda: daemon.control.get("/v1/logs/main").body == b"first\n", "first")
        follow = subprocess.Popen([HIVESUP, "ctl", "--socket", daemon.socket, "tail", "-f", "main"], stdout=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL)
        try:
            assert follow.stdout.readline() == b"first\n"
            (directory / "gate").write_text("\n")
            assert follow.stdout.readline() == b"second\n"
        finally:
            follow.kill()
            follow.wait()
            follow.stdout.close()


def test_a_full_disk_of_logs_stops_nothing(make, mode, directory):
    """/dev/full as the log file: every write is ENOSPC."""
    say = script(directory, "say", "while :; do echo line; sleep 0.02; done")
    with make(program("main", say, stdout_logfile="/dev/full", stdout_logfile_maxbytes=0, startsecs=0), mode=mode) as daemon:
        time.sleep(0.3)
        one = daemon.control.program("main")
        assert one["state"] == "RUNNING" and one["restarts"] == 0, (one, daemon.output())
