"""pgbouncer and redis in the images, confined as everything else: switched on by the environment, replaced, stopped. What they do without
a container is in Tests/e2e/test_optional_programs.py."""

import pytest

from lab.container import GENIE, TRIXIE_IMAGE
from lab.waiting import until

SWITCHED_ON = ("--env", "HIVE_PGBOUNCER=true", "--env", "HIVE_REDIS=true")
CONFINED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp", "--pids-limit", "256",
            "--memory", "512m")
#: Who it runs as, and who its /run belongs to.
USERS = {"own": (1000, ()), "arbitrary": (12345, ("--user", "12345:0"))}
REDIS = ("redis-cli", "-e", "-s", "/run/hivesup/postgres/redis.sock")


def pooler(container, command):
    """What pgbouncer's console answers, one list for each row."""
    done = container.exec("psql", "-X", "-A", "-t", "-h", "/run/hivesup/postgres", "-p", "6432", "-U", "hivesup_probe", "-d", "pgbouncer",
                          "-c", command)
    return [line.split("|") for line in done.stdout.splitlines()]


def confined(container, volume, user="own"):
    number, options = USERS[user]
    tmpfs = ("--tmpfs", f"/run:uid={number},gid=0,mode=0770")
    return container.run(*CONFINED, *tmpfs, *options, *SWITCHED_ON, "--volume", f"{volume}:/var/lib/postgresql/data")


@pytest.mark.parametrize("user", USERS)
def test_confined_they_start_work_come_back_and_stop(container, volume, role, user):
    walk_through(confined(container(role), volume(), user), role, user)


def test_newer_versions_of_both_do_the_same(container, volume):
    """Debian 13's: pgbouncer from 1.23 on takes TERM for a wait of any length."""
    walk_through(confined(container(GENIE, TRIXIE_IMAGE), volume()), GENIE)


def walk_through(one, role, user="own"):
    one.wait_ready()
    # They work, as the container's own user, each on its private socket.
    assert one.create(1)
    assert sum(row[2] == role.database for row in pooler(one, "SHOW CLIENTS")) >= 1
    assert one.exec(*REDIS, "SET", "key", "value").stdout.strip() == "OK"
    modes = one.shell("stat -c '%a %u %n' /run/hivesup/postgres/.s.PGSQL.6432 /run/hivesup/postgres/redis.sock /run/hivesup/postgres/pgbouncer.ini")
    for line in modes.stdout.splitlines():
        mode, owner, name = line.split()
        assert int(mode, 8) & 0o077 == 0 and int(owner) == USERS[user][0], line
    # Nothing secret is written down, and nothing listens beyond the API and PostgreSQL on loopback.
    assert "password" not in one.shell("cat /run/hivesup/postgres/pgbouncer.ini").stdout
    listening = one.shell("cat /proc/net/tcp /proc/net/tcp6").stdout.splitlines()
    ports = {int(line.split()[1].rpartition(":")[2], 16) for line in listening if line.split()[3:4] == ["0A"]}
    assert ports == {role.port, 5432}, ports
    # Killed, they are back.
    before = one.programs()
    for name in ("pgbouncer", "redis"):
        one.shell(f"kill -KILL {before[name]['pid']}")
    until(lambda: all(one.programs()[name]["pid"] not in (None, before[name]["pid"]) for name in ("pgbouncer", "redis")),
          lambda: f"both are new\n{one.describe()}", 30, 0.1)
    one.wait_ready()
    assert one.create(2)
    # Stopped in order, within the time of `docker stop`, and what the cache holds is kept.
    assert one.exec(*REDIS, "SET", "key", "kept").stdout.strip() == "OK"
    status, seconds = one.stop()
    assert status == 0 and seconds < 10, (status, seconds, one.logs(tail=40))
    one.start()
    one.wait_ready()
    assert one.exec(*REDIS, "GET", "key").stdout.strip() == "kept"
    assert "was not shut down" not in one.logs() and len(one.ids()) == 2


def test_as_root_each_gives_root_up(container, volume, role):
    one = container(role).run("--user", "0:0", *SWITCHED_ON, "--volume", f"{volume()}:/var/lib/postgresql/data")
    one.wait_ready()
    programs = one.programs()
    for name in ("pgbouncer", "redis"):
        owner = one.shell(f"stat -c %u /proc/{programs[name]['pid']}").stdout.strip()
        assert owner == "1000", (name, owner)
    assert one.create(1) and one.exec(*REDIS, "PING").stdout.strip() == "PONG"
    assert one.stop()[0] == 0


def test_what_both_cost_stays_within_a_few_megabytes(container, role, capsys):
    one = container(role).run(*SWITCHED_ON)
    one.wait_ready()
    programs = one.programs()
    private = {}
    for name in ("pgbouncer", "redis"):
        rollup = one.exec("cat", f"/proc/{programs[name]['pid']}/smaps_rollup", user="1000:0").stdout
        private[name] = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    with capsys.disabled():
        print(f"\n{role}: private memory in KiB: {private}")
    assert all(kib < 16 << 10 for kib in private.values()), private
