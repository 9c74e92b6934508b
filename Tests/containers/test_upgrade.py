"""A newer image on the same data, both containers on one host, and what docs/containers.md and docs/migrating-from-separate-containers.md
tell people to type."""

import pathlib

from lab import docker as engine
from lab.container import AGENT, GENIE
from lab.docker import docker

DATA = "/var/lib/postgresql/data"


def newer(role, directory):
    """An image with one more migration: what the next release of this one will be."""
    (directory / "0002_rating.sql").write_text(f"ALTER TABLE {role.table} ADD COLUMN rating integer NOT NULL DEFAULT 5;\n")
    return engine.build(engine.unique(f"{role}-newer"), f"FROM {role.image}\nCOPY 0002_rating.sql /etc/hivesup/sql/\n", directory)


def test_a_newer_image_keeps_the_data_and_migrates_it(role, container, volume, tmp_path):
    data = volume()
    old = container(role).run("--volume", f"{data}:{DATA}")
    old.wait_ready()
    rows = {old.create(number) for number in range(20)}
    assert None not in rows and len(rows) == 20
    password = old.shell(f"cat {DATA}/.hivesup/password").stdout
    identity = old.psql("SELECT system_identifier FROM pg_control_system()")
    status, _ = old.stop()
    assert status == 0
    old.remove()

    image = newer(role, tmp_path)
    new = container(role, image).run("--volume", f"{data}:{DATA}")
    new.wait_health()
    assert new.ids() == rows
    assert new.psql(f"SELECT DISTINCT rating FROM {role.table}") == "5"
    assert new.psql("SELECT count(*) FROM public.schema_migrations") == "2"
    assert new.shell(f"cat {DATA}/.hivesup/password").stdout == password
    assert new.psql("SELECT system_identifier FROM pg_control_system()") == identity
    assert new.create(21)
    status, _ = new.stop()
    assert status == 0
    new.remove()

    # The way back is refused before anything is touched: the older files do not know this schema.
    back = container(role).run("--volume", f"{data}:{DATA}")
    assert back.wait_exit() == 78, back.describe()
    assert "the database has migration 2 (rating), and there is no file for it" in back.logs(), back.describe()
    again = container(role, image).run("--volume", f"{data}:{DATA}")
    again.wait_ready()
    assert len(again.ids()) == 21


def test_a_newer_image_after_a_kill(role, container, volume, tmp_path):
    """Replaced without an orderly end: the newer one recovers what was acknowledged."""
    data = volume()
    old = container(role).run("--volume", f"{data}:{DATA}")
    old.wait_ready()
    rows = {old.create(number) for number in range(20)}
    old.remove()
    new = container(role, newer(role, tmp_path)).run("--volume", f"{data}:{DATA}")
    new.wait_ready()
    assert new.ids() == rows


def test_genie_and_agent_side_by_side(container, volume, together):
    """Two containers of one host, each with its own data; one is stopped, the other does not notice."""
    one, other = container(GENIE), container(AGENT)
    volumes = {one: volume(), other: volume()}
    together(*(lambda each=each: each.run("--volume", f"{volumes[each]}:{DATA}") for each in volumes))
    together(one.wait_health, other.wait_health)
    for each in (one, other):
        assert each.create(1)
        assert each.request("GET", "/api/v1/health").json["container"] == each.role.name
        # Each has its own database, and not the other's.
        names = set(each.psql("SELECT datname FROM pg_database WHERE datname LIKE 'hive%'").split())
        assert names == {each.role.database}
    before = other.programs()
    status, _ = one.stop()
    assert status == 0
    assert other.create(2)
    assert {name: one["pid"] for name, one in other.programs().items()} == {name: one["pid"] for name, one in before.items()}
    one.start()
    one.wait_ready()
    assert len(one.ids()) == 1 and len(other.ids()) == 2


# --- backups, as docs/containers.md has them -----------------------------------------------------------------------------------------


def test_a_dump_is_restored_into_another_container(role, container, volume):
    one, backups = container(role), volume()
    one.run("--volume", f"{backups}:/var/backups/hivesup")
    one.wait_ready()
    rows = {one.create(number) for number in range(10)}
    one.exec("pg_dump", "-h", "/run/hivesup/postgres", "-U", role.owner, "-Fc", "-f", "/var/backups/hivesup/dump", role.database)
    other = container(role).run("--volume", f"{backups}:/var/backups/hivesup:ro")
    other.wait_ready()
    assert other.create(1) not in rows
    other.exec("pg_restore", "-h", "/run/hivesup/postgres", "-U", "postgres", "-d", role.database, "--clean", "--if-exists",
               "--single-transaction", "/var/backups/hivesup/dump")
    assert other.ids() == rows
    assert other.create(2)
    # It is the database that the release expects: the next start has nothing to complain of.
    other.stop()
    other.start()
    other.wait_ready()
    assert len(other.ids()) == 11


def test_a_copy_of_the_volume_is_a_backup(role, container, volume, tmp_path):
    tmp_path.chmod(0o777)
    data, copy = volume(), volume()
    one = container(role).run("--volume", f"{data}:{DATA}")
    one.wait_ready()
    row = one.create(1)
    status, _ = one.stop()
    assert status == 0
    docker("run", "--rm", "--label", engine.LABEL, "--user", "0", "--volume", f"{data}:{DATA}:ro", "--volume", f"{tmp_path}:/backup", role.image,
           "tar", "-C", DATA, "-cf", "/backup/data.tar", ".")
    docker("run", "--rm", "--label", engine.LABEL, "--user", "0", "--volume", f"{copy}:{DATA}", "--volume", f"{tmp_path}:/backup:ro", role.image,
           "tar", "-C", DATA, "-xpf", "/backup/data.tar")
    other = container(role).run("--volume", f"{copy}:{DATA}")
    other.wait_ready()
    assert other.ids() == {row}


# --- from separate containers, as docs/migrating-from-separate-containers.md has it ---------------------------------------------------------


#: What the first design's postgres container has made (its own words), with one row of each kind.
FIRST_DESIGN = {
    "genie": """
CREATE USER hive WITH PASSWORD 'genie_secure_password';
CREATE DATABASE hive_genie OWNER hive;
\\c hive_genie
CREATE EXTENSION vector;
SET ROLE hive;
CREATE TABLE genie_sessions (id UUID PRIMARY KEY, user_id VARCHAR(255), session_data JSONB, created_at TIMESTAMP DEFAULT NOW());
INSERT INTO genie_sessions VALUES ('00000000-0000-4000-8000-000000000001', 'ada', '{"n": 1}', '2025-08-01 12:00');
""",
    "agent": """
CREATE USER agent WITH PASSWORD 'agent_secure_password';
CREATE DATABASE hive_agent OWNER agent;
\\c hive_agent
CREATE EXTENSION vector;
SET ROLE agent;
CREATE TABLE agent_deployments (id UUID PRIMARY KEY, agent_config JSONB, deployment_status VARCHAR(50), created_at TIMESTAMP DEFAULT NOW());
INSERT INTO agent_deployments VALUES ('00000000-0000-4000-8000-000000000001', '{"n": 1}', 'running', '2025-08-01 12:00');
"""}


def old_container(role, data, backups):
    """What the old container has left: a cluster of the official layout with the first design's objects, made by user 999, and its dump."""
    docker("run", "--rm", "--label", engine.LABEL, "--network", "none", "--user", "0", "--interactive", "--volume", f"{data}:{DATA}",
           "--volume", f"{backups}:/backups", "--entrypoint", "bash", "hivesup-test/postgres:16", "-ec", f"""
           cat > /tmp/objects; chown -R 999:999 {DATA} /backups
           exec setpriv --reuid=999 --regid=999 --clear-groups bash -ec '
             initdb --no-sync -U postgres --auth=trust >/dev/null
             pg_ctl -w -o "-c listen_addresses= -c unix_socket_directories=/tmp" start >/dev/null
             psql -X -q -v ON_ERROR_STOP=1 -h /tmp -U postgres -f /tmp/objects
             pg_dump -h /tmp -U postgres -Fc -f /backups/dump {role.database}
             pg_ctl -w -m fast stop >/dev/null'""", text=FIRST_DESIGN[role.name])


def serves_the_old_row(one):
    role, row = one.role, "00000000-0000-4000-8000-000000000001"
    one.wait_health()
    assert one.ids() == {row}
    found = one.request("GET", f"{role.resource}/{row}")
    assert (found.status, found.json["id"]) == (200, row)
    assert one.create(2)
    listed = one.request("GET", role.resource)
    assert listed.status == 200 and row in listed.body.decode(), listed.body


def test_the_volume_of_a_separate_postgres_container_is_taken_over(role, container, volume):
    data = volume()
    old_container(role, data, volume())
    docker("run", "--rm", "--label", engine.LABEL, "--user", "0", "--volume", f"{data}:{DATA}", role.image, "hive-postgres", "own", "1000:0")
    serves_the_old_row(container(role).run("--volume", f"{data}:{DATA}"))


def test_a_dump_of_a_separate_postgres_container_is_restored(role, container, volume):
    backups = volume()
    old_container(role, volume(), backups)
    one = container(role).run("--volume", f"{backups}:/backups:ro")
    one.wait_ready()
    one.exec("psql", "-X", "-h", "/run/hivesup/postgres", "-U", "postgres", "-d", role.database, "-c",
             f"DROP TABLE {role.table}, schema_migrations")
    one.exec("pg_restore", "-h", "/run/hivesup/postgres", "-U", "postgres", "-d", role.database, "--no-owner", "--no-comments",
             "--role", role.owner, "--exit-on-error", "/backups/dump")
    one.stop()
    one.start()
    serves_the_old_row(one)


def test_the_documents_have_the_commands_that_are_tested():
    documents = pathlib.Path(__file__).resolve().parents[2] / "docs"
    containers, migrating = ((documents / name).read_text() for name in ("containers.md", "migrating-from-separate-containers.md"))
    for words in ("pg_restore -h /run/hivesup/postgres -U postgres", "--clean --if-exists --single-transaction", f"tar -C {DATA} -xpf"):
        assert words in containers, words
    for words in ("hive-postgres own 1000:0", "--no-owner --no-comments --role hive --exit-on-error", "DROP TABLE genie_sessions, schema_migrations"):
        assert words in migrating, words
