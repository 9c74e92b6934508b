"""What hivesupd needs of a container's file system: nothing but a place for its socket, which may be an empty tmpfs."""

import os
import pathlib
import signal
import stat
import subprocess

import pytest

from lab import processes
from lab.config import program
from lab.daemon import HIVESUP, PID1, SUBREAPER
from lab.waiting import until

MAIN = program("main", "/bin/sleep 1000", startsecs=0)


def permissions(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def at(daemon, path):
    """Moves the daemon's control socket and pidfile below `path`."""
    daemon.socket = daemon.control.path = f"{path}/control.sock"
    daemon.write(f"[supervisord]\numask=077\n{MAIN}")
    daemon.config.write_text(daemon.config.read_text().replace(f"pidfile={daemon.directory}/pid", f"pidfile={path}/pids/hivesupd.pid"))
    return daemon


def test_missing_directories_of_socket_and_pidfile_are_made(make, mode, directory):
    """Whatever the umask is, other users' programs can pass; the socket has its own mode."""
    daemon = at(make(mode=mode), f"{directory}/run/hivesup")
    with daemon:
        daemon.wait_state("main", "RUNNING")
        for made in ("run", "run/hivesup", "run/hivesup/pids"):
            assert permissions(f"{directory}/{made}") == 0o755, made
        assert permissions(daemon.socket) == 0o700
        pid = pathlib.Path(directory, "run/hivesup/pids/hivesupd.pid")
        assert int(until(lambda: pid.exists() and pid.read_text(), "the pidfile")) == processes.namespace_pid(daemon.pid)


def test_an_existing_directory_keeps_its_mode(make, mode, directory):
    pathlib.Path(directory, "run").mkdir(0o710)
    pathlib.Path(directory, "run").chmod(0o710)
    with at(make(mode=mode), f"{directory}/run"):
        assert permissions(f"{directory}/run") == 0o710


def test_a_socket_that_cannot_be_had_is_told_and_2(make, mode, directory):
    pathlib.Path(directory, "file").touch()
    daemon = at(make(mode=mode), f"{directory}/file/below")
    assert daemon.run() == 2
    lines = [line for line in daemon.text().splitlines() if "cannot listen on" in line]
    assert len(lines) == 1 and f"{directory}/file/below" in lines[0] and "Not a directory" in lines[0], daemon.output()
    if os.geteuid() != 0:
        closed = pathlib.Path(directory, "closed")
        closed.mkdir(0o555)
        daemon = at(make(mode=mode), f"{closed}/below")
        assert daemon.run() == 2
        assert f"cannot make the directory {closed}/below: Permission denied (uid {os.geteuid()} may not write in {closed}" in daemon.text()


def test_a_pidfile_that_cannot_be_written_is_a_line_in_the_log(make, mode, directory):
    pathlib.Path(directory, "file").touch()
    daemon = make(MAIN, mode=mode)
    daemon.config.write_text(daemon.config.read_text().replace(f"pidfile={directory}/pid", f"pidfile={directory}/file/pid"))
    with daemon:
        daemon.wait_state("main", "RUNNING")
        assert f"could not write pidfile {directory}/file/pid: cannot" in daemon.text(), daemon.output()


def identities():
    """Users of a container: as it is, and where this is root an arbitrary one with group 0 (OpenShift's)."""
    return [None] + ([12345] if os.geteuid() == 0 else [])


@pytest.mark.parametrize("uid", identities())
@pytest.mark.parametrize("writable_run", [True, False])
def test_a_read_only_container_without_tmp(make, directory, uid, writable_run):
    """`--read-only --tmpfs /run`: no /tmp to write in. Without the tmpfs there is one clear sentence."""
    user = [] if uid is None else ["setpriv", "--reuid", str(uid), "--regid", "0", "--clear-groups", "--"]
    tmpfs = "mount -t tmpfs -o mode=1777 tmpfs /run" if writable_run else ":"
    inside = f"set -e\n{tmpfs}\nmount -o remount,bind,ro /\n[ -w /tmp ] && exit 99\nexec \"$@\""
    spaces = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        spaces += ["--user", "--map-root-user"]
    daemon = make(mode=SUBREAPER, command=[*spaces, "sh", "-c", inside, "sh", *user, HIVESUP, "run", "-c", str(directory / "hivesup.conf")])
    daemon.config.write_text(
        "[supervisord]\ncontrol_socket=/run/hivesup/control.sock\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=/run/hivesup/pid\n"
        + program("main", "/bin/sleep 1000", startsecs=0, stdout_logfile="/dev/stdout", stdout_logfile_maxbytes=0, redirect_stderr=True))
    daemon.config.chmod(0o644)
    daemon.start()
    if not writable_run:
        assert daemon.wait() == 2, daemon.output()
        assert "cannot listen on unix:/run/hivesup/control.sock: cannot make the directory /run/hivesup: " in daemon.text()
        assert "(/run is on a read-only file system: mount a tmpfs there (--tmpfs /run)" in daemon.text(), daemon.output()
        return
    daemon.find()
    daemon.socket = daemon.control.path = f"/proc/{daemon.pid}/root/run/hivesup/control.sock"
    daemon.ready()
    assert daemon.wait_state("main", "RUNNING")
    made = f"/proc/{daemon.pid}/root/run/hivesup"
    assert permissions(made) == 0o755 and os.stat(made).st_uid == (uid if uid is not None else os.geteuid())
    assert daemon.stop()[0] == 0, daemon.output()


def test_below_another_init_it_is_a_subreaper(make, actor):
    """`docker run --init`: not PID 1, and yet orphans come to hivesupd and nothing is left at the end. Here the other init is hivesup's own."""
    daemon = make(program("main", f"{actor} orphans 50 20", startsecs=0), mode=PID1)
    daemon.command = [HIVESUP, HIVESUP, "run", "-c", str(daemon.config)]
    daemon.start()
    daemon.find()
    init = daemon.pid
    daemon.pid = until(lambda: next((p for p in processes.children(init) if processes.executable(p) == "hivesupd"), None), "the supervisor")
    daemon.ready()
    until(lambda: "orphaned 50" in daemon.control.get("/v1/logs/main").body.decode(), "all made")
    until(lambda: len(processes.children(daemon.pid)) == 1, lambda: f"all reaped: {daemon.describe()}")
    assert processes.children(init) == [daemon.pid] and processes.namespace_pid(daemon.pid) != 1
    os.kill(init, signal.SIGTERM)
    assert daemon.wait() == 0, daemon.output()
    daemon.assert_nothing_left()


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_it_runs_without_standard_descriptors(make, mode, directory, closed):
    daemon = make(MAIN, mode=mode, command=["sh", "-c", f'exec "$@" {closed}', "sh", HIVESUP, "run", "-c", str(directory / "hivesup.conf")])
    with daemon:
        daemon.wait_state("main", "RUNNING")
        targets = processes.descriptors(daemon.pid)
        assert [targets[n] == "/dev/null" for n in range(3)][: closed.count("&-")] == [True] * closed.count("&-"), targets
        assert daemon.stop()[0] == 0


def test_run_finds_the_images_configuration_by_itself(directory):
    """Without -c and without any configuration the places that were tried are named, the image's first."""
    done = subprocess.run([HIVESUP, "run"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=directory,
                          timeout=20, env={"PATH": "/usr/bin:/bin"})
    if done.returncode == 2 and "cannot find a configuration" in done.stderr:
        assert "none of /etc/hivesup/hivesup.conf, " in done.stderr
    else:
        pytest.fail(f"this machine has a supervisord's configuration of its own: {done}")
