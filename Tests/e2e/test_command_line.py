"""`hivesup ctl` and `hivesup healthcheck`: supervisorctl's lines and exit codes, finding the daemon, one line of reason."""

import json
import os
import re
import signal
import time

import pytest

from lab.config import ini, program, script
from lab.daemon import hivesup
from lab.waiting import until


def ctl(daemon, *arguments, **options):
    return hivesup("ctl", "--socket", daemon.socket, *arguments, **options)


def test_status_lines_are_supervisorctls_and_0_means_all_up(make, mode):
    with make(ini(program("one", "/bin/sleep 1000", startsecs=0), program("two", "/bin/sleep 1000", startsecs=0)), mode=mode) as daemon:
        for name in ("one", "two"):
            daemon.wait_state(name, "RUNNING")
        done = ctl(daemon, "status")
        assert done.returncode == 0, done
        lines = done.stdout.splitlines()
        assert len(lines) == 2
        for name, line in zip(("one", "two"), lines):
            assert re.fullmatch(rf"{name} +RUNNING +pid \d+, uptime \d+:\d\d:\d\d", line), line


def test_status_3_when_something_is_down_and_4_when_it_is_unknown(make, mode):
    with make(ini(program("up", "/bin/sleep 1000", startsecs=0), program("down", "/bin/sleep 1000", autostart=False)), mode=mode) as daemon:
        daemon.wait_state("up", "RUNNING")
        # Nobody has started it yet: that counts for who asks for it, and not for who asks how things are.
        assert ctl(daemon, "status").returncode == 0
        assert ctl(daemon, "status", "down").returncode == 3
        assert ctl(daemon, "start", "down").returncode == 0 and ctl(daemon, "stop", "down").returncode == 0
        assert ctl(daemon, "status").returncode == 3
        assert ctl(daemon, "status", "up").returncode == 0
        done = ctl(daemon, "status", "nobody")
        assert done.returncode == 4 and "nobody" in done.stdout + done.stderr, done


def test_a_completed_oneshot_does_not_count_as_down(make, mode):
    with make(ini(program("init", "/bin/true", type="oneshot", startsecs=0, autorestart=False), program("up", "/bin/sleep 1000", startsecs=0)), mode=mode) as daemon:
        daemon.wait_state("init", "EXITED")
        daemon.wait_state("up", "RUNNING")
        done = ctl(daemon, "status")
        assert done.returncode == 0 and re.search(r"^init +EXITED ", done.stdout, re.M), done


def test_no_daemon_is_4_and_names_what_was_tried(directory):
    done = hivesup("ctl", "--socket", f"{directory}/none.sock", "status")
    assert done.returncode == 4 and f"{directory}/none.sock" in done.stderr + done.stdout, done
    assert not re.search(r"errno|Errno|Fatal|Trace", done.stderr), done


def test_the_daemon_is_found_by_socket_file_and_environment(make):
    with make(program("up", "/bin/sleep 1000", startsecs=0)) as daemon:
        daemon.wait_state("up", "RUNNING")
        assert hivesup("ctl", "--socket", daemon.socket, "status").returncode == 0
        assert hivesup("ctl", "-c", daemon.config, "status").returncode == 0
        assert hivesup("ctl", "status", environment={"HIVESUP_SOCKET": daemon.socket}).returncode == 0


def test_start_stop_restart_and_signal(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    listen = script(directory, "listen", f"trap 'echo USR1 >{directory}/box' USR1\necho up >{directory}/box\nwhile :; do sleep 1000 & wait $!; done")
    daemon.write(program("main", listen, startsecs=0))
    with daemon:
        box.wait_line("up")
        first = daemon.wait_state("main", "RUNNING")["pid"]
        assert ctl(daemon, "signal", "USR1", "main").returncode == 0
        box.wait_line("USR1")
        done = ctl(daemon, "stop", "main")
        assert done.returncode == 0 and "main: stopped" in done.stdout, done
        assert daemon.state("main") == "STOPPED"
        done = ctl(daemon, "start", "main")
        assert done.returncode == 0 and "main: started" in done.stdout, done
        second = daemon.control.program("main")["pid"]
        assert second != first
        assert ctl(daemon, "restart", "main").returncode == 0
        assert daemon.control.program("main")["pid"] not in (first, second, 0, None)
        # supervisorctl: what is already where it should be is no error (its LSB exit codes).
        done = ctl(daemon, "start", "main")
        assert done.returncode == 0 and done.stdout == "main: ERROR (already started)\n", done
        done = ctl(daemon, "start", "nobody")
        assert done.returncode == 4 and done.stdout == "nobody: ERROR (no such process)\n", done


def test_every_command_speaks_json(make):
    with make(program("main", "/bin/sleep 1000", startsecs=0)) as daemon:
        daemon.wait_state("main", "RUNNING")
        for command in (["status"], ["health"], ["version"], ["pid"], ["stop", "main"], ["start", "main"]):
            done = ctl(daemon, *command, "--json")
            assert done.returncode == 0, done
            json.loads(done.stdout)
        events = ctl(daemon, "events", "--json")
        assert events.returncode == 0
        for line in events.stdout.splitlines():
            json.loads(line)


def test_pid_and_shutdown(make, mode):
    with make(program("main", "/bin/sleep 1000", startsecs=0), mode=mode) as daemon:
        one = daemon.wait_state("main", "RUNNING")
        assert ctl(daemon, "pid", "main").stdout.strip() == str(one["pid"])
        assert ctl(daemon, "shutdown").returncode == 0
        assert daemon.wait(5) == 0


def test_events_tell_the_cause(make, mode):
    with make(program("main", "/bin/sleep 1000", startsecs=0), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        with daemon.events() as events:
            os.kill(daemon.host_pid("main"), signal.SIGKILL)
            exited = events.wait(lambda e: e.get("program") == "main" and e.get("to") == "EXITED", "main EXITED")
            assert "SIGKILL" in json.dumps(exited), exited
            events.wait(lambda e: e.get("program") == "main" and e.get("to") == "RUNNING" and e["seq"] > exited["seq"], "main RUNNING again")


def test_healthcheck_is_one_line_and_0_or_1_within_a_second(make, mode):
    with make(ini(program("main", "/bin/sleep 1000", startsecs=0)), mode=mode) as daemon:
        until(lambda: daemon.control.health()["status"] == "healthy", "healthy")
        begun = time.monotonic()
        done = hivesup("healthcheck", "--socket", daemon.socket)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 1, done
        assert ctl(daemon, "stop", "main").returncode == 0
        done = hivesup("healthcheck", "--socket", daemon.socket)
        assert done.returncode == 1 and len((done.stdout + done.stderr).splitlines()) == 1 and "main" in done.stdout + done.stderr, done
        assert time.monotonic() - begun < 4


def test_healthcheck_of_nothing_and_of_a_frozen_daemon_is_1_within_a_second(make, directory):
    done = hivesup("healthcheck", "--socket", f"{directory}/none.sock")
    assert done.returncode == 1 and "none.sock" in done.stdout + done.stderr, done
    with make(program("main", "/bin/sleep 1000", startsecs=0)) as daemon:
        daemon.send(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            done = hivesup("healthcheck", "--socket", daemon.socket)
            assert done.returncode == 1 and time.monotonic() - begun < 1.5, done
        finally:
            daemon.send(signal.SIGCONT)


def test_metrics_are_prometheus_text(make, mode):
    with make(program("main", "/bin/sleep 1000", startsecs=0), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        answer = daemon.control.get("/metrics")
        assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain"), answer.headers
        sample = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_]\w*="(\\.|[^"\\])*"(,[a-zA-Z_]\w*="(\\.|[^"\\])*")*\})? (-?[0-9.eE+-]+|NaN|[+-]Inf)( \d+)?')
        lines = answer.body.decode().splitlines()
        for line in lines:
            assert line.startswith("#") or sample.fullmatch(line), line
        assert any('main' in line for line in lines)
        samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        # One start, which is then every quantile.
        assert samples["hivesup_spawn_seconds_count"] == "1"
        times = {samples[f'hivesup_spawn_seconds{{quantile="{share}"}}'] for share in ("0.5", "0.9", "1")}
        assert times == {samples["hivesup_spawn_seconds_sum"]} and 0 < float(times.pop()) < 10


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(shell):
    done = hivesup("--generate-completion-script", shell)
    assert done.returncode == 0 and "hivesup" in done.stdout


def test_another_user_may_not_control_it(make, mode):
    """The socket is 0700 and the peer's credentials are checked."""
    if os.geteuid() != 0:
        # Another user's socket cannot be made without being root: the mode is what can be seen.
        with make(program("main", "/bin/sleep 1000"), mode=mode) as daemon:
            assert os.stat(daemon.socket).st_mode & 0o077 == 0
        return
    with make(program("main", "/bin/sleep 1000", startsecs=0), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        os.chmod(daemon.socket, 0o777)
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        import subprocess

        ask = subprocess.run(
            nobody + ["/usr/bin/python3", "-c",
                      "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(5)\ns.connect(sys.argv[1])\n"
                      "s.sendall(b'POST /v1/programs/main/stop HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n')\n"
                      "print(s.recv(200))", daemon.socket],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        assert " 200 " not in ask.stdout, ask.stdout
        assert daemon.state("main") == "RUNNING"
