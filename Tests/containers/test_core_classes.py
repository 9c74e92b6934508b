"""PostgreSQL's processes on the cores of their roles in a container: without any capability, in a narrow cpuset, and in one that changes while
the container runs. The host's CPU 0 is called a performance core, CPU 1 an efficiency core."""

import json
import os

import pytest
from lab.container import GENIE
from lab.docker import docker
from lab.waiting import until

pytestmark = pytest.mark.skipif(not {0, 1} <= os.sched_getaffinity(0), reason="needs CPU 0 and CPU 1")

CLASSES = ("--env", "HIVE_CPU_PERFORMANCE=0", "--env", "HIVE_CPU_EFFICIENCY=1")
#: Without CAP_SYS_NICE, as docker's default is too, and without all others.
BARE = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")
FAST = ("postmaster", "backend", "checkpointer", "background writer", "walwriter")
FRUGAL = ("autovacuum launcher", "logical replication launcher")


def masks(one):
    """{role: the different masks of its processes}, as the kernel has them inside."""
    script = r"""
for directory in /proc/[0-9]*; do
  title=$(tr '\0' ' ' < $directory/cmdline 2>/dev/null) && mask=$(grep Cpus_allowed_list: $directory/status 2>/dev/null) &&
    echo "${mask#*:} | $title"
done"""
    found = {}
    for line in one.shell(script).stdout.splitlines():
        mask, _, title = line.partition(" | ")
        if "/postgres -" in title or title.startswith("postgres -"):
            name = "postmaster"
        elif title.startswith("postgres: "):
            name = "backend" if " [local] " in title else next((n for n in FAST + FRUGAL if f": {n}" in title), None)
        else:
            name = "monitor" if "hive-postgres monitor" in title else None
        if name:
            found.setdefault(name, set()).add(mask.strip())
    return found


def expected(fast, frugal):
    return {**{name: {fast} for name in FAST}, **{name: {frugal} for name in FRUGAL}, "monitor": {frugal}}


def wait_masks(one, fast, frugal):
    def are():
        seen = masks(one)
        return all(seen.get(name) == wanted for name, wanted in expected(fast, frugal).items())

    until(are, lambda: f"fast on {fast}, frugal on {frugal}: {masks(one)}\n{one.describe()}")


def pinning(one):
    return json.loads(one.ctl("thermal", "--json", check=False).stdout)["pinning"]


def test_a_cpuset_that_changes_is_followed(container):
    one = container(GENIE).run(*CLASSES, *BARE)
    one.wait_ready()
    wait_masks(one, "0", "1")
    assert pinning(one)["refused"] == [] and pinning(one)["profile"] == "by-class"
    docker("update", "--cpuset-cpus", "1", one.name)
    wait_masks(one, "1", "1")
    until(lambda: all(role["elsewhere"] == 0 and role["cpus"] == "1" for role in pinning(one)["roles"]), lambda: str(pinning(one)))
    walwriter = next(role for role in pinning(one)["roles"] if role["role"] == "walwriter")
    assert "performance CPU 0 is not allowed here" in walwriter["explanation"]
    docker("update", "--cpuset-cpus", "0-1", one.name)
    wait_masks(one, "0", "1")
    assert one.ready() and pinning(one)["refused"] == []


def test_in_a_cpuset_without_fast_cores_all_runs_where_it_may(container):
    one = container(GENIE).run(*CLASSES, *BARE, "--cpuset-cpus", "1", "--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp")
    one.wait_ready()
    wait_masks(one, "1", "1")
    report = pinning(one)
    assert report["refused"] == [] and all(role["elsewhere"] == 0 and role["cpus"] == "1" for role in report["roles"]), report
    assert "warning: cannot run" not in one.logs()
    one.ctl("restart", "postgresql", timeout=60)
    one.wait_ready()
    wait_masks(one, "1", "1")


def test_a_machine_with_one_kind_of_core_is_left_alone(container):
    one = container(GENIE).run(*BARE)
    one.wait_ready()
    everywhere = one.shell("grep Cpus_allowed_list: /proc/1/status").stdout.partition(":")[2].strip()
    assert set().union(*masks(one).values()) == {everywhere}
    assert "pinning" not in json.loads(one.ctl("thermal", "--json", check=False).stdout)
