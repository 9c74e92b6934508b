"""What the environment of a container may say, and what happens when it says nothing or what cannot be."""

import json
import pathlib
import re

import pytest
from lab import docker as engine
from lab.container import GENIE
from lab.docker import docker
from lab.dockerfile import parse
from lab.waiting import until

PROJECT = pathlib.Path(__file__).resolve().parents[2]


# --- empty variables ---------------------------------------------------------------------------------------------------------


def image_variables(role):
    """The variables that the role's Dockerfile sets."""
    text = (PROJECT / f"Dockerfile.{role}").read_text()
    return [name for one in parse(text) if one.word == "ENV" for name in re.findall(r"(\w+)=", one.text)]


def documented_variables():
    """The variables that the documents speak of, and those of the compose files."""
    names = set()
    for document in ("environment", "postgres", "api"):
        text = (PROJECT / f"docs/{document}.md").read_text()
        names |= set(re.findall(r"`((?:HIVE|HIVESUP|POSTGRES|THERMAL|PG)[A-Z_]+)`", text))
    for compose in PROJECT.glob("etc/*/compose*.yaml"):
        names |= set(re.findall(r"^ {6}([A-Z_]+): ", compose.read_text(), re.MULTILINE))
    return names


def empty(names):
    return [word for name in sorted(names) for word in ("--env", f"{name}=")]


def plan(role, *options):
    done = docker("run", "--rm", "--label", engine.LABEL, "--network", "none", *options, role.image, "check", "--json", check=False)
    assert done.returncode == 0, done
    return json.loads(done.stdout)["plan"]


def test_an_empty_variable_of_the_image_changes_no_plan(role):
    """Compose files pass on a variable that nobody has set as an empty one, and it hides the image's."""
    names = image_variables(role)
    assert {"HIVE_ROLE", "HIVE_PORT", "HIVE_REDIS", "HIVESUP_SOCKET", "HIVE_BIN_DIR", "HIVE_RUN_DIR"} <= set(names)
    usual = plan(role)
    for name in names:
        assert plan(role, *empty([name])) == usual, name


def test_with_every_variable_empty_it_is_the_container_that_it_is_with_none(role, container):
    names = set(image_variables(role)) | documented_variables()
    assert {"HIVE_LOG_LEVEL", "HIVE_BIND", "HIVE_DATABASE_URL", "HIVE_DB_PASSWORD_FILE", "POSTGRES_DB", "HIVE_PG_PIN", "PGDATA"} <= names
    one, usual = container(role).run(*empty(names)), container(role).run()
    one.wait_health()
    usual.wait_health()
    made = one.create(1)
    assert [row["id"] for row in one.request("GET", role.resource).json["items"]] == [made]
    assert one.ctl("status").stdout.count("RUNNING") == 3
    # psql is none of our programs, and takes an empty PGSERVICE for the name of one.
    for script in ("ls -A /var/lib/postgresql/data /run/hivesup/postgres", "env -u PGSERVICE psql -h /run/hivesup/postgres -U hive_monitor "
                   "-d postgres -XAtc 'SELECT name, setting FROM pg_settings'"):
        assert one.shell(script).stdout == usual.shell(script).stdout
    assert set(one.programs()) == set(usual.programs())
    states = [{name: each["state"] for name, each in which.programs().items()} for which in (one, usual)]
    assert states[0] == states[1]
    assert one.stop()[0] == 0


# --- secrets -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HIVE_DB_PASSWORD_FILE", "POSTGRES_PASSWORD_FILE"])
@pytest.mark.parametrize("how", ["missing", "a directory"])
def test_a_secret_that_is_not_mounted_is_noticed(container, tmp_path, variable, how):
    """/run is a tmpfs that everybody may write to: a password made there would be another one at each start, and nobody would know it."""
    options = ["--read-only", "--tmpfs", "/run:mode=1777", "--tmpfs", "/tmp", "--env", f"{variable}=/run/secrets/db"]
    if how == "a directory":
        # What the engine mounts for a file that the host does not have.
        options += ["--volume", f"{tmp_path}/nothing:/run/secrets/db:ro"]
    one = container(GENIE).run(*options)
    assert one.wait_exit() == 64, one.describe()
    log = one.logs()
    told = {"missing": "there is no such file; mount the secret, or unset the variable", "a directory": "it is a directory; name a file"}[how]
    assert f"cannot read {variable}=/run/secrets/db: {told}" in log, log
    assert "made a password" not in log and "initdb" not in log


# --- a database elsewhere ----------------------------------------------------------------------------------------------------


def test_an_api_that_is_sent_to_a_database_that_is_not_there_is_unhealthy_and_says_why(role, container):
    """What an environment of the first design still has: the container's own database is well, and no request gets an answer of it."""
    url = f"postgresql+psycopg://{role.owner}:correct-horse@{role.name}-postgres:5432/{role.database}"
    # Docker gives a start 60 s otherwise.
    one = container(role).run("--health-start-period", "5s", "--env", f"HIVE_DATABASE_URL={url}")
    told = f"hive-service fails its check database: cannot reach the database at {role.name}-postgres:5432: "

    def is_told():
        try:
            return told in one.request("GET", "/readyz").body.decode()
        except OSError:
            # The engine's proxy, before there is a listener.
            return False

    until(is_told, one.describe, 60, 0.1)
    answer = one.request("GET", "/api/v1/health")
    assert answer.status == 503 and answer.json["status"] == "unhealthy" and answer.json["database"] == "disconnected"
    # The monitor may still be starting.
    [reason] = [reason for reason in answer.json["reasons"] if reason.startswith("hive-service ")]
    assert reason.startswith(told) and reason.endswith("HIVE_DATABASE_URL names it: without it the API uses the container's own"), reason
    assert one.request("GET", role.resource).status == 503
    one.wait_health("unhealthy", 120)
    assert told in one.inspect()["State"]["Health"]["Log"][-1]["Output"]
    # It was never called healthy, and nobody was restarted for it.
    assert not [probe for probe in one.inspect()["State"]["Health"]["Log"] if probe["ExitCode"] == 0]
    assert {name: program["restarts"] for name, program in one.programs().items() if program["restarts"]} == {}
    assert "correct-horse" not in one.logs() + answer.body.decode() + one.ctl("events", "--json").stdout


def test_a_restart_of_the_database_is_nothing_that_the_api_complains_of(role, container):
    one = container(role).run()
    one.wait_ready()
    checks = one.programs()
    assert [check["status"] for check in one.request("GET", "/api/v1/health").json["services"]["hive-service"]["checks"]
            if check["name"] == "database"] == ["passing"]
    for _ in range(3):
        one.ctl("restart", "postgresql")
        one.wait_ready()
        assert one.create(1)
    assert one.programs()["hive-service"]["pid"] == checks["hive-service"]["pid"]
    assert [event for event in one.events() if event["program"] == "hive-service" and "database" in event["cause"]] == []


def test_a_url_that_libpq_cannot_read_is_refused_without_a_word_of_it(container):
    one = container(GENIE).run("--env", "HIVE_DATABASE_URL=postgresql://hive:correct@horse/battery@db/hive_genie")
    log = one.wait_log("HIVE_DATABASE_URL is not as libpq wants it: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE", 60)
    assert "horse" not in log and "correct" not in log
    answer = one.request("GET", "/api/v1/health")
    assert answer.status == 503 and any("hive-service" in reason for reason in answer.json["reasons"]), answer.body
