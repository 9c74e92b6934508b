"""PostgreSQL's processes on the cores of their roles in a container: without any capability, under connections that come and go and with autovacuum
at work, in a narrow cpuset, and in one that changes while the container runs. The host's CPU 0 is called a performance core, CPU 1 an efficiency core."""

import concurrent.futures
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
WORKER = "autovacuum worker"

#: Looks at the server's children without a pause for so many seconds, from inside: what docker can do is too slow for a backend that lives for
#: milliseconds. Prints for each process, title and mask when it was first and last seen so. Of perl-base, which every Debian has, alone.
WATCH = r"""
my ($postmaster, $seconds) = @ARGV;
sub slurp { open(my $file, "<", $_[0]) or return undef; local $/; my $text = <$file>; return $text }
sub now { (slurp("/proc/uptime") =~ /^(\S+)/)[0] }
sub title { my $text = slurp("/proc/$_[0]/cmdline"); $text =~ s/[\0\s]+$// if defined $text; return $text }
my ($end, %first, %last) = (now() + $seconds);
while (now() < $end) {
  for my $pid (split " ", slurp("/proc/$postmaster/task/$postmaster/children") // "") {
    my $title = title($pid) // next;
    my ($mask) = (slurp("/proc/$pid/status") // next) =~ /^Cpus_allowed_list:\s*(\S+)/m or next;
    next if (title($pid) // next) ne $title;
    my $key = "$pid\t$mask\t$title";
    $last{$key} = now();
    $first{$key} //= $last{$key};
  }
  select(undef, undef, undef, 0.002);
}
print "$first{$_}\t$last{$_}\t$_\n" for sort keys %first;
"""


def pgbench(one, *words, timeout=60):
    """pgbench inside, as the application's role."""
    connection = f"-h /run/hivesup/postgres -U {one.role.owner}"
    return one.shell(f"exec $HIVE_PG_BINDIR/pgbench {connection} {' '.join(words)} {one.role.database}", timeout=timeout)


def prepare_load(one):
    """Tables for pgbench, and an autovacuum that begins soon and is at it for a while."""
    pgbench(one, "-i", "-q", "-s", "2")
    one.psql("ALTER TABLE pgbench_accounts SET (autovacuum_vacuum_cost_delay = 20, autovacuum_vacuum_cost_limit = 20)")
    one.exec("psql", "-X", "-q", "-h", "/run/hivesup/postgres", "-U", "postgres", "-d", "postgres",
             "-c", "ALTER SYSTEM SET autovacuum_naptime = '1s'", "-c", "SELECT pg_reload_conf()")


def role_of(title):
    """What a process of the server is for; None while its title does not tell."""
    if not title.startswith("postgres: "):
        return None
    if " [local] " in title:
        return "backend"
    return next((name for name in (*FAST, *FRUGAL, WORKER) if f": {name}" in title), None)


def assert_roles_under_load(one, fast, frugal, seconds=8):
    """New backends (pgbench -C) are born on `fast`, and autovacuum's workers are on `frugal` as soon as they are found."""
    one.psql("UPDATE pgbench_accounts SET abalance = abalance + 1")
    postmaster = one.programs()["postgresql"]["pid"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        load = pool.submit(pgbench, one, "-n", "-C", "-S", "-c", "4", "-T", str(seconds))
        watch = one.exec("perl", "-e", WATCH, str(postmaster), str(seconds), timeout=seconds + 30)
        assert load.result().returncode == 0
    seen, wrong, late = {}, [], {}
    for line in watch.stdout.splitlines():
        first, last, pid, mask, title = line.split("\t")
        name = role_of(title)
        if name is None:
            continue
        seen.setdefault(name, set()).add(pid)
        if name in FAST and mask != fast:
            wrong.append((name, pid, mask))
        elif name in (*FRUGAL, WORKER) and mask != frugal:
            late[pid, title] = float(last) - float(first)
    assert not wrong, f"{wrong[:5]}\n{one.describe()}"
    assert len(seen.get("backend", ())) > 50 and seen.get(WORKER), {name: len(pids) for name, pids in seen.items()}
    # A quarter of a second, and what a busy machine adds.
    assert all(wait < 2 for wait in late.values()), late


def masks(one):
    """{role: the different masks of its processes}, as the kernel has them inside."""
    script = r"""
for directory in /proc/[0-9]*; do
  title=$(tr '\0' ' ' < $directory/cmdline 2>/dev/null) && mask=$(grep Cpus_allowed_list: $directory/status 2>/dev/null) &&
    echo "${mask#*:} | $title"
done 2>/dev/null
true"""
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
    prepare_load(one)
    # Connections come and go all the while: none of them is refused or broken by what happens to its CPUs.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        load = pool.submit(pgbench, one, "-n", "-C", "-S", "-c", "2", "-T", "6")
        narrow_and_widen(one)
        assert load.result().returncode == 0
    assert one.ready() and pinning(one)["refused"] == []
    # What was born in the narrow cpuset, what is born now and what is born of autovacuum: each on its own again.
    assert_roles_under_load(one, "0", "1")


def narrow_and_widen(one):
    docker("update", "--cpuset-cpus", "1", one.name)
    wait_masks(one, "1", "1")
    until(lambda: all(role["elsewhere"] == 0 and role["cpus"] == "1" for role in pinning(one)["roles"]), lambda: str(pinning(one)))
    walwriter = next(role for role in pinning(one)["roles"] if role["role"] == "walwriter")
    assert "performance CPU 0 is not allowed here" in walwriter["explanation"]
    docker("update", "--cpuset-cpus", "0-1", one.name)
    wait_masks(one, "0", "1")


def test_every_process_of_the_server_is_on_its_cores_under_load_without_a_capability(container):
    one = container(GENIE).run(*CLASSES, *BARE)
    one.wait_ready()
    wait_masks(one, "0", "1")
    assert int(one.shell("grep CapBnd: /proc/1/status").stdout.split()[1], 16) == 0
    prepare_load(one)
    assert_roles_under_load(one, "0", "1")
    report = pinning(one)
    assert report["refused"] == [] and report["profile"] == "by-class", report


def test_in_a_cpuset_without_fast_cores_all_runs_where_it_may(container):
    one = container(GENIE).run(*CLASSES, *BARE, "--cpuset-cpus", "1", "--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp")
    one.wait_ready()
    wait_masks(one, "1", "1")
    report = pinning(one)
    assert report["refused"] == [] and all(role["elsewhere"] == 0 and role["cpus"] == "1" for role in report["roles"]), report
    assert "warning: cannot run" not in one.logs()
    # It is told where people look: what the class came to, and what else is refused here.
    found = {finding["feature"]: finding for finding in json.loads(one.exec("hivesup", "doctor", "--json").stdout)["features"]}
    classes = found["core-classes"]
    assert classes["available"] is False and classes["detail"] == "performance empty, none of 0, efficiency 1", classes
    assert classes["fallback"] == "performance CPU 0 is not allowed here; falls to efficiency: CPU 1", classes
    assert "HIVE_CPU_PERFORMANCE names CPU 0, which is not allowed here" in found["core-class-overrides"]["detail"]
    assert "CAP_SYS_NICE is missing; refused: nice below the supervisor's own" in found["cap-sys-nice"]["detail"], found["cap-sys-nice"]
    told = one.ctl("status", "postgresql").stderr
    assert "postgresql: on CPU 1: performance CPU 0 is not allowed here; falls to efficiency" in told, told
    one.ctl("restart", "postgresql", timeout=60)
    one.wait_ready()
    wait_masks(one, "1", "1")


def test_a_machine_with_one_kind_of_core_is_left_alone(container):
    one = container(GENIE).run(*BARE)
    one.wait_ready()
    everywhere = one.shell("grep Cpus_allowed_list: /proc/1/status").stdout.partition(":")[2].strip()
    assert set().union(*masks(one).values()) == {everywhere}
    assert "pinning" not in json.loads(one.ctl("thermal", "--json", check=False).stdout)
