"""One port, never dark: bound before anything starts, answered in every state, handed to the program as LISTEN_FDS."""

import os
import signal
import time

import pytest

from lab import processes
from lab.client import free_port, get
from lab.config import ini, program, script, section, supervisord
from lab.prober import Prober
from lab.waiting import until


def listener(port, **keys):
    return section("listener:api", address=f"127.0.0.1:{port}", program="api", fallback="health", **keys)


def test_the_port_answers_before_while_and_after_the_program_runs(make, mode, actor, directory):
    """Start, kill -9, crash loop, FATAL, stop: no connection is refused, and each is answered by the one who should."""
    port = free_port()
    daemon = make(ini(
        supervisord(container="lab"),
        listener(port),
        program("db", "/bin/sleep 1000", priority=1, startsecs=0),
        program("api", f"{actor} listen 0", priority=2, startsecs=0, startretries=2, ready="exec: /bin/true", ready_interval=0.05,
                backoff="initial:0.1, factor:1, max:0.1, jitter:0"),
    ), mode=mode)
    with daemon:
        with Prober(port) as prober:
            daemon.wait_state("api", "RUNNING")
            until(lambda: get(port, "/anything").body == b"actor", "the program answers")
            for _ in range(5):
                first = daemon.control.program("api")["pid"]
                os.kill(daemon.host_pid("api"), signal.SIGKILL)
                until(lambda: daemon.control.program("api")["pid"] not in (None, 0, first), "a new process")
                until(lambda: get(port, "/anything").body == b"actor", "the program answers again")
            assert daemon.control.post("/v1/programs/api/stop").status == 200
            answer = get(port, "/api/v1/health")
            assert answer.status == 503 and answer.headers["cache-control"] == "no-store"
            assert answer.json["services"]["api"]["state"] == "STOPPED" and answer.json["container"] == "lab"
            answer = get(port, "/anything")
            assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
            assert daemon.control.post("/v1/programs/api/start").status == 200
            until(lambda: get(port, "/anything").body == b"actor", "the program answers after a start")
        assert prober.refused == []
        # Only a connection that the program itself had accepted is lost with it: one for each time that it was killed or stopped.
        assert len(prober.unanswered) <= 6, prober.unanswered


def test_a_program_that_cannot_start_leaves_the_health_document(make, mode):
    port = free_port()
    with make(ini(listener(port), program("api", "/nonexistent", startretries=0)), mode=mode) as daemon:
        daemon.wait_state("api", "FATAL")
        for target in ("/api/v1/health", "/health"):
            answer = get(port, target)
            assert answer.status == 503 and answer.json["status"] == "unhealthy", answer.body
            assert any("api" in reason for reason in answer.json["reasons"]), answer.json
        head = get(port, "/api/v1/health", method="HEAD")
        assert head.status == 503 and head.body == b"" and int(head.headers["content-length"]) > 0


def test_a_hung_program_is_answered_for(make, mode, actor):
    """SIGSTOP: the accept queue grows; then PID 1 answers itself, and the program takes over when it goes on."""
    port = free_port()
    with make(ini(listener(port), program("api", f"{actor} listen 0", startsecs=0)), mode=mode) as daemon:
        until(lambda: get(port, "/anything").body == b"actor", "the program answers")
        pid = daemon.host_pid("api")
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            answer = get(port, "/api/v1/health", timeout=8)
            assert answer.status in (200, 503) and answer.json["container"]
            assert time.monotonic() - begun < 8
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: get(port, "/anything").body == b"actor", "the program answers again", 10)


def test_the_program_gets_the_socket_as_systemd_would_give_it(make, mode, directory):
    port = free_port()
    daemon = make(mode=mode)
    box = daemon.mailbox()
    look = script(directory, "look", f"""
        echo "$LISTEN_FDS $LISTEN_FDNAMES $([ "$LISTEN_PID" = $$ ] && echo mine) $(readlink /proc/$$/fd/3 | cut -d: -f1)" >{directory}/box
        exec sleep 1000
    """)
    daemon.write(ini(listener(port), program("api", look)))
    with daemon:
        box.wait_line("1 api mine socket")
        # Nothing else of ours came along.
        pid = daemon.host_pid("api")
        until(lambda: processes.executable(pid) == "sleep", "sleep runs")
        assert sorted(processes.descriptors(pid)) == [0, 1, 2, 3]


def test_a_port_that_is_taken_is_an_error_with_its_reason(make):
    port = free_port()
    with make(ini(listener(port), program("api", "/bin/sleep 1000"))) as first:
        other = make()
        other.config = other.directory / "other.conf"
        other.socket = str(other.directory / "other.sock")
        other.stderr_path = other.directory / "other.stderr"
        other.write(ini(listener(port), program("api", "/bin/sleep 1000")))
        assert other.run(10) != 0
        assert str(port) in other.text() and "in use" in other.text(), other.text()
        assert first.control.get("/livez").status == 200


def test_a_slow_or_silent_client_does_not_stop_the_others(make, mode):
    """Hundreds of connections that say nothing, or a byte now and then: the health document still comes."""
    import socket

    port = free_port()
    with make(ini(listener(port), program("api", "/nonexistent", startretries=0)), mode=mode) as daemon:
        daemon.wait_state("api", "FATAL")
        silent = []
        try:
            for i in range(300):
                one = socket.create_connection(("127.0.0.1", port), timeout=5)
                if i % 2:
                    one.sendall(b"GET /api/v1/health HT")
                silent.append(one)
            begun = time.monotonic()
            assert get(port, timeout=5).status == 503
            assert time.monotonic() - begun < 3
            assert daemon.control.get("/livez").status == 200
        finally:
            for one in silent:
                one.close()
        with daemon.keeps_descriptors():
            assert get(port).status == 503


@pytest.mark.parametrize("rubbish", [
    b"\0" * 5000, b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    b"POST /api/v1/health HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b"\r\n" * 1000,
    b"GET / HTTP/9.9\r\n\r\n", b"GET /%00%ff HTTP/1.1\r\nHost: \xff\r\n\r\n",
    b"GET /api/v1/health HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nffffffffffffffffffff\r\n",
])
def test_rubbish_on_the_port_is_refused_and_forgotten(make, rubbish):
    import socket

    port = free_port()
    with make(ini(listener(port), program("api", "/nonexistent", startretries=0))) as daemon:
        daemon.wait_state("api", "FATAL")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
            try:
                one.sendall(rubbish)
                one.shutdown(socket.SHUT_WR)
                answer = one.recv(65536)
                assert answer == b"" or answer.startswith(b"HTTP/1."), answer[:100]
            except (ConnectionResetError, BrokenPipeError):
                pass
        assert get(port).status == 503
        assert daemon.control.get("/livez").status == 200


def test_unready_comes_before_the_program_is_told_to_stop(make, mode, directory):
    """A load balancer must see it before the API drains."""
    daemon = make(mode=mode)
    box = daemon.mailbox()
    api = script(directory, "api", f"trap 'echo told >{directory}/box; sleep 1; exit 0' TERM\necho up >{directory}/box\nwhile :; do sleep 0.02; done")
    daemon.write(ini(program("api", api, startsecs=0)))
    with daemon:
        box.wait_line("up")
        until(lambda: daemon.control.get("/readyz").status == 200, "ready")
        daemon.send(signal.SIGTERM)
        box.wait_line("told")
        assert daemon.control.get("/readyz").status == 503
        assert daemon.wait(5) == 0
