"""The host's `hive` against a real engine: what it starts, what it waits for, what it says when it fails, and its exit statuses."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from lab import docker as engine
from lab import hive as host
from lab.container import AGENT, GENIE
from lab.docker import docker
from lab.waiting import until

#: A program that cannot stay up, and that nothing hangs on.
WORKER = """[program:worker]
command=/bin/sh -c 'echo no work today; exit 9'
startretries=1
startsecs=1
backoff=initial:0.1, factor:2, max:1, jitter:0
autorestart=true
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
log_format=prefix
"""


@pytest.fixture(scope="session")
def program():
    return host.program()


@pytest.fixture(scope="session")
def plugin():
    """The directory with compose 2 as docker's plugin; empty where `docker compose` is there anyway."""
    script = host.PROJECT / "scripts" / "containers.d" / "compose"
    return subprocess.run([script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout.strip()


@pytest.fixture(params=["compose-1", "compose-2"])
def compose(request, plugin):
    """What DOCKER_CONFIG names for docker-compose 1.29 and for `docker compose`."""
    return plugin if request.param == "compose-2" else ""


@pytest.fixture
def make(program, tmp_path, plugin):
    made = []

    def build(*roles, compose="", **options):
        directory = tmp_path / f"project{len(made)}"
        directory.mkdir(mode=0o755)
        one = host.Hive(program, directory).use(compose)
        made.append(one)
        for role in roles or (GENIE,):
            one.describe(role, **options)
        return one

    yield build
    for one in made:
        for kind, remove in (("container", ["rm", "--force", "--volumes"]), ("network", ["network", "rm"]), ("volume", ["volume", "rm"])):
            listing = ["ps", "--all"] if kind == "container" else [kind, "ls"]
            names = docker(*listing, "--quiet", "--filter", f"label=com.docker.compose.project={one.name}").stdout.split()
            if names:
                docker(*remove, *names, check=False)


def psql(hive, sql, role=GENIE):
    done = hive.run("exec", role, "psql", "-XAtq", "-h", "/run/hivesup/postgres", "-U", role.owner, "-d", role.database, "-c", sql)
    assert done.status == 0, done
    return done.output.strip()


# --- up and down -----------------------------------------------------------------------------------------------------------------


@pytest.mark.seconds(240)
def test_from_nothing_to_healthy_and_back_with_the_data_kept(make, compose):
    hive = make(compose=compose)
    done = hive.run("up", "genie")
    assert done.status == 0, done
    # Progress is for people; the result is one line.
    assert done.output.startswith("genie is healthy after "), done
    # What starts is asked for a few times a second: which programs are seen starting is chance, the rest is not.
    assert "genie: compose: up\n" in done.error and done.error.endswith("genie: healthy\n"), done
    first = hive.container()
    assert first["State"]["Running"]

    # What is up already is left alone.
    done = hive.run("up", "genie", "--json", "--quiet")
    assert (done.status, done.error, done.role()["action"]) == (0, "", "unchanged"), done
    assert hive.container()["Id"] == first["Id"]

    psql(hive, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
    done = hive.run("down", "genie")
    assert (done.status, done.output) == (0, "genie is removed, its volumes are kept\n"), done
    assert hive.container() is None and len(hive.volumes()) == 1

    done = hive.run("up", "genie", "--json")
    assert done.status == 0 and done.role()["action"] == "created" and done.role()["health"] == "healthy", done
    assert done.role()["seconds"] < 30
    assert psql(hive, "SELECT n FROM kept") == "42"

    # Volumes are deleted only when that is said twice.
    done = hive.run("down", "genie", "--volumes")
    assert done.status == 2 and "genie/data hold all data and backups; add --delete-all-data" in done.error, done
    assert hive.container()["State"]["Running"] and len(hive.volumes()) == 1
    done = hive.run("down", "genie", "--volumes", "--delete-all-data", "--json", "--quiet")
    assert (done.status, done.error) == (0, ""), done
    assert hive.container() is None and hive.volumes() == []

    done = hive.run("down", "genie", "--json")
    assert done.status == 0 and done.role()["action"] == "unchanged", done


@pytest.mark.seconds(240)
def test_both_roles_without_naming_them(make):
    hive = make(GENIE, AGENT)
    # Two projects, each of compose's own choice: a directory's name, which a .env beside the file can say differently.
    for role in ("genie", "agent"):
        (hive.directory / role / ".env").write_text(f"COMPOSE_PROJECT_NAME={hive.name}-{role}\n")
    hive.command = lambda word, *rest: [hive.path, word, *map(str, rest)]
    try:
        done = hive.run("up", "--json")
        assert done.status == 0, done
        assert [one["role"] for one in done.json["roles"]] == ["genie", "agent"]
        for role in (GENIE, AGENT):
            assert done.role(str(role))["document"]["container"] == str(role)
        assert hive.run("health").status == 0
        table = hive.run("status").output
        assert "genie/postgresql" in table and "agent/postgresql" in table, table
        # One of them is not enough.
        assert hive.run("down", "agent").status == 0
        done = hive.run("health", "--json")
        assert done.status == 1 and done.role("agent")["health"] == "absent" and done.role("genie")["health"] == "healthy", done
        assert hive.run("health", "genie").status == 0
        done = hive.run("status", "--json")
        assert done.status == 0 and done.role("agent")["container"] is None
    finally:
        done = hive.run("down", "--volumes", "--delete-all-data")
        assert done.status == 0, done
    for role in ("genie", "agent"):
        project = ["--filter", f"label=com.docker.compose.project={hive.name}-{role}"]
        assert docker("ps", "--all", "--quiet", *project).stdout + docker("volume", "ls", "--quiet", *project).stdout == ""


def test_the_projects_own_compose_files(program, role, tmp_path, plugin):
    """etc/ROLE/compose.yaml as it is, read-only and without capabilities; agent's with the production override and compose 2."""
    production = role is AGENT
    name = engine.unique("hive").lower()
    upper = str(role).upper()
    password = tmp_path / "password"
    password.write_text("from-a-file\n")
    password.chmod(0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = tmp_path / "variables.env"
    variables.write_text(f"HIVE_{upper}_IMAGE={role.image}\nHIVE_{upper}_PORT={port}\nHIVE_{upper}_BIND=127.0.0.1\n"
                         f"HIVE_{upper}_PASSWORD_FILE={password}\n")
    options = ["--project-name", name, "--env-file", str(variables), *(["--production"] if production else [])]
    environment = {**os.environ, "HIVE_COMPOSE_DIR": str(host.PROJECT / "etc")}
    if plugin and production:
        environment["DOCKER_CONFIG"] = plugin

    def run(word, *words):
        return subprocess.run([program, word, *options, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)

    try:
        done = run("up", str(role), "--json")
        assert done.returncode == 0, done
        one = json.loads(done.stdout)["roles"][0]
        assert one["health"] == "healthy" and one["container"]["ports"] == [f"127.0.0.1:{port}->{role.port}/tcp"], done
        done = run("exec", str(role), "sh", "-c", "touch /usr/x; id -u; grep CapEff /proc/self/status")
        assert "Read-only file system" in done.stderr and done.stdout.split() == ["1000", "CapEff:", "0000000000000000"], done
        # The lines are JSON in production, and are understood as well.
        lines = [json.loads(line) for line in run("logs", str(role), "--json", "--tail", "all").stdout.splitlines()]
        assert {"hivesupd", "postgresql", "hive-service"} <= {line["program"] for line in lines}, lines
        done = run("restart", str(role), "hive-service")
        assert done.returncode == 0, done
    finally:
        done = run("down", "--volumes", "--delete-all-data", str(role))
    assert done.returncode == 0, done


def test_the_live_line_on_a_terminal(make):
    hive = make()
    terminal = host.Terminal(hive.command("up", "genie"), hive.environment)
    assert terminal.end() == 0, terminal.text
    text = terminal.text
    # Rewritten in place: no line but the result stays.
    assert text.count("\n") == 1, text
    drawn = [piece for piece in text.split("\r") if piece.startswith("genie ") and piece.endswith("\x1b[K")]
    assert len(drawn) > 5 and any(" compose: " in piece for piece in drawn) and " healthy" in text, text
    assert all(len(piece.removesuffix("\x1b[K")) < 100 for piece in drawn), text
    times = [float(piece.split()[1]) for piece in drawn]
    assert times == sorted(times) and times[-1] > times[0]
    last = text.split("\r\x1b[K")[-1]
    assert last.startswith("genie is healthy after "), text


def test_nobody_waits_with_no_wait(make):
    hive = make()
    begun = time.monotonic()
    done = hive.run("up", "genie", "--no-wait", "--json")
    assert done.status == 0 and done.role()["container"]["state"] == "running", done
    assert done.role()["health"] in ("starting", "unhealthy", "healthy") and time.monotonic() - begun < 20
    done = hive.run("up", "genie")
    assert done.status == 0, done


# --- why it failed -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", ["no", "unless-stopped"])
def test_a_container_that_ends_is_explained_by_its_programs_last_words(make, restart):
    hive = make(restart=restart, environment=["HIVE_PG_BINDIR=/nonexistent"])
    begun = time.monotonic()
    done = hive.run("up", "genie", "--json", "--timeout", "50")
    assert done.status == 1 and time.monotonic() - begun < 45, done
    role = done.role()
    expected = r"its container ended \d times, the last time with " if restart == "unless-stopped" else "its container ended: "
    assert re.match(f"cannot bring up genie: {expected}exit status [1-9]", role["error"]), done
    assert "postgres-init is critical and has failed: " in role["error"], done
    assert [words["program"] for words in role["logs"]] == ["postgres-init"] and any("/nonexistent" in line for line in role["logs"][0]["lines"])
    assert role["error"] in done.error and "/nonexistent" in done.error


def test_a_program_that_failed_for_good_is_told_at_once(make, tmp_path):
    (tmp_path / "worker.conf").write_text(WORKER)
    (tmp_path / "worker.conf").chmod(0o644)
    hive = make(volumes=["data:/var/lib/postgresql/data", f"{tmp_path}/worker.conf:/etc/hivesup/conf.d/worker.conf:ro"])
    begun = time.monotonic()
    done = hive.run("up", "genie", "--json", "--timeout", "60")
    assert done.status == 1 and time.monotonic() - begun < 40, done
    role = done.role()
    assert role["error"].startswith("cannot bring up genie: worker failed for good: worker "), done
    assert {"program": "worker", "lines": ["no work today"]} in [{**words, "lines": words["lines"][-1:]} for words in role["logs"]]
    # It is the container that failed to become healthy, not hive that stopped it.
    assert hive.container()["State"]["Running"]
    done = hive.run("health", "genie")
    assert done.status == 1 and "worker" in done.output, done


@pytest.mark.seconds(180)
def test_what_is_not_healthy_in_time_goes_on_and_is_explained(make):
    owner = make()
    assert owner.run("up", "genie").status == 0
    volume = owner.volumes()[0]
    # A second server on the same data: refused, tried again and again.
    hive = make(volumes=["data:/var/lib/postgresql/data"])
    text = json.loads((hive.directory / "genie" / "compose.yaml").read_text())
    text["volumes"]["data"] = {"external": True, "name": volume}
    hive.describe(GENIE, text=json.dumps(text))
    begun = time.monotonic()
    done = hive.run("up", "genie", "--json", "--timeout", "6")
    took = time.monotonic() - begun
    role = done.role()
    if role["error"].startswith("cannot bring up"):
        # Since it waits only so long for the other one, its container may end before the deadline.
        assert done.status == 1, done
    else:
        assert done.status == 4 and 6 <= took < 30, done
        assert role["error"].startswith("cannot see genie healthy within 6 s: postgres") and "it goes on starting" in role["error"], done
    assert "another container" in json.dumps(role["logs"]), done
    # The one that has the data is untouched, and the other one gets it as soon as it is free.
    assert owner.run("health", "genie").status == 0
    assert owner.run("down", "genie").status == 0
    done = hive.run("up", "genie")
    assert done.status == 0, done
    assert hive.run("down", "genie").status == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_wait_leaves_the_container_running_and_says_so(make, tmp_path, number):
    # It never becomes ready, and never fails either.
    (tmp_path / "slow.conf").write_text("[program:slow]\ncommand=/bin/sleep 600\nready=tcp://127.0.0.1:9\n")
    (tmp_path / "slow.conf").chmod(0o644)
    hive = make(volumes=["data:/var/lib/postgresql/data", f"{tmp_path}/slow.conf:/etc/hivesup/conf.d/slow.conf:ro"])
    errors = tmp_path / "errors"
    with errors.open("wb") as file:
        process = subprocess.Popen(hive.command("up", "genie", "--timeout", "300", "--json"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=file, env=hive.environment)
    until(lambda: "genie: starting slow" in errors.read_text(), lambda: f"it waits: {errors.read_text()}", 60)
    begun = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    error = errors.read_text()
    assert process.returncode == 128 + number and time.monotonic() - begun < 5, (process.returncode, error)
    assert "interrupted: nothing was stopped" in error and "hive status genie" in error, error
    assert json.loads(output)["exit_status"] == 128 + number
    assert hive.container()["State"]["Running"]


def test_a_port_that_is_taken_is_named(make, compose):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = make(port=port, compose=compose).run("up", "genie", "--json")
        assert done.status == 1 and done.role()["error"].startswith(f"cannot start genie: port {port} of 127.0.0.1 is taken; "), done
    # By another container this time.
    owner = make(compose=compose)
    assert owner.run("up", "genie", "--no-wait").status == 0
    port = owner.container()["NetworkSettings"]["Ports"]["48886/tcp"][0]["HostPort"]
    done = make(port=port, compose=compose).run("up", "genie")
    assert done.status == 1 and f"port {port} of 127.0.0.1 is taken" in done.error, done


def test_how_a_container_ended_is_told(make):
    hive = make(restart="no")
    assert hive.run("up", "genie").status == 0
    docker("kill", "--signal", "KILL", hive.container()["Id"])
    done = hive.run("health", "genie", "--json")
    assert done.status == 1 and done.role()["reasons"] == ["the container ended: exit status 137 (ended by SIGKILL)"], done
    assert done.role()["health"] == "stopped" and done.role()["document"] is None
    # What it has said is still there, by program too.
    done = hive.run("logs", "genie", "hive-service", "--tail", "1")
    assert done.status == 0 and "accepts on" in done.output and done.output.count("\n") == 1, done
    done = hive.run("logs", "genie", "nonsuch")
    assert done.status == 1 and "has no line of that program" in done.error, done
    done = hive.run("restart", "genie", "hive-service")
    assert done.status == 1 and "the container does not run (exited)" in done.error, done
    done = hive.run("exec", "genie", "true")
    assert done.status == 125 and "the container does not run (exited)" in done.error, done
    docker("start", hive.container()["Id"])
    docker("pause", hive.container()["Id"])
    done = hive.run("up", "genie")
    assert done.status in (0, 1), done
    docker("unpause", hive.container()["Id"], check=False)


# --- health, status, logs, restart, exec -------------------------------------------------------------------------------------


@pytest.mark.seconds(240)
def test_a_running_container_is_shown_restarted_and_entered(make):
    hive = make()
    assert hive.run("up", "genie").status == 0
    before = hive.container()

    done = hive.run("health", "genie")
    assert done.status == 0 and done.output.startswith("genie: healthy, up 0:00:") and "database connected" in done.output, done
    done = hive.run("status", "genie", "--json")
    role = done.role()
    assert role["container"]["id"] == before["Id"] and role["container"]["restarts"] == 0 and role["container"]["uptime_seconds"] > 0
    assert role["document"]["services"]["postgresql"]["state"] == "RUNNING"
    table = hive.run("status", "genie").output.splitlines()
    assert table[0].split() == ["ROLE", "CONTAINER", "STATE", "HEALTH", "UPTIME", "RESTARTS", "PORTS"]
    assert table[1].split()[:4] == ["genie", before["Name"].lstrip("/"), "running", "healthy"]

    # --- one program: the container stays, and so does the port
    pid = role["document"]["services"]["hive-service"]["pid"]
    done = hive.run("restart", "genie", "hive-service", "--json")
    assert done.status == 0 and done.role()["action"] == "restarted", done
    assert done.role()["document"]["services"]["hive-service"]["pid"] != pid
    assert hive.container()["State"]["StartedAt"] == before["State"]["StartedAt"]
    done = hive.run("restart", "genie", "nonsuch", "--json")
    assert done.status == 2 and "cannot restart genie/nonsuch: there is no process or group 'nonsuch'" in done.error, done
    assert done.json["exit_status"] == 2
    # --- the whole container
    done = hive.run("restart", "genie")
    assert done.status == 0 and done.output.startswith("genie is healthy after"), done
    after = hive.container()
    assert after["Id"] == before["Id"] and after["State"]["StartedAt"] > before["State"]["StartedAt"]

    # --- logs
    lines = hive.run("logs", "genie", "--tail", "3")
    assert lines.status == 0 and (lines.output + lines.error).count("\n") == 3, lines
    done = hive.run("logs", "genie", "postgresql", "--tail", "2")
    assert done.status == 0 and done.output.count("\n") == 2 and "ready to accept connections" in done.output, done
    done = hive.run("logs", "genie", "--json", "--tail", "20")
    objects = [json.loads(line) for line in done.output.splitlines()]
    assert len(objects) == 20 and {"role", "timestamp", "program", "stream", "message"} == set(objects[0])
    assert "hivesupd" in {one["program"] for one in objects} and done.error == ""
    done = hive.run("logs", "genie", "nonsuch")
    assert done.status == 2 and "there is no such program; 'hive status genie' lists them" in done.error, done

    # --- exec: the status, the words and the input are the command's own
    for status in (0, 1, 7, 125, 255):
        assert hive.run("exec", "genie", "sh", "-c", f"exit {status}").status == status
    assert hive.run("exec", "genie", "sh", "-c", "kill -KILL $$").status == 137
    assert hive.run("exec", "genie", "cat", text="two\nlines\n").output == "two\nlines\n"
    assert hive.run("exec", "genie", "printf", "<%s>", "a b", "--help", "-x", "--").output == "<a b><--help><-x><-->"
    assert hive.run("exec", "--user", "0:0", "genie", "id", "-u").output == "0\n"
    assert hive.run("exec", "genie", "nonsuch").status in (126, 127)
    assert hive.run("exec", "genie", "tty").output == "not a tty\n"
    terminal = host.Terminal(hive.command("exec", "genie", "sh", "-c", "tty; trap 'exit 9' INT; echo READY; while :; do sleep 0.1; done"), hive.environment)
    terminal.wait_for("READY")
    assert "/dev/pts/" in terminal.text
    # Ctrl-C is the command's.
    terminal.type("\x03")
    assert terminal.end() == 9, terminal.text


def test_following_a_log_shows_what_comes(make, tmp_path):
    hive = make()
    assert hive.run("up", "genie").status == 0
    ways = (["postgresql", "--tail", "1"], ["postgresql", "--tail", "1", "--json"], ["--tail", "1", "--json"], ["--tail", "1"])
    for number, words in enumerate(ways):
        path = tmp_path / f"followed-{number}"
        with path.open("wb") as file:
            process = subprocess.Popen(hive.command("logs", "genie", "--follow", *words), stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT, env=hive.environment)
        try:
            # Something is shown of what was there before.
            until(lambda: path.stat().st_size > 0, "the last line", 20)
            psql(hive, f"DO $$BEGIN RAISE LOG 'marker %', {number}; END$$")
            until(lambda: f"marker {number}" in path.read_text(), lambda: f"the new line in {path.read_text()!r}", 20)
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=10)
        if "--json" in words:
            lines = path.read_text().splitlines()
            objects = [json.loads(line) for line in lines if line.startswith("{")]
            assert len(objects) >= 2 and {one["role"] for one in objects} == {"genie"}, lines


# --- no engine, no compose, no files ---------------------------------------------------------------------------------------------


def only(directory, *programs):
    """A PATH with these programs and nothing else."""
    directory.mkdir()
    for one in programs:
        (directory / one).symlink_to(shutil.which(one))
    return {"PATH": str(directory)}


def test_without_an_engine_the_reason_and_the_remedy_are_told(make, tmp_path):
    hive = make()
    cases = [
        ({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, f"cannot reach the Docker engine at unix://{tmp_path}/none.sock: nothing answers there"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:1"}, "cannot reach the Docker engine at tcp://127.0.0.1:1: nothing answers there"),
        (only(tmp_path / "nothing"), "cannot find the docker command: it is not in PATH"),
        ({**only(tmp_path / "docker-only", "docker"), "DOCKER_CONFIG": str(tmp_path)}, "cannot find compose: there is neither the plugin 'docker compose' nor the program docker-compose"),
    ]
    commands = [("up", "genie"), ("down", "genie"), ("status",), ("health", "genie"), ("logs", "genie"), ("restart", "genie"), ("exec", "genie", "true")]
    for environment, text in cases:
        for words in commands:
            if words[0] == "status":
                hive.describe(AGENT)
            done = hive.run(*words, environment=environment)
            expected = 125 if words[0] == "exec" else 3
            assert done.status == expected and done.error.startswith(f"hive: {text}") and done.output == "", (words, done)
        done = hive.run("health", "genie", "--json", environment=environment)
        assert done.status == 3 and done.json["error"].startswith(text) and done.json["ok"] is False, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone who may not use the engine")
def test_without_permission_on_the_socket_the_remedy_is_told(make, tmp_path):
    hive = make()
    readable = pathlib.Path("/tmp") / f"{hive.name}"
    shutil.copytree(hive.directory, readable)
    try:
        shutil.copy(hive.path, readable / "hive")
        for path in [readable, *readable.rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | (stat.S_IXGRP | stat.S_IXOTH if path.is_dir() or path.name == "hive" else 0))
        done = subprocess.run(
            [readable / "hive", "status", "genie"], env={"PATH": hive.environment["PATH"], "HIVE_COMPOSE_DIR": str(readable), "HOME": "/nonexistent"},
            user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=30, cwd="/")
        assert done.returncode == 3 and "permission denied on its socket" in done.stderr and "join the group docker" in done.stderr, done
    finally:
        shutil.rmtree(readable)


def test_an_engine_that_hangs_is_told_of_instead_of_waited_for(make):
    hive = make()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        done = hive.run("health", "genie", environment={"DOCKER_HOST": f"tcp://127.0.0.1:{silent.getsockname()[1]}"})
        assert done.status == 3 and "within 15 s: the engine hangs" in done.error and time.monotonic() - begun < 30, done


def test_a_wrong_command_line_or_compose_file_is_status_2(make, tmp_path, compose):
    hive = make(compose=compose)
    for words, text in [
        (("up", "geni"), "cannot find the container 'geni': the containers are genie and agent"),
        (("logs",), "<role>"),
        (("up", "--timeout", "0"), "cannot wait for 0.0 s"),
        (("up", "agent"), f"cannot find {hive.directory}/agent/compose.yaml"),
        (("up", "genie", "--file", "nonsuch.yaml"), "cannot use --file nonsuch.yaml"),
        (("up", "genie", "--env-file", "nonsuch.env"), "cannot use --env-file nonsuch.env"),
        (("up", "genie", "--production"), "cannot use --production: there is no "),
    ]:
        done = hive.run(*words)
        assert done.status == 2 and text in done.error and done.output == "", (words, done)
    for service, text in [({"imag": "x"}, "imag"), ({"image": "${HIVE_TEST_NOT_SET:?give the image}"}, "give the image")]:
        hive.describe(GENIE, text=json.dumps({"services": {"genie": service}}))
        done = hive.run("up", "genie", "--json")
        assert done.status == 2 and text in done.error and done.json["exit_status"] == 2, done
        assert done.json["error"].startswith("cannot look for genie: its compose files are not in order"), done
    hive.describe(GENIE, text='{"services": {"other": {"image": "x"}}}')
    done = hive.run("up", "genie")
    assert done.status == 2 and "its compose file has no service named genie" in done.error, done
    # The tree that this program stands in has the project's own files; a copy elsewhere has none.
    copy = tmp_path / "hive"
    shutil.copy(hive.path, copy)
    done = subprocess.run([copy, "up", "genie"], cwd=tmp_path, capture_output=True, text=True, timeout=30, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 2 and "cannot find etc/genie/compose.yaml above this program or the working directory" in done.stderr, done


def test_an_image_that_cannot_be_had_is_told_in_composes_words(make, compose):
    hive = make(compose=compose, image="127.0.0.1:1/hivesup-test/none:none")
    done = hive.run("up", "genie", "--json")
    assert done.status == 1 and done.role()["error"].startswith("cannot start genie: compose ended with exit status 1"), done
    assert "127.0.0.1:1" in json.dumps(done.role()["details"])
