"""Where programs run: masks, policies and priorities of every thread of every process, as the kernel has them."""

import contextlib
import ctypes
import json
import os
import pathlib
import platform
import pty
import re
import signal
import subprocess
import sys
import termios

import pytest

from lab import processes
from lab.affinity import BOTH, CLASSES, E, HAS_BOTH, P, masks as masks_of, threads
from lab.config import ini, program, script, supervisord
from lab.daemon import HIVESUP, hivesup
from lab.waiting import until

SCHED_BATCH, SCHED_IDLE = os.SCHED_BATCH, os.SCHED_IDLE

pytestmark = pytest.mark.skipif(not HAS_BOTH, reason="needs CPU 0 and CPU 1")

#: A tree: threads in the program itself, a child, and a grandchild in a session of its own whose parent has ended; each with threads.
TREE = """
import os, sys, threading, time
def rest():
    time.sleep(1000)
def threads():
    for _ in range(3):
        threading.Thread(target=rest, daemon=True).start()
if os.fork() == 0:
    threads()
    rest()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        threads()
        with open(sys.argv[1], "w") as file:
            file.write("up")
        rest()
    os._exit(0)
os.wait()
threads()
rest()
"""
#: The program, its child, the orphan: each with three threads more.
TREE_SIZE = (3, 12)


@pytest.fixture
def tree(directory):
    """The command of a tree, and the file that says that it is complete."""
    code = directory / "tree.py"
    code.write_text(TREE)

    def command(name):
        return f"{sys.executable} {code} {directory}/{name}.up"

    return command


def members(daemon, name):
    """The processes of one program: those that have its name in their environment."""
    named = set(processes.with_environment("SUPERVISOR_PROCESS_NAME", name))
    return sorted(named.intersection(processes.with_environment("E2E_MARK", daemon.mark)))


def masks(daemon, name):
    """The different masks of the program's threads, and how many processes and threads it has."""
    pids = members(daemon, name)
    found = threads(pids)
    return {frozenset(one) for one in found.values()}, (len(pids), len(found))


def whole_tree(daemon, name):
    """Waits until the tree stands, and is `TREE_SIZE` large."""
    until(lambda: (daemon.directory / f"{name}.up").exists() and masks(daemon, name)[1] == TREE_SIZE,
          lambda: f"{name}: {masks(daemon, name)}{daemon.output()}")


def is_on(daemon, name, cpus):
    return masks(daemon, name) == ({frozenset(cpus)}, TREE_SIZE)


def ctl(daemon, *words):
    return hivesup("ctl", *words, "--socket", daemon.socket)


def on_a_terminal(daemon, *words):
    """What a person sees."""
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (40, 300))
        process = subprocess.Popen([HIVESUP, "ctl", *words, "--socket", daemon.socket], stdin=theirs, stdout=theirs, stderr=theirs,
                                   env={**os.environ, "NO_COLOR": "1"})
        os.close(theirs)
        theirs = None
        text = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
            while piece := os.read(ours, 65536):
                text += piece
        assert process.wait(10) in (0, 3), text
        return text.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        if theirs is not None:
            os.close(theirs)


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


# --- hivesupd itself ---------------------------------------------------------------------------------------------------------


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


# --- the machine changes -------------------------------------------------------------------------------------------------


@pytest.fixture
def cpuset():
    """A cpuset of cgroup v1 or v2 for the daemon, which the test widens and narrows."""
    name = f"hivesup-e2e-{os.getpid()}"
    old, new = pathlib.Path("/sys/fs/cgroup/cpuset") / name, pathlib.Path("/sys/fs/cgroup") / name
    try:
        path = old if old.parent.is_dir() else new
        path.mkdir()
        if path is old:
            (path / "cpuset.mems").write_text((old.parent / "cpuset.mems").read_text())
        (path / "cpuset.cpus").write_text("0-1")
    except OSError as error:
        pytest.skip(f"needs a cpuset controller that may be used here: {error}")
    yield path
    # The last processes may still be on their way out.
    until(lambda: not (path / "cgroup.procs").read_text().strip(), "the cpuset is empty")
    path.rmdir()


@pytest.mark.root
def test_a_changed_cpuset_is_noticed_without_being_asked(make, mode, tree, cpuset):
    daemon = make(ini(
        program("fast", tree("fast"), startsecs=0, cpu_class="performance"),
        program("slow", tree("slow"), startsecs=0, cpu_class="efficiency"),
        program("anywhere", tree("anywhere"), startsecs=0),
    ), mode=mode, environment=CLASSES)
    daemon.command = ["sh", "-c", f'echo 0 >{cpuset}/cgroup.procs; exec "$@"', "sh", HIVESUP, "run", "-c", str(daemon.config)]
    names = ("fast", "slow", "anywhere")
    with daemon:
        for name in names:
            whole_tree(daemon, name)

        def are_on(*cpus):
            # Nobody asks the daemon anything meanwhile: only the kernel can have told it.
            until(lambda: [masks(daemon, name)[0] for name in names] == [{frozenset(one)} for one in cpus],
                  lambda: f"{cpus}: {[masks(daemon, name) for name in names]}{daemon.output()}")

        are_on(P, E, BOTH)
        for _ in range(2):
            (cpuset / "cpuset.cpus").write_text("1")
            are_on(E, E, E)
            (cpuset / "cpuset.cpus").write_text("0")
            are_on(P, P, P)
            (cpuset / "cpuset.cpus").write_text("0-1")
            are_on(P, E, BOTH)
        (cpuset / "cpuset.cpus").write_text("1")
        are_on(E, E, E)
        assert re.search(r"^fast .* on CPU 1 instead of performance$", on_a_terminal(daemon, "status"), re.M)
        fast = daemon.control.program("fast")["pinning"]
        assert (fast["cpus"], fast["class"]) == ("1", "efficiency")
        assert fast["explanation"] == "performance CPU 0 is not allowed here; falls to efficiency"
        assert "the CPUs that may be used have changed" in daemon.text()
        (cpuset / "cpuset.cpus").write_text("0-1")
        are_on(P, E, BOTH)


@pytest.mark.root
def test_hivesupd_itself_follows_a_changed_cpuset_and_its_children_see_all_of_it(make, mode, tree, cpuset):
    (cpuset / "cpuset.cpus").write_text("0")
    daemon = make(ini(
        supervisord(cpu_class="efficiency"), program("anywhere", tree("anywhere"), startsecs=0),
        program("slow", tree("slow"), startsecs=0, cpu_class="efficiency"),
    ), mode=mode, environment=CLASSES)
    daemon.command = ["sh", "-c", f'echo 0 >{cpuset}/cgroup.procs; exec "$@"', "sh", HIVESUP, "run", "-c", str(daemon.config)]
    with daemon:
        daemon.find()
        for name in ("anywhere", "slow"):
            whole_tree(daemon, name)

        def are_on(own, anywhere, slow):
            def seen():
                return masks_of([daemon.pid]), masks(daemon, "anywhere")[0], masks(daemon, "slow")[0]

            until(lambda: seen() == ({frozenset(own)}, {frozenset(anywhere)}, {frozenset(slow)}), lambda: f"{seen()}{daemon.output()}")

        are_on(P, P, P)
        for _ in range(2):
            (cpuset / "cpuset.cpus").write_text("0-1")
            are_on(E, BOTH, E)
            (directory_of := daemon.directory / "anywhere.up").unlink()
            assert daemon.control.post("/v1/programs/anywhere/restart").status == 200
            until(directory_of.exists, "it is up again")
            are_on(E, BOTH, E)
            (cpuset / "cpuset.cpus").write_text("1")
            are_on(E, E, E)
            (cpuset / "cpuset.cpus").write_text("0")
            are_on(P, P, P)
        (cpuset / "cpuset.cpus").write_text("0-1")
        are_on(E, BOTH, E)


@pytest.mark.root
def test_a_narrow_cpuset_at_the_start_falls_to_the_next_class(make, tree, cpuset):
    (cpuset / "cpuset.cpus").write_text("1")
    daemon = make(program("fast", tree("fast"), startsecs=0, cpu_class="performance"), environment=CLASSES)
    daemon.command = ["sh", "-c", f'echo 0 >{cpuset}/cgroup.procs; exec "$@"', "sh", HIVESUP, "run", "-c", str(daemon.config)]
    with daemon:
        whole_tree(daemon, "fast")
        assert is_on(daemon, "fast", E)
        assert "performance CPU 0 is not allowed here; falls to efficiency" in daemon.control.program("fast")["pinning"]["explanation"]


@pytest.mark.root
def test_a_cpu_event_puts_back_what_the_kernel_took_away(make, mode, tree):
    """A CPU that goes offline takes a thread's CPUs away for good. Here somebody else does, and the kernel only reports a CPU's event."""
    event = pathlib.Path("/sys/devices/system/cpu/cpu1/uevent")
    if not os.access(event, os.W_OK):
        pytest.skip("needs a sysfs that can be written: sending a uevent")
    with make(program("main", tree("main"), startsecs=0, cpu_class="efficiency"), mode=mode, environment=CLASSES) as daemon:
        whole_tree(daemon, "main")
        for thread in threads(members(daemon, "main")):
            os.sched_setaffinity(thread, BOTH)
        event.write_text("change")
        until(lambda: is_on(daemon, "main", E), lambda: f"{masks(daemon, 'main')}{daemon.output()}")
        # Other devices' events wake nobody: fifty of them cost fewer wake-ups than there are.
        def wakeups():
            return int(re.search(r"hivesup_loop_wakeups_total (\d+)", daemon.control.get("/metrics").body.decode())[1])

        before = wakeups()
        for _ in range(50):
            pathlib.Path("/sys/class/net/lo/uevent").write_text("change")
        assert wakeups() - before < 20


@pytest.mark.root
def test_a_program_that_chose_fewer_cpus_for_itself_keeps_them(make, mode, directory, tree):
    event = pathlib.Path("/sys/devices/system/cpu/cpu1/uevent")
    if not os.access(event, os.W_OK):
        pytest.skip("needs a sysfs that can be written: sending a uevent")
    text = ini(program("main", tree("main"), startsecs=0, cpu_affinity="0,1"),
               program("other", tree("other"), startsecs=0, cpu_class="efficiency"))
    with make(text, mode=mode, environment=CLASSES) as daemon:
        for name in ("main", "other"):
            whole_tree(daemon, name)
        first, second, *_ = sorted(threads(members(daemon, "main")))
        os.sched_setaffinity(first, E)
        for thread in threads(members(daemon, "other")):
            os.sched_setaffinity(thread, BOTH)
        event.write_text("change")
        until(lambda: is_on(daemon, "other", E), "the event has been handled")
        assert os.sched_getaffinity(first) == E and os.sched_getaffinity(second) == BOTH
        # A person's word counts for all.
        assert daemon.control.post("/v1/programs/main/pin?cpus=0-1").status == 200
        assert is_on(daemon, "main", BOTH)


@pytest.mark.parametrize("value, words", [
    ("0-x", "HIVE_CPU_EFFICIENCY"), ("7000", "this machine has no CPU 7000"), ("0", "is in HIVE_CPU_PERFORMANCE too"),
])
def test_overrides_that_cannot_be_used_are_told_and_left_out(make, tree, value, words):
    environment = CLASSES | {"HIVE_CPU_EFFICIENCY": value}
    with make(program("main", tree("main"), startsecs=0, cpu_class="efficiency"), environment=environment) as daemon:
        whole_tree(daemon, "main")
        assert words in daemon.text()
        assert is_on(daemon, "main", os.sched_getaffinity(0))


def test_what_another_hivesupd_says_of_its_cpus_is_not_handed_on(make, mode, directory):
    """One that has moved tells its children what they may use. Its children's children may have been given less."""
    daemon = make(mode=mode, environment={"HIVESUP_CPUS": "0"})
    box = daemon.mailbox()
    daemon.write(f"[program:x]\ncommand=/bin/sh -c 'echo \"cpus ${{HIVESUP_CPUS-unset}}\" >{directory}/box; sleep 1000'\n")
    with daemon:
        box.wait_line("cpus unset")
