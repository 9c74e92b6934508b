"""Where programs run: masks, policies and priorities of every thread of every process, as the kernel has them."""

import ctypes
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys

import pytest

from lab import processes
from lab.affinity import BOTH, CLASSES, E, HAS_BOTH, P, threads
from lab.config import ini, program
from lab.daemon import HIVESUP
from lab.tree import TREE_SIZE, ctl, is_on, masks, members, on_a_terminal, whole_tree
from lab.waiting import until

SCHED_BATCH, SCHED_IDLE = os.SCHED_BATCH, os.SCHED_IDLE

pytestmark = pytest.mark.skipif(not HAS_BOTH, reason="needs CPU 0 and CPU 1")


def test_every_thread_of_every_program_runs_where_it_was_asked_to(make, mode, tree):
    wanted = {
        "performance": (dict(cpu_class="performance"), P), "efficiency": (dict(cpu_class="efficiency"), E),
        "chain": (dict(cpu_class="low-power,efficiency"), E), "list": (dict(cpu_affinity="1,5-7"), E),
        "one": (dict(cpu_class="performance", cpu_smt="one-per-core"), P), "anywhere": ({}, BOTH),
        "any": (dict(cpu_class="any"), BOTH),
    }
    text = ini(*(program(name, tree(name), startsecs=0, **keys) for name, (keys, _) in wanted.items()))
    with make(text, mode=mode, environment=CLASSES) as daemon:
        for name, (_, cpus) in wanted.items():
            daemon.wait_state(name, "RUNNING")
            whole_tree(daemon, name)
            assert is_on(daemon, name, cpus), (name, masks(daemon, name))
        pinning = {name: one["pinning"] for name, one in daemon.control.programs().items()}
        assert pinning["chain"] | {"nice": 0, "ionice": "none"} == {
            "requested": "low-power,efficiency", "live": False, "cpu_smt": "all", "cpus": "1", "class": "efficiency",
            "explanation": "no CPU is low-power; falls to efficiency", "fallback": True, "sched_policy_requested": None, "sched_policy": "other",
            "nice_requested": None, "nice": 0, "ionice_requested": None, "ionice": "none", "numa_policy_requested": None, "refused": [],
        }
        assert pinning["list"]["cpus"] == "1" and "5-7" in pinning["list"]["explanation"]
        assert pinning["anywhere"]["requested"] is None and pinning["anywhere"]["cpus"] == "0-1"
        assert threads([daemon.pid]) == {daemon.pid: BOTH}, "hivesupd itself stays where it was"
        metrics = daemon.control.get("/metrics").body.decode()
        assert 'hivesup_process_cpus{name="efficiency"} 1\n' in metrics and 'hivesup_process_cpus{name="anywhere"} 2\n' in metrics
        assert "falls to efficiency" in daemon.text()


def test_where_cores_are_alike_nothing_is_pinned(make, mode, tree):
    with make(program("main", tree("main"), cpu_class="low-power,efficiency", startsecs=0), mode=mode) as daemon:
        whole_tree(daemon, "main")
        own = os.sched_getaffinity(0)
        assert is_on(daemon, "main", own)
        assert "main' asks" not in daemon.text()
        assert daemon.control.program("main")["pinning"]["fallback"] is False
        assert "falls to" not in on_a_terminal(daemon, "status")


def test_a_restart_keeps_the_cpus_and_what_a_person_asked_for(make, mode, tree):
    with make(program("main", tree("main"), cpu_class="efficiency", startsecs=0), mode=mode, environment=CLASSES) as daemon:
        whole_tree(daemon, "main")

        def again():
            (daemon.directory / "main.up").unlink()
            assert daemon.control.post("/v1/programs/main/restart").status == 200
            whole_tree(daemon, "main")

        again()
        assert is_on(daemon, "main", E)
        assert daemon.control.post("/v1/programs/main/pin?class=performance").status == 200
        assert is_on(daemon, "main", P), masks(daemon, "main")
        again()
        assert is_on(daemon, "main", P)
        assert daemon.control.program("main")["pinning"]["live"] is True
        assert daemon.control.post("/v1/programs/main/pin?reset").status == 200
        assert is_on(daemon, "main", E)
        assert daemon.control.program("main")["pinning"]["live"] is False


def test_a_pin_moves_the_whole_tree_at_once_and_no_process_is_restarted(make, mode, tree):
    with make(ini(program("main", tree("main"), startsecs=0), program("other", tree("other"), startsecs=0)), mode=mode,
              environment=CLASSES) as daemon:
        for name in ("main", "other"):
            whole_tree(daemon, name)
        before = (members(daemon, "main"))
        for words, cpus in [(("--class", "efficiency"), E), (("--cpus", "0"), P), (("--class", "any"), BOTH), (("--cpus", "1"), E),
                            (("--reset",), BOTH)]:
            done = ctl(daemon, "pin", "main", *words)
            assert (done.returncode, done.stdout) == (0, "main: pinned\n"), done
            # The answer comes when every thread has been moved: no waiting here.
            assert is_on(daemon, "main", cpus), (words, masks(daemon, "main"))
        assert (members(daemon, "main")) == before
        assert is_on(daemon, "other", BOTH)

        assert ctl(daemon, "pin", "main", "--policy", "batch").returncode == 0
        policies = {os.sched_getscheduler(thread) for thread in threads(members(daemon, "main"))}
        assert policies == {SCHED_BATCH} and is_on(daemon, "main", BOTH)
        # What was asked for before stays: the policy with the CPUs.
        assert ctl(daemon, "pin", "all", "--class", "efficiency").returncode == 0
        assert is_on(daemon, "main", E) and is_on(daemon, "other", E)
        assert daemon.control.program("main")["pinning"]["sched_policy"] == "batch"

        remark = ctl(daemon, "pin", "main", "--cpus", "7")
        assert remark.returncode == 0 and "CPU 7 is not there or not allowed here" in remark.stderr, remark
        assert is_on(daemon, "main", BOTH)


def test_what_makes_no_sense_is_refused_before_anything_is_moved(make, tree):
    with make(program("main", tree("main"), startsecs=0), environment=CLASSES) as daemon:
        whole_tree(daemon, "main")
        for query, status, words in [
            ("class=fast", 400, "not a class of cores: 'fast'"), ("cpus=", 400, "is no CPU"), ("cpus=0-9999", 400, "no CPU 9999"),
            ("policy=fifo", 400, "no priority"), ("nice=20", 400, "'20' is no nice value"), ("nice=", 400, "no nice value"),
            ("ionice=best-effort:8", 400, "not an I/O priority"), ("reset&nice=1", 400, "stands alone"),
            ("smt=half", 400, "all or one-per-core"), ("", 400, "say where to"),
            ("reset&class=any", 400, "stands alone"), ("class=any&cpus=1", 400, "not both"), ("klass=any", 400, "klass"),
        ]:
            answer = daemon.control.post(f"/v1/programs/main/pin?{query}")
            assert (answer.status, words in answer.body.decode()) == (status, True), (query, answer.status, answer.body)
        assert daemon.control.post("/v1/programs/nobody/pin?class=any").status == 404
        assert is_on(daemon, "main", BOTH)
        wrong = ctl(daemon, "pin", "main", "--class", "performance", "--cpus", "0")
        assert wrong.returncode == 2 and "not both" in wrong.stderr


@pytest.mark.parametrize("how", ["HUP", "POST"])
def test_a_reload_moves_without_a_restart(make, mode, tree, how):
    def text(**keys):
        return program("main", tree("main"), startsecs=0, **keys)

    with make(text(cpu_class="performance"), mode=mode, environment=CLASSES) as daemon:
        whole_tree(daemon, "main")
        before = (members(daemon, "main"))

        def reload(**keys):
            daemon.write(text(**keys))
            if how == "HUP":
                daemon.send(signal.SIGHUP)
            else:
                assert daemon.control.post("/v1/reload").json["adjusted"] == ["main"]

        reload(cpu_class="efficiency", sched_policy="batch", nice=5)
        until(lambda: is_on(daemon, "main", E), lambda: str(masks(daemon, "main")))
        found = threads(members(daemon, "main"))
        until(lambda: {os.sched_getscheduler(one) for one in found} == {SCHED_BATCH}, "all are batch")
        until(lambda: {os.getpriority(os.PRIO_PROCESS, one) for one in found} == {5}, "all are nice")
        # The configuration is the last word where it says something new, and only there.
        assert daemon.control.post("/v1/programs/main/pin?class=performance").status == 200
        reload(cpu_class="efficiency", sched_policy="batch", nice=6)
        until(lambda: {os.getpriority(os.PRIO_PROCESS, one) for one in found} == {6}, "all are nicer")
        assert is_on(daemon, "main", P)
        reload(sched_policy="batch", nice=6)
        until(lambda: is_on(daemon, "main", BOTH), lambda: str(masks(daemon, "main")))
        assert (members(daemon, "main")) == before
        assert daemon.control.program("main")["pinning"]["live"] is False


def io_priority(thread):
    """ioprio_get(2): class and level."""
    value = ctypes.CDLL(None, use_errno=True).syscall({"x86_64": 252, "aarch64": 31}[platform.machine()], 1, thread)
    assert value >= 0, os.strerror(ctypes.get_errno())
    return value >> 13, value & 7


def test_a_pin_changes_priorities_of_the_whole_tree_and_they_stay(make, mode, tree):
    def priorities():
        found = threads(members(daemon, "main"))
        return {(os.getpriority(os.PRIO_PROCESS, one), io_priority(one)) for one in found}

    with make(program("main", tree("main"), startsecs=0, cpu_class="efficiency"), mode=mode, environment=CLASSES) as daemon:
        whole_tree(daemon, "main")
        before, (own,) = members(daemon, "main"), priorities()
        done = ctl(daemon, "pin", "main", "--nice", "7", "--ionice", "best-effort:6")
        assert (done.returncode, done.stdout, done.stderr) == (0, "main: pinned\n", ""), done
        # The answer comes when every thread has been set: no waiting here.
        assert priorities() == {(7, (2, 6))} and is_on(daemon, "main", E)
        pinning = daemon.control.program("main")["pinning"]
        assert (pinning["nice_requested"], pinning["nice"], pinning["ionice_requested"], pinning["ionice"], pinning["live"]) == \
            (7, 7, "best-effort:6", "best-effort:6", True), pinning
        # What was not named stays.
        assert daemon.control.post("/v1/programs/main/pin?ionice=idle").status == 200
        assert {one for _, (one, _) in priorities()} == {3} and {nice for nice, _ in priorities()} == {7}
        assert members(daemon, "main") == before, "nothing was restarted"

        (daemon.directory / "main.up").unlink()
        assert daemon.control.post("/v1/programs/main/restart").status == 200
        whole_tree(daemon, "main")
        assert {(nice, one) for nice, (one, _) in priorities()} == {(7, 3)}, "a restart keeps them"
        # A reload takes back what it says something new about.
        daemon.write(program("main", tree("main"), startsecs=0, cpu_class="efficiency", nice=9))
        assert daemon.control.post("/v1/reload").json["adjusted"] == ["main"]
        until(lambda: {(nice, one) for nice, (one, _) in priorities()} == {(9, 3)}, lambda: str(priorities()))
        assert daemon.control.post("/v1/programs/main/pin?reset").status == 200
        assert priorities() == {(9, own[1])} and daemon.control.program("main")["pinning"]["live"] is False


def test_a_thread_that_comes_while_the_tree_is_moved_is_moved_too(make, mode, directory):
    """Forks and threads without end: whoever has not been looked at is born of somebody who has, or is found in the next look."""
    code = directory / "busy.py"
    code.write_text(
        "import os, threading, time\n"
        "def work():\n"
        "    while True:\n"
        "        thread = threading.Thread(target=time.sleep, args=(0.02,)); thread.start()\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n            time.sleep(0.03); os._exit(0)\n"
        "        os.waitpid(pid, 0)\n"
        "for _ in range(3): threading.Thread(target=work).start()\n")
    with make(program("main", f"{sys.executable} {code}", startsecs=0), mode=mode, environment=CLASSES) as daemon:
        until(lambda: masks(daemon, "main")[1][1] > 5, "it is busy")
        for round in range(6):
            cpus, name = [(P, "performance"), (E, "efficiency")][round % 2]
            assert daemon.control.post(f"/v1/programs/main/pin?class={name}").status == 200
            found = masks(daemon, "main")
            assert found[0] == {frozenset(cpus)}, found
            assert found[1][1] > 3


def without_nice():
    """The prefix that takes CAP_SYS_NICE away. An ordinary user has none."""
    return [] if os.geteuid() else ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice", "--"]


def test_what_the_kernel_refuses_keeps_nothing_from_starting(make, directory, tree):
    """Pinning one's own processes is allowed to everybody; going before others is not."""
    daemon = make(ini(
        program("eager", tree("eager"), startsecs=0, nice=-5, cpu_class="efficiency", sched_policy="batch"),
        program("first", tree("first"), startsecs=0, sched_policy="fifo:10", cpu_class="performance"),
    ), environment=CLASSES)
    daemon.command = [*without_nice(), HIVESUP, "run", "-c", str(daemon.config)]
    with daemon:
        for name, cpus in [("eager", E), ("first", P)]:
            daemon.wait_state(name, "RUNNING")
            whole_tree(daemon, name)
            assert is_on(daemon, name, cpus)
        eager, first = (daemon.control.program(name)["pinning"] for name in ("eager", "first"))
        assert (eager["nice"], eager["nice_requested"], eager["sched_policy"]) == (0, -5, "batch")
        assert (first["sched_policy"], first["sched_policy_requested"]) == ("other", "fifo:10")
        assert [(one["setting"], one["requested"]) for one in eager["refused"]] == [("nice", "-5")]
        assert eager["refused"][0]["message"] == "cannot set nice=-5: Permission denied"
        assert "CAP_SYS_NICE" in eager["refused"][0]["remedy"] and "CAP_SYS_NICE" in first["refused"][0]["remedy"]
        metrics = daemon.control.get("/metrics").body.decode()
        assert 'hivesup_process_setting_refused{name="eager",setting="nice"} 1\n' in metrics
        assert 'hivesup_process_setting_refused{name="first",setting="sched_policy"} 1\n' in metrics

        # A person sees it without asking for it; a program reads supervisorctl's lines, and nothing else.
        seen = on_a_terminal(daemon, "status")
        assert re.search(r"^eager +RUNNING .* refused: nice$", seen, re.M) and re.search(r"^first .* refused: sched_policy$", seen, re.M), seen
        assert f"\neager: cannot set nice=-5: Permission denied; what would allow it: {eager['refused'][0]['remedy']}\n" in seen, seen
        assert "first: cannot" in on_a_terminal(daemon, "status", "first") and "eager" not in on_a_terminal(daemon, "status", "first")
        lines = ctl(daemon, "status")
        assert re.fullmatch(r"(\w+ {28}RUNNING   pid \d+, uptime \d:\d\d:\d\d\n){2}", lines.stdout) and lines.stderr == "", lines
        one = ctl(daemon, "status", "eager")
        assert re.fullmatch(r"eager {28}RUNNING .*\n", one.stdout) and "eager: cannot set nice=-5" in one.stderr, one

        for _ in range(3):
            assert daemon.control.post("/v1/programs/all/restart").status == 200
        assert len(re.findall(r"'eager' runs without: cannot set nice=-5", daemon.text())) == 1, daemon.text()
        assert len(re.findall(r"'first' runs without: cannot set sched_policy=fifo:10", daemon.text())) == 1

        # Live, too: told at once, and the rest is done.
        refused = ctl(daemon, "pin", "eager", "--nice", "-9", "--ionice", "idle")
        assert refused.returncode == 0 and "eager: cannot set nice=-9: Permission denied" in refused.stderr, refused
        assert daemon.control.program("eager")["pinning"]["ionice"] == "idle"
        refused = ctl(daemon, "pin", "eager", "--class", "performance", "--policy", "rr:1")
        assert refused.returncode == 0 and "cannot set sched_policy=rr:1: Operation not permitted" in refused.stderr, refused
        until(lambda: masks(daemon, "eager") == ({frozenset(P)}, TREE_SIZE), lambda: str(masks(daemon, "eager")))
        assert ctl(daemon, "pin", "eager", "--reset").stderr == "hivesup: eager: cannot set nice=-5: Permission denied; what would allow it: " \
            + eager["refused"][0]["remedy"] + "\n"


@pytest.mark.root
def test_programs_of_other_users_are_moved_without_the_capability_too(make, directory, tree):
    """Root without CAP_SYS_NICE, as in Docker: the kernel lets only the user itself do it."""
    directory.chmod(0o777)
    daemon = make(program("main", tree("main"), startsecs=0, user="nobody", cpu_class="efficiency", nice=3), environment=CLASSES)
    daemon.command = [*without_nice(), HIVESUP, "run", "-c", str(daemon.config)]
    with daemon:
        whole_tree(daemon, "main")
        assert is_on(daemon, "main", E)
        assert daemon.control.post("/v1/programs/main/pin?class=performance&policy=batch").status == 200
        assert is_on(daemon, "main", P)
        assert {os.sched_getscheduler(one) for one in threads(members(daemon, "main"))} == {SCHED_BATCH}
        pinning = daemon.control.program("main")["pinning"]
        assert pinning["refused"] == [] and pinning["cpus"] == "0"
        # hivesupd is root again, with all that root has here.
        assert processes.status(daemon.pid, "Uid") == ["0"] * 4
        assert int(processes.status(daemon.pid, "CapEff")[0], 16) == int(processes.status(daemon.pid, "CapPrm")[0], 16)
        assert daemon.control.post("/v1/programs/main/restart").status == 200


def doctor(*prefix, **environment):
    """{feature: what the doctor found} of a process started with this prefix."""
    done = subprocess.run([*prefix, HIVESUP, "doctor", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, **environment})
    return {one["feature"]: one for one in json.loads(done.stdout)["features"]}


def test_doctor_tells_what_is_refused():
    """As what the kernel itself refuses this process, without CAP_SYS_NICE and on CPU 1 alone."""
    found = doctor(*without_nice(), "taskset", "-c", "1", HIVE_CPU_PERFORMANCE="0")
    assert {"affinity", "nice", "sched-policy", "numa-policy", "cpu-changes"} <= set(found)
    nice = found["cap-sys-nice"]
    assert nice["available"] is False and "--cap-add SYS_NICE" in nice["remedy"]
    for words in ("refused: nice below the supervisor's own (Permission denied)", "sched_policy=fifo and rr (Operation not permitted)"):
        assert words in nice["detail"], nice
    assert found["nice"]["available"] is False and found["sched-policy"]["available"] is False
    classes, overrides = found["core-classes"], found["core-class-overrides"]
    assert classes["available"] is False and classes["detail"].startswith("performance empty, none of 0"), classes
    assert "performance CPU 0 is not allowed here" in classes["fallback"] and classes["fallback"].endswith(": CPU 1"), classes
    assert "CPU 0" in classes["remedy"] and "HIVE_CPU_PERFORMANCE names CPU 0" in overrides["detail"], (classes, overrides)

    found = doctor("taskset", "-c", "0,1", **CLASSES)
    assert found["core-classes"]["available"] is True and "performance 0, efficiency 1" in found["core-classes"]["detail"]
    assert found["core-class-overrides"]["detail"] == "HIVE_CPU_PERFORMANCE=0, HIVE_CPU_EFFICIENCY=1"
    if os.geteuid() == 0 and found["cap-sys-nice"]["available"]:
        assert found["nice"]["available"] is True


def test_priorities_are_the_kernels(make, mode, tree):
    with make(ini(
        program("batch", tree("batch"), startsecs=0, sched_policy="batch", nice=7, ionice="best-effort:6"),
        program("idle", tree("idle"), startsecs=0, sched_policy="idle", ionice="idle"),
        program("memory", tree("memory"), startsecs=0, numa_policy="bind:0"),
    ), mode=mode) as daemon:
        for name, policy, nice in [("batch", SCHED_BATCH, 7), ("idle", SCHED_IDLE, 0), ("memory", os.SCHED_OTHER, 0)]:
            whole_tree(daemon, name)
            for thread in threads(members(daemon, name)):
                assert os.sched_getscheduler(thread) == policy
                assert os.getpriority(os.PRIO_PROCESS, thread) == nice
        memory = daemon.control.program("memory")["pinning"]
        maps = pathlib.Path(f"/proc/{daemon.host_pid('memory')}/numa_maps")
        if memory["refused"]:
            assert "numa_policy" in memory["refused"][0]["setting"]
        elif maps.exists():
            assert "bind:0" in maps.read_text(), "the policy of the program's own memory"
