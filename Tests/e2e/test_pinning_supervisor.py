"""Where hivesupd itself runs, and that no child inherits it."""

import os
import pathlib
import re
import signal

import pytest

from lab.affinity import BOTH, CLASSES, E, HAS_BOTH, P, threads
from lab.config import ini, program, script, supervisord
from lab.daemon import HIVESUP, hivesup
from lab.tree import ctl, is_on, masks, members, on_a_terminal, whole_tree
from lab.waiting import until

pytestmark = pytest.mark.skipif(not HAS_BOTH, reason="needs CPU 0 and CPU 1")


def variables(pid):
    """Its environment, as it was executed with it."""
    return dict(one.split("=", 1) for one in pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in one)


def test_hivesupd_has_cpus_of_its_own_and_no_child_inherits_them(make, mode, tree, directory):
    check = script(directory, "look", f"grep Cpus_allowed_list: /proc/self/status >{directory}/check.new && mv {directory}/check.new {directory}/check")
    wanted = {"plain": ({}, BOTH), "any": (dict(cpu_class="any"), BOTH), "fast": (dict(cpu_class="performance"), P),
              "same": (dict(cpu_class="efficiency"), E), "alone": (dict(cpu_smt="one-per-core"), BOTH)}
    programs = [program(name, tree(name), startsecs=0, **keys) for name, (keys, _) in wanted.items()]
    programs.append(program("asked", "sleep 1000", ready=f"exec:{check}", ready_interval=0.1))
    with make(ini(supervisord(cpu_class="low-power,efficiency"), *programs), mode=mode, environment=CLASSES) as daemon:
        daemon.wait_state("asked", "RUNNING")
        is_at_its_place = lambda: threads([daemon.pid]) == {daemon.pid: E}
        until(is_at_its_place, lambda: daemon.output())
        for name, (_, cpus) in wanted.items():
            whole_tree(daemon, name)
            assert is_on(daemon, name, cpus), (name, masks(daemon, name))
        assert (directory / "check").read_text().split()[1] in ("0-1", "0,1"), "a check runs where its program does"
        assert {variables(pid)["HIVESUP_CPUS"] for pid in members(daemon, "plain")} <= {"all", "0-1"}

        status = daemon.control.get("/v1/status").json["pinning"]
        assert (status["requested"], status["cpus"], status["class"], status["refused"]) == ("low-power,efficiency", "1", "efficiency", [])
        drawn = hivesup("topology", "--socket", daemon.socket, environment=CLASSES)
        assert re.search(r"^hivesupd +\d+ +low-power,efficiency +1 +no CPU is low-power; falls to efficiency$", drawn.stdout, re.M), drawn
        assert re.search(r"^plain +\d+ +any +0-1$", drawn.stdout, re.M), drawn
        assert "hivesupd: on CPU 1: no CPU is low-power" in on_a_terminal(daemon, "status")
        assert 'hivesup_process_cpus{name="hivesupd"} 1\n' in daemon.control.get("/metrics").body.decode()

        # Started again, moved and moved back: all of it as if hivesupd were where it was started.
        (directory / "plain.up").unlink()
        assert daemon.control.post("/v1/programs/plain/restart").status == 200
        whole_tree(daemon, "plain")
        assert is_on(daemon, "plain", BOTH)
        for words, cpus in [(("--cpus", "0"), P), (("--class", "efficiency"), E), (("--class", "any"), BOTH), (("--reset",), BOTH)]:
            assert ctl(daemon, "pin", "plain", *words).returncode == 0
            assert is_on(daemon, "plain", cpus), (words, masks(daemon, "plain"))

        # A reload leaves hivesupd where it is, and says so where it was asked for something else.
        for keys in (dict(cpu_class="low-power,efficiency"), dict(cpu_affinity="0")):
            daemon.write(ini(supervisord(**keys), *programs, program("new", tree(f"new{len(str(keys))}"), startsecs=0, exitcodes=len(str(keys)))))
            daemon.send(signal.SIGHUP)
            until(lambda: (directory / f"new{len(str(keys))}.up").exists() or "hivesupd itself moves when it is started again" in daemon.text(),
                  lambda: daemon.output())
            until(is_at_its_place, lambda: daemon.output())
        assert "cpu_class and cpu_affinity of [supervisord] have changed" in daemon.text()
        until(lambda: masks(daemon, "new")[0] == {frozenset(BOTH)}, lambda: str(masks(daemon, "new")))


def test_without_keys_of_its_own_hivesupd_is_left_alone(make, tree):
    with make(program("plain", tree("plain"), startsecs=0), environment=CLASSES) as daemon:
        whole_tree(daemon, "plain")
        assert threads([daemon.pid]) == {daemon.pid: os.sched_getaffinity(0)}
        assert not any("HIVESUP_CPUS" in variables(pid) for pid in members(daemon, "plain"))
        assert daemon.control.get("/v1/status").json["pinning"]["requested"] is None
        assert "hivesupd " not in hivesup("topology", "--socket", daemon.socket).stdout


@pytest.mark.parametrize("keys, cpus", [(dict(cpu_class="efficiency"), P), (dict(cpu_affinity="1"), P), (dict(cpu_affinity="0"), P)])
def test_hivesupd_goes_no_further_than_it_was_started_with(make, tree, keys, cpus):
    daemon = make(ini(supervisord(**keys), program("plain", tree("plain"), startsecs=0)), environment=CLASSES)
    daemon.command = ["taskset", "-c", "0", HIVESUP, "run", "-c", str(daemon.config)]
    with daemon:
        whole_tree(daemon, "plain")
        until(lambda: threads([daemon.pid]) == {daemon.pid: cpus}, lambda: daemon.output())
        assert is_on(daemon, "plain", P)


def test_what_another_hivesupd_says_of_its_cpus_is_not_handed_on(make, mode, directory):
    """One that has moved tells its children what they may use. Its children's children may have been given less."""
    daemon = make(mode=mode, environment={"HIVESUP_CPUS": "0"})
    box = daemon.mailbox()
    daemon.write(f"[program:x]\ncommand=/bin/sh -c 'echo \"cpus ${{HIVESUP_CPUS-unset}}\" >{directory}/box; sleep 1000'\n")
    with daemon:
        box.wait_line("cpus unset")
