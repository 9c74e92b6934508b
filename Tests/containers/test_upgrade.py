"""A newer image on the same data, and both containers on one host."""

from lab import docker as engine
from lab.container import AGENT, GENIE

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
