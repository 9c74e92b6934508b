"""HUP and `POST /v1/reload`: what changed is changed, what did not keeps its process."""

import os
import signal
import socket

import pytest

from lab.client import free_port, get
from lab.config import ini, program, script, section
from lab.prober import Prober
from lab.waiting import until


def hup(daemon):
    daemon.send(signal.SIGHUP)


def post(daemon):
    assert daemon.control.post("/v1/reload").status == 200


@pytest.fixture(params=[hup, post], ids=["HUP", "POST"])
def reload(request):
    return request.param


def test_only_what_changed_is_restarted(make, mode, reload):
    before = ini(program("same", "/bin/sleep 1000", startsecs=0), program("changed", "/bin/sleep 1000", startsecs=0),
                 program("removed", "/bin/sleep 1000", startsecs=0))
    after = ini(program("same", "/bin/sleep 1000", startsecs=0), program("changed", "/bin/sleep 2000", startsecs=0),
                program("added", "/bin/sleep 1000", startsecs=0))
    with make(before, mode=mode) as daemon:
        pids = {name: daemon.wait_state(name, "RUNNING")["pid"] for name in ("same", "changed", "removed")}
        host = daemon.host_pid("removed")
        daemon.write(after)
        reload(daemon)
        until(lambda: sorted(daemon.control.programs()) == ["added", "changed", "same"], lambda: str(daemon.control.programs()))
        daemon.wait_state("added", "RUNNING")
        until(lambda: daemon.wait_state("changed", "RUNNING")["pid"] != pids["changed"], "changed has a new process")
        same = daemon.control.program("same")
        assert same["pid"] == pids["same"] and same["restarts"] == 0
        until(lambda: not os.path.exists(f"/proc/{host}"), "the removed one is gone")


def test_a_broken_file_changes_nothing(make, mode, directory):
    """supervisord stops everything first and then ends with 2."""
    with make(program("main", "/bin/sleep 1000", startsecs=0), mode=mode) as daemon:
        pid = daemon.wait_state("main", "RUNNING")["pid"]
        daemon.write("[program:main]\ncommand=/bin/sleep 2000\nstartsecs=soon\n")
        answer = daemon.control.post("/v1/reload")
        assert answer.status >= 400 and "startsecs" in answer.body.decode(), (answer.status, answer.body)
        daemon.send(signal.SIGHUP)
        until(lambda: "startsecs" in daemon.text(), "the error is logged")
        assert daemon.control.program("main")["pid"] == pid


def test_the_same_file_changes_nothing(make, mode, reload):
    with make(ini(*(program(f"p{n}", "/bin/sleep 1000", startsecs=0) for n in range(5))), mode=mode) as daemon:
        pids = {f"p{n}": daemon.wait_state(f"p{n}", "RUNNING")["pid"] for n in range(5)}
        with daemon.keeps_descriptors():
            for _ in range(20):
                reload(daemon)
                assert daemon.control.get("/livez").status == 200
        assert {name: one["pid"] for name, one in daemon.control.programs().items()} == pids


def test_reload_while_stopping_is_ignored(make, mode, directory):
    daemon = make(mode=mode)
    box = daemon.mailbox()
    slow = script(directory, "slow", f"trap 'echo told >{directory}/box; sleep 0.5; exit 0' TERM\necho up >{directory}/box\nwhile :; do sleep 0.02; done")
    daemon.write(program("main", slow))
    with daemon:
        box.wait_line("up")
        daemon.send(signal.SIGTERM)
        box.wait_line("told")
        daemon.write(ini(program("main", slow), program("more", "/bin/sleep 1000")))
        daemon.send(signal.SIGHUP)
        assert daemon.wait(5) == 0, daemon.output()


def test_listeners_come_go_and_stay(make, mode, reload):
    """One that stays keeps its socket: nobody who connects meanwhile is refused. One that cannot be bound leaves all as it was."""
    ports = {name: free_port() for name in ("stays", "goes", "comes", "taken")}

    def listeners(*names):
        return ini(program("main", "/bin/sleep 1000", startsecs=0),
                   *(section(f"listener:{name}", address=f"127.0.0.1:{ports[name]}", fallback="health") for name in names))

    with make(listeners("stays", "goes"), mode=mode) as daemon:
        pid = daemon.wait_state("main", "RUNNING")["pid"]
        with Prober(ports["stays"]) as prober:
            assert get(ports["goes"], "/health").status == 200
            daemon.write(listeners("stays", "comes"))
            reload(daemon)
            until(lambda: connects(ports["comes"]), "the new listener answers")
            assert get(ports["comes"], "/health").status == 200
            until(lambda: not connects(ports["goes"]), "the old listener is closed")
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", ports["taken"]))
                taken.listen()
                daemon.write(listeners("stays", "comes", "taken"))
                assert daemon.control.post("/v1/reload").status >= 400
                assert get(ports["comes"], "/health").status == 200
            assert daemon.control.program("main")["pid"] == pid
        assert prober.refused == []


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True
