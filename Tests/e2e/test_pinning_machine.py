"""CPUs that come and go, cpusets that change, and machines that lie: programs are where they can be."""

import os
import pathlib
import re

import pytest

from lab.affinity import BOTH, CLASSES, E, HAS_BOTH, P, masks as masks_of, threads
from lab.config import ini, program, supervisord
from lab.daemon import HIVESUP
from lab.tree import is_on, masks, members, on_a_terminal, whole_tree
from lab.waiting import until

pytestmark = pytest.mark.skipif(not HAS_BOTH, reason="needs CPU 0 and CPU 1")


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
