"""Volumes that were not made by this container: adopted where they are, or refused with the one command that mends it, which is taken
from the log and run as it stands there. Nothing of a refused volume may have changed."""

import re
import shlex

import pytest

from lab import docker as engine
from lab.container import GENIE, NEXT_IMAGE, ROLES, TRIXIE_IMAGE, cluster_state
from lab.docker import docker
from lab.waiting import until

DATA = "/var/lib/postgresql/data"
#: What the official image is to a volume: PostgreSQL, as 999:999. Stand-ins made by scripts/test-containers.
POSTGRES_16, POSTGRES_17, POSTGRES_18 = "hivesup-test/postgres:16", "hivesup-test/postgres:17-trixie", "hivesup-test/postgres:18"
#: The same user here: in group 0, as every user whom this image does not know.
OFFICIAL = "999:0"
#: What hive-postgres exits with, and so the container (docs/postgres.md).
UNUSABLE, LOCKED, CONFIGURATION = 73, 75, 78


def in_volume(volume, script, user="0", image=POSTGRES_16, at="/volume", options=()):
    """A shell script with the volume mounted where no image has anything, so that Docker copies nothing into it."""
    return docker("run", "--rm", "--label", engine.LABEL, "--network", "none", "--user", user, "--volume", f"{volume}:{at}", *options,
                  "--entrypoint", "sh", image, "-ec", script).stdout


def fingerprint(volume):
    """Names, owners, modes, times and contents."""
    return in_volume(volume, "cd /volume; find . -printf '%p %U:%G %m %s %T@ %l\\n' | sort; find . -type f -exec sha256sum {} + | sort | sha256sum")


def official_volume(volume, place="", image=POSTGRES_16):
    """A cluster as the official image makes it, with POSTGRES_USER=claude, a role and a database."""
    in_volume(volume, f"""
        chown 999:999 /volume
        export PGDATA=/volume/{place} PATH="$(echo /usr/lib/postgresql/*/bin):$PATH"
        mkdir -p "$PGDATA"; chown 999:999 "$PGDATA"
        as="setpriv --reuid=999 --regid=999 --clear-groups"
        echo 'a really good one' > /tmp/password; chown 999 /tmp/password
        $as initdb --no-sync -D "$PGDATA" -U claude --auth=scram-sha-256 --pwfile=/tmp/password -E UTF8 --locale=C >/dev/null
        $as postgres --single -D "$PGDATA" postgres <<'.' >/dev/null
CREATE ROLE shopkeeper LOGIN
CREATE DATABASE shop OWNER shopkeeper
.
    """, image=image)
    return volume


def remedy(output):
    """The command of the refusal, with the name of the image under test in it."""
    found = re.findall(r"(docker run --rm --user 0 -v .* hive-(genie|agent) hive-postgres own \d+:\d+)$", output, re.MULTILINE)
    assert found, output
    command, role = found[0]
    return [ROLES[role].image if word == f"hive-{role}" else word for word in shlex.split(command)]


def mend(output):
    words = remedy(output)
    docker(*words[1:])
    return words


def assert_refused(container, status, *texts):
    ended = container.wait_exit()
    output = container.logs()
    assert ended == status, f"{ended}\n{output}"
    for text in texts:
        assert text in output, f"{text!r} is not in\n{output}"
    return output


def admin(container, sql):
    """SQL as the cluster's own superuser: `peer`, as the user that the server runs as."""
    return container.exec("psql", "-XAtq", "-h", "/run/hivesup/postgres", "-U", "claude", "-c", sql, "postgres").stdout.strip()


def assert_kept(container):
    """What was in the official image's cluster, and what the API made beside it."""
    assert admin(container, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'") == "shopkeeper"
    assert admin(container, "SELECT rolsuper AND rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'claude'") == "t"
    # The API keeps a row in it.
    assert container.create(1)


# --- whose it is -------------------------------------------------------------------------------------------------------------------


def test_a_volume_of_root_is_mended_by_the_command_of_the_refusal(role, container, volume):
    name = volume()
    # Docker gives an empty volume the image's owner; one that has lost+found, of a disk of its own, keeps root.
    in_volume(name, "chown 0:0 /volume; chmod 755 /volume; mkdir -m 700 /volume/lost+found")
    before = fingerprint(name)
    one = container(role).run("--volume", f"{name}:{DATA}")
    output = assert_refused(one, UNUSABLE, "it belongs to user 0, and this is user 1000")
    assert fingerprint(name) == before
    assert f"{name}:{DATA}" in mend(output)
    one.start().wait_ready()
    assert one.create(1)
    assert "0:0 700" in in_volume(name, "stat -c '%u:%g %a' /volume/lost+found")


def test_a_directory_of_the_host_is_named_as_one(container, tmp_path):
    tmp_path.chmod(0o755)
    one = container(GENIE).run("--volume", f"{tmp_path}:{DATA}")
    output = assert_refused(one, UNUSABLE, "it belongs to user")
    words = remedy(output)
    assert f"HOST-DIRECTORY:{DATA}" in words
    docker(*[word.replace("HOST-DIRECTORY", str(tmp_path)) for word in words[1:]])
    one.start().wait_ready()
    one.stop()
    # For pytest, which removes its directories as the user who tests.
    docker("run", "--rm", "--label", engine.LABEL, "--user", "0", "--volume", f"{tmp_path}:/volume", "--entrypoint", "sh", GENIE.image, "-c",
           "rm -rf /volume/pgdata /volume/.hivesup")


def test_another_number_than_the_one_that_made_it(role, container, volume):
    name = volume()
    first = container(role).run("--volume", f"{name}:{DATA}")
    first.wait_ready()
    row = first.create(1)
    first.stop()
    before = fingerprint(name)
    second = container(role).run("--volume", f"{name}:{DATA}", "--user", "12345:0")
    output = assert_refused(second, UNUSABLE, "it belongs to user 1000, and this is user 12345")
    assert fingerprint(name) == before
    mend(output)
    second.start().wait_ready()
    assert row in second.ids()
    assert second.stop()[0] == 0
    assert cluster_state(name, role.image, user="12345:0") == "shut down"


# --- the official image's layouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place, starter", [("", "its-owner"), ("", "root"), ("", "hive"), ("16/docker", "hive"), ("pgdata", "hive")],
                         ids=["up-to-17-its-owner", "up-to-17-root", "up-to-17-hive", "from-18-hive", "in-pgdata-hive"])
def test_a_cluster_of_the_official_image_is_adopted_where_it_is(role, container, volume, place, starter):
    name = official_volume(volume(), place)
    options = {"its-owner": ["--user", OFFICIAL], "root": ["--user", "0:0"], "hive": []}[starter]
    before = fingerprint(name)
    one = container(role).run("--volume", f"{name}:{DATA}", *options)
    if starter == "hive":
        output = assert_refused(one, UNUSABLE, "belongs to user 999, and this is user 1000")
        assert fingerprint(name) == before
        mend(output)
        one.start()
    one.wait_ready()
    assert "superuser claude" in one.logs()
    assert_kept(one)
    directory = DATA + (f"/{place}" if place else "")
    assert admin(one, "SHOW data_directory") == directory
    owner = "999" if starter == "its-owner" else "1000"
    assert one.exec("stat", "-c", "%u", f"{directory}/base/1/PG_VERSION", user="0").stdout.strip() == owner
    status, _ = one.stop()
    assert status == 0
    # And again, as what it has become.
    one.start().wait_ready()
    assert_kept(one)


def test_the_volume_mounted_where_the_official_image_has_it_from_18_on(container, volume):
    name = official_volume(volume(), "16/docker")
    before = fingerprint(name)
    one = container(GENIE).run("--volume", f"{name}:/var/lib/postgresql", "--user", OFFICIAL)
    # The image's own volume is an empty one below it: nothing is begun there.
    output = assert_refused(one, CONFIGURATION, "PostgreSQL 16 has one in /var/lib/postgresql/16/docker")
    assert f"-v {name}:{DATA}" in output
    assert [line for line in before.splitlines() if " d" in line or "pgdata" in line] == \
        [line for line in fingerprint(name).splitlines() if " d" in line or "pgdata" in line]
    right = container(GENIE).run("--volume", f"{name}:{DATA}", "--user", OFFICIAL)
    right.wait_ready()
    assert_kept(right)


#: Where the official image from 18 on has its volume.
PARENT = "/var/lib/postgresql"


def refused_and_mended(container, name, role, image=None):
    """A fresh volume mounted one too high is refused; with the option of the refusal its data stays."""
    one = container(role, image).run("--volume", f"{name}:{PARENT}")
    output = assert_refused(one, CONFIGURATION, f"the volume {name} is mounted above it", "ends with this container")
    assert "PG_VERSION" not in in_volume(name, "ls -R /volume")
    [option] = re.findall(r"itself: -v (\S+) ", output)
    assert option == f"{name}:{DATA}"
    two = container(role, image).run("--volume", option)
    two.wait_ready()
    row = two.create(1)
    assert row and two.stop()[0] == 0
    two.remove()
    three = container(role, image).run("--volume", option)
    three.wait_ready()
    assert three.ids() == {row}
    # Mounted too high again, it is found, and nothing is begun beside it.
    assert three.stop()[0] == 0
    four = container(role, image).run("--volume", f"{name}:{PARENT}")
    assert f"-v {name}:{DATA}" in assert_refused(four, CONFIGURATION)


def test_a_fresh_volume_that_is_mounted_one_too_high(role, container, volume):
    """The image's own volume below it has no name: a cluster there would be healthy, and the next container would not have it."""
    refused_and_mended(container, volume(), role)


def test_a_directory_of_the_host_mounted_one_too_high(container, tmp_path):
    tmp_path.chmod(0o777)
    one = container(GENIE).run("--volume", f"{tmp_path}:{PARENT}")
    assert_refused(one, CONFIGURATION, "a volume is mounted above it", f"-v HOST-DIRECTORY:{DATA}")
    # What the engine needs to mount the other one.
    assert [path.name for path in tmp_path.rglob("*")] == ["data"]


# --- PostgreSQL 18 ----------------------------------------------------------------------------------------------------------------------


def test_on_postgresql_18_nothing_has_to_be_set(container):
    """Two volumes without a name then, one in the other: nobody has chosen the outer one. The server is the newest one that is supported."""
    one = container(GENIE, NEXT_IMAGE).run()
    one.wait_health()
    found = engine.inspect("image", NEXT_IMAGE)["Config"]
    assert sorted(found["Volumes"]) == [PARENT, DATA] and "PG_MAJOR=18" in found["Env"]
    assert one.psql("SHOW server_version").startswith("18.")
    assert one.psql("SELECT extname FROM pg_extension WHERE extname = 'vector'") == "vector"
    row = one.create(1)
    assert row in one.ids()
    status, _ = one.stop()
    assert status == 0
    one.start().wait_ready()
    assert row in one.ids()
    assert "was not shut down" not in one.logs()


def test_on_postgresql_18_a_fresh_volume_where_the_official_image_has_it(container, volume):
    refused_and_mended(container, volume(), GENIE, NEXT_IMAGE)


def test_a_cluster_of_the_official_image_18_is_adopted(container, volume):
    name = official_volume(volume(), "18/docker", POSTGRES_18)
    above = container(GENIE, NEXT_IMAGE).run("--volume", f"{name}:{PARENT}", "--user", OFFICIAL)
    assert f"-v {name}:{DATA}" in assert_refused(above, CONFIGURATION, f"PostgreSQL 18 has one in {PARENT}/18/docker")
    one = container(GENIE, NEXT_IMAGE).run("--volume", f"{name}:{DATA}", "--user", OFFICIAL)
    one.wait_ready()
    assert_kept(one)
    assert admin(one, "SHOW data_directory") == f"{DATA}/18/docker"
    # An image on 16 says which one it takes.
    assert one.stop()[0] == 0
    other = container(GENIE).run("--volume", f"{name}:{DATA}", "--user", OFFICIAL)
    assert_refused(other, CONFIGURATION, "PostgreSQL 18 made it, and this is PostgreSQL 16", "POSTGRES_IMAGE=pgvector/pgvector:pg18-bookworm")


# --- versions ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "17/docker"], ids=["up-to-17", "from-18"])
def test_another_major_version_is_refused_and_untouched(container, volume, place):
    name = official_volume(volume(), place, POSTGRES_17)
    before = fingerprint(name)
    for user in ("0:0", OFFICIAL):
        one = container(GENIE).run("--volume", f"{name}:{DATA}", "--user", user)
        assert_refused(one, CONFIGURATION, "PostgreSQL 17 made it, and this is PostgreSQL 16",
                       "docker build -f Dockerfile.genie --build-arg POSTGRES_IMAGE=pgvector/pgvector:pg17-bookworm")
        assert fingerprint(name) == before
    # An image of that version, which is what the message asks for.
    right = container(GENIE, TRIXIE_IMAGE).run("--volume", f"{name}:{DATA}", "--user", OFFICIAL)
    right.wait_ready()
    assert_kept(right)


# --- in use -----------------------------------------------------------------------------------------------------------------------------


def test_a_server_of_the_official_image_that_still_runs(role, container, volume):
    """It has no lock of ours, and its processes cannot be seen; its open files can."""
    name = official_volume(volume())
    theirs = engine.unique("official")
    docker("run", "--detach", "--name", theirs, "--label", engine.LABEL, "--network", "none", "--user", OFFICIAL, "--volume", f"{name}:{DATA}",
           "--entrypoint", "sh", POSTGRES_16, "-c", f"exec /usr/lib/postgresql/*/bin/postgres -D {DATA} -k /tmp")
    try:
        until(lambda: "ready" in in_volume(name, "cat /volume/postmaster.pid 2>/dev/null || true"), "the official server is ready")
        for user in (OFFICIAL, "0:0", "1000:0"):
            one = container(role).run("--volume", f"{name}:{DATA}", "--user", user, "--env", "HIVE_LOCK_TIMEOUT=2")
            if user == "1000:0":
                # Even the remedy for the owner waits, and gives up.
                words = remedy(assert_refused(one, UNUSABLE, "belongs to user 999"))
                done = docker(*words[1:3], "--env", "HIVE_LOCK_TIMEOUT=1", *words[3:], check=False)
                assert done.returncode == LOCKED and "has it open" in done.stderr + done.stdout, done
            else:
                assert_refused(one, LOCKED, "a server in another container has it open", f"docker ps --filter volume={name}")
        answer = docker("exec", theirs, "sh", "-c", "PGPASSWORD='a really good one' psql -XAt -h /tmp -U claude -c 'SELECT 7' postgres")
        assert answer.stdout.strip() == "7", answer
        # Killed, it leaves postmaster.pid and a cluster to recover: nobody is there any more.
        docker("kill", theirs)
        assert in_volume(name, "cat /volume/postmaster.pid")
        one = container(role).run("--volume", f"{name}:{DATA}", "--user", OFFICIAL)
        one.wait_ready()
        assert "was not shut down" in one.logs()
        assert_kept(one)
    finally:
        docker("rm", "--force", "--volumes", theirs, check=False)


def test_a_second_container_on_the_same_volume(role, container, volume):
    name = volume()
    first = container(role).run("--volume", f"{name}:{DATA}")
    first.wait_ready()
    row = first.create(1)
    second = container(role).run("--volume", f"{name}:{DATA}", "--env", "HIVE_LOCK_TIMEOUT=1")
    assert_refused(second, LOCKED, "a server in another container has it open", f"docker ps --filter volume={name}")
    assert first.create(2) and first.ready()
    # One that waits gets it as soon as the first has stopped: a replacement in place.
    third = container(role).run("--volume", f"{name}:{DATA}", "--env", "HIVE_LOCK_TIMEOUT=30")
    third.wait_log("waiting for")
    assert first.stop()[0] == 0
    third.wait_ready()
    assert row in third.ids()


def test_killed_it_leaves_nothing_that_is_in_the_way(role, container, volume):
    name = volume()
    first = container(role).run("--volume", f"{name}:{DATA}")
    first.wait_ready()
    row = first.create(1)
    first.kill()
    second = container(role).run("--volume", f"{name}:{DATA}")
    second.wait_ready()
    assert row in second.ids()
    assert "waiting for" not in second.logs()


# --- what is no cluster, and what cannot be written ----------------------------------------------------------------------------------------


def test_other_files_are_left_alone(role, container, volume):
    name = volume()
    in_volume(name, "echo dear > /volume/letter; chown -R 1000:0 /volume")
    before = fingerprint(name)
    one = container(role).run("--volume", f"{name}:{DATA}")
    assert_refused(one, CONFIGURATION, "it is not empty (letter) and has no cluster", f"PGDATA={DATA}/pgdata")
    assert fingerprint(name) == before
    two = container(role).run("--volume", f"{name}:{DATA}", "--env", f"PGDATA={DATA}/pgdata")
    two.wait_ready()
    assert in_volume(name, "cat /volume/letter") == "dear\n"


@pytest.mark.parametrize("user", ["1000:0", "0:0"])
def test_read_only(container, volume, user):
    name = volume()
    one = container(GENIE).run("--volume", f"{name}:{DATA}:ro", "--user", user)
    assert_refused(one, UNUSABLE, f"cannot write to the volume {DATA}: it is mounted read-only", "without :ro")


def test_too_small(role, container):
    one = container(role).run("--tmpfs", f"{DATA}:size=40m,mode=1777")
    assert_refused(one, 77, "MB are free", "give a larger volume")
