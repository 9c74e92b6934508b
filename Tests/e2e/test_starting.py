"""Who starts when: priorities, readiness, dependencies, retries; and what a start that cannot work ends with."""

import datetime
import os
import signal
import time

import pytest

from lab.config import ini, program, script, supervisord
from lab.waiting import until


def announce(directory, name, then="exec sleep 1000"):
    return script(directory, name, f"echo {name} >{directory}/box\n{then}")


def test_lower_priorities_start_first(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(ini(*(
        program(f"p{n}", announce(directory, f"p{n}"), priority=n, ready="exec: /bin/true", ready_interval=0.01)
        for n in (300, 100, 200)
    )))
    with daemon:
        assert box.wait(lambda lines: len(lines) == 3 and lines, "three starts") == ["p100", "p200", "p300"]


def test_a_tier_waits_for_the_readiness_of_those_below(make, mode, directory):
    """s6's newline on a descriptor; the higher tier starts when it is written and not before."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    slow = script(directory, "slow", f"""
        echo slow >{directory}/box
        read go <{directory}/gate
        echo written >{directory}/box
        echo >&3
        exec sleep 1000
    """)
    os.mkfifo(directory / "gate")
    daemon.write(ini(
        program("slow", slow, priority=100, ready="notify-fd:3"),
        program("fast", announce(directory, "fast"), priority=200),
    ))
    with daemon:
        box.wait_line("slow")
        assert daemon.state("fast") == "STOPPED"
        assert daemon.control.get("/readyz").status == 503
        assert daemon.control.get("/startupz").status == 503
        with open(directory / "gate", "w") as gate:
            gate.write("\n")
        box.wait_line("fast")
        assert box.all() == ["slow", "written", "fast"]
        daemon.wait_state("slow", "RUNNING")
        until(lambda: daemon.control.get("/startupz").status == 200, "start-up is over")


def test_sd_notify_is_heard(make, mode, directory):
    """READY=1 in a datagram to NOTIFY_SOCKET, by the program's own process."""
    tell = directory / "tell"
    tell.write_text(
        "#!/usr/bin/python3\nimport os, socket, time\n"
        "path = os.environ['NOTIFY_SOCKET']\n"
        "sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "sock.sendto(b'STATUS=nearly\\nREADY=1\\n', '\\0' + path[1:] if path[0] == '@' else path)\n"
        "time.sleep(1000)\n"
    )
    tell.chmod(0o755)
    with make(ini(program("main", tell, ready="notify", startsecs=0), program("next", "/bin/sleep 1000", depends_on="main:ready")), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        daemon.wait_state("next", "RUNNING")


def test_a_oneshot_completes_before_its_dependents(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(ini(
        program("migrate", announce(directory, "migrate", "sleep 0.2; echo migrated >box; exit 0"), type="oneshot",
                directory=directory, startsecs=0, autorestart=False),
        program("api", announce(directory, "api"), depends_on="migrate:completed"),
    ))
    with daemon:
        assert box.wait(lambda lines: len(lines) == 3 and lines, "three lines") == ["migrate", "migrated", "api"]
        one = daemon.wait_state("migrate", "EXITED")
        assert one["last_exit"]["exit_status"] == 0
        daemon.wait_state("api", "RUNNING")
        assert daemon.control.health()["status"] == "healthy"


def test_a_failed_oneshot_keeps_its_dependents_down(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(ini(
        program("migrate", announce(directory, "migrate", "exit 3"), type="oneshot", startsecs=0, startretries=1, autorestart=False,
                backoff="initial:0.01, factor:1, max:0.01, jitter:0"),
        program("api", announce(directory, "api"), depends_on="migrate:completed"),
    ))
    with daemon:
        until(lambda: daemon.state("migrate") in ("FATAL", "EXITED") and daemon.control.program("migrate")["last_exit"], "migrate gave up")
        health = daemon.control.health()
        assert health["status"] == "unhealthy" and any("migrate" in reason for reason in health["reasons"]), health
        assert daemon.state("api") == "STOPPED" and "api" not in box.all()


def test_a_program_whose_file_is_missing_for_a_while_recovers_by_itself(make, mode, directory):
    """dinit and pebble end here for ever: a package upgrade or a volume that was away for a moment."""
    work = script(directory, "work", "exec sleep 1000")
    with make(program("main", work, startsecs=0, startretries=100, backoff="initial:0.05, factor:1, max:0.05, jitter:0"), mode=mode) as daemon:
        daemon.wait_state("main", "RUNNING")
        os.rename(work, work + ".away")
        os.kill(daemon.host_pid("main"), signal.SIGKILL)
        daemon.wait_state("main", "BACKOFF")
        os.rename(work + ".away", work)
        daemon.wait_state("main", "RUNNING", timeout=5)


@pytest.mark.parametrize("command, words", [
    ("/nonexistent/program", "can't find command"),
    ("/etc/passwd", "not executable"),
])
def test_what_cannot_be_executed_is_said_with_its_reason(make, mode, command, words):
    with make(program("main", command, startretries=0), mode=mode) as daemon:
        one = daemon.wait_state("main", "FATAL")
        for text in (one["spawn_error"], daemon.text()):
            assert command in text and words in text, (one, daemon.text())


def test_retries_back_off_and_end_in_fatal(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(program("main", announce(directory, "try", "exit 1"), startsecs=5, startretries=3,
                         backoff="initial:0.1, factor:2, max:10, jitter:0"))
    with daemon:
        begun = time.monotonic()
        daemon.wait_state("main", "FATAL")
        assert time.monotonic() - begun >= 0.6
        assert box.all() == ["try"] * 4


def test_a_program_that_ends_as_expected_is_started_again_and_has_not_failed(make, mode, directory):
    """A worker that does its share and ends: supervisord starts it again every time its loop comes around, without end."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(program("main", announce(directory, "share", "exit 0"), startsecs=0, autorestart=True))
    with daemon:
        with daemon.events() as events:
            started = []
            events.wait(lambda e: e.get("to") == "STARTING" and (started.append(e) or len(started) == 5), "five starts")
            states = {e["to"] for e in events.seen if e.get("program") == "main" and e.get("to")}
            causes = [e["cause"] for e in started]
        times = [datetime.datetime.fromisoformat(e["timestamp"].replace("Z", "+00:00")) for e in started]
        assert all((b - a).total_seconds() > 0.99 for a, b in zip(times, times[1:])), times  # it does not spin
        assert box.all()[:4] == ["share"] * 4
        assert states == {"STARTING", "RUNNING", "EXITED"}, states
        assert set(causes[1:]) == {"exit status 0; expected"}, causes
        assert not any("could not be started" in reason for reason in daemon.control.health()["reasons"])


def test_restarts_after_crashes_are_counted_as_such(make, mode, directory):
    daemon = make(mode=mode)
    daemon.write(program("main", script(directory, "crash", "exit 1"), startsecs=0, backoff="initial:0.01, factor:1, max:0.01, jitter:0"))
    with daemon:
        with daemon.events() as events:
            again = events.wait(lambda e: e.get("program") == "main" and e.get("to") == "STARTING" and e.get("from") == "BACKOFF", "a restart")
            assert again["cause"] == "restart after 2 crashes in a row", again
            events.wait(lambda e: e.get("cause") == "restart after 3 crashes in a row", "the next one")


def test_a_program_that_is_not_ready_in_time_is_tried_again(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    daemon.write(program("main", announce(directory, "try"), ready="notify-fd:3", ready_deadline=0.2, startretries=1,
                         backoff="initial:0.01, factor:1, max:0.01, jitter:0"))
    with daemon:
        daemon.wait_state("main", "FATAL", timeout=10)
        assert box.all() == ["try"] * 2


def test_a_start_that_does_not_end_in_time_is_status_71(make, mode):
    daemon = make(ini(supervisord(start_timeout=0.3), program("main", "/bin/sleep 1000", ready="notify-fd:3")), mode=mode)
    assert daemon.run(10) == 71, daemon.output()


def test_a_hung_program_is_restarted_by_its_liveness(make, mode, directory):
    """SIGSTOP: the process is there, and answers nothing."""
    serve = directory / "serve"
    serve.write_text(
        "#!/usr/bin/python3\nimport socket, sys\ns = socket.socket(socket.AF_UNIX)\n"
        f"import os\npath = '{directory}/live.sock'\n"
        "if os.path.exists(path): os.unlink(path)\n"
        "s.bind(path); s.listen(1)\n"
        "while True: s.accept()[0].close()\n"
    )
    serve.chmod(0o755)
    # A backlog of one fills while it is stopped; then a connection is no longer taken.
    probe = f"exec: /usr/bin/timeout 1 {script(directory, 'probe', 'test ! -e ' + str(directory) + '/hung')}"
    with make(program("main", serve, startsecs=0, liveness=probe, liveness_interval=0.05, liveness_timeout=1, liveness_failures=2,
                      stop_plan="TERM:0.2"), mode=mode) as daemon:
        first = daemon.wait_state("main", "RUNNING")
        os.kill(daemon.host_pid("main"), signal.SIGSTOP)
        (directory / "hung").write_text("")
        until(lambda: daemon.control.program("main")["pid"] not in (None, 0, first["pid"]), "a new process", 10)
        (directory / "hung").unlink()
        daemon.wait_state("main", "RUNNING")
        assert daemon.control.program("main")["restarts"] >= 1
