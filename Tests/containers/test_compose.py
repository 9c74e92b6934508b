"""etc/ROLE/compose.yaml and its production override, with compose 2 and with Debian 12's docker-compose 1.29, on a real engine; and which
of several settings of one variable counts (docs/environment.md)."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest
import yaml

from lab import docker as engine
from lab.container import Container
from lab.docker import docker

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = {"compose-2": ("docker", "compose"), "compose-1": ("docker-compose",)}
VOLUMES = {"data": "/var/lib/postgresql/data", "logs": "/var/log/hivesup", "backups": "/var/backups/hivesup"}


@pytest.fixture(scope="session")
def plugin():
    """The environment in which `docker compose` is compose 2."""
    done = subprocess.run([str(PROJECT / "scripts/containers.d/compose")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, "scripts/containers.d/compose has no composes"
    return {"DOCKER_CONFIG": done.stdout.strip()} if done.stdout.strip() else {}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Project:
    """A copy of etc/ROLE, as one compose project of this run."""

    def __init__(self, tool, role, directory, plugin):
        self.tool, self.role, self.directory = tool, role, directory / "etc" / role.name
        shutil.copytree(PROJECT / "etc" / role.name, self.directory)
        self.name = engine.unique(role.name)
        self.port = free_port()
        self.files = ["compose.yaml"]
        upper = role.name.upper()
        #: What the shell has.
        self.shell = {f"HIVE_{upper}_IMAGE": role.image, f"HIVE_{upper}_PORT": str(self.port), f"HIVE_{upper}_BIND": "127.0.0.1"}
        self.environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **plugin}

    def compose(self, *words, options=(), check=True, timeout=120):
        files = [word for name in self.files for word in ("--file", str(self.directory / name))]
        # Not from the directory of the files: nothing may depend on where it is typed.
        done = subprocess.run(
            [*TOOLS[self.tool], *files, "--project-name", self.name, *options, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=timeout, cwd="/", env={**self.environment, **self.shell})
        assert not check or done.returncode == 0, done
        return done

    def config(self, **options):
        """The service as compose understands it."""
        return yaml.safe_load(self.compose("config", **options).stdout)["services"][self.role.name]

    def up(self):
        container = Container(self.role)
        container.begun = time.monotonic()
        self.compose("up", "--detach", "--no-build")
        container.name = self.compose("ps", "--quiet", self.role.name).stdout.strip()
        container._look_up_port()
        return container

    def remove(self):
        for kind, words in (("container", ["rm", "--force", "--volumes"]), ("network", ["network", "rm"]), ("volume", ["volume", "rm", "--force"])):
            listing = ["ps", "--all"] if kind == "container" else [kind, "ls"]
            names = docker(*listing, "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").stdout.split()
            if names:
                docker(*words, *names, check=False)


@pytest.fixture(params=TOOLS)
def project(request, role, tmp_path, plugin):
    one = Project(request.param, role, tmp_path, plugin)
    yield one
    one.remove()


# --- what the files say --------------------------------------------------------------------------------------------------------


def shutdown_timeout(role):
    [found] = re.findall(r"^shutdown_timeout=(\d+)$", (PROJECT / "etc" / role.name / "hivesup.conf").read_text(), re.M)
    return int(found)


def test_the_files_of_both_roles_are_the_same_but_for_the_role():
    for name in ("compose.yaml", "compose.production.yaml"):
        genie, agent = ((PROJECT / "etc" / role / name).read_text() for role in ("genie", "agent"))
        assert genie.replace("genie", "agent").replace("GENIE", "AGENT").replace("48886", "38886") == agent


def test_compose_waits_longer_than_hivesup_needs(role):
    service = yaml.safe_load((PROJECT / "etc" / role.name / "compose.yaml").read_text())["services"][role.name]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert shutdown_timeout(role) < grace <= shutdown_timeout(role) + 5


def test_each_variable_is_documented(role):
    documented = (PROJECT / "docs/environment.md").read_text()
    for name in ("compose.yaml", "compose.production.yaml"):
        text = (PROJECT / "etc" / role.name / name).read_text()
        for variable in set(re.findall(r"\$\{(\w+)", text)):
            assert f"`{variable.replace(role.name.upper(), 'ROLE')}`" in documented, (name, variable)


# --- on the engine -----------------------------------------------------------------------------------------------------------------


def test_up_is_a_confined_container_whose_data_outlives_it(project, role):
    container = project.up()
    container.wait_health()
    found = container.inspect()
    host, config = found["HostConfig"], found["Config"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20 and host["PidsLimit"] == 256
    assert host["ReadonlyRootfs"] is True and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and host["Privileged"] is False
    assert "no-new-privileges:true" in host["SecurityOpt"] and config["User"] == "1000:0"
    assert host["RestartPolicy"]["Name"] == "unless-stopped" and config["StopTimeout"] == 12
    assert set(host["Tmpfs"]) == {"/run", "/tmp"}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}
    published = {port: bindings for port, bindings in found["NetworkSettings"]["Ports"].items() if bindings}
    assert list(published) == [f"{role.port}/tcp"] and published[f"{role.port}/tcp"][0]["HostIp"] == "127.0.0.1"
    assert {mount["Destination"]: mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"} == {
        path: f"{project.name}_{name}" for name, path in VOLUMES.items()}
    assert list(found["NetworkSettings"]["Networks"]) == [f"{project.name}_isolated"]
    network = engine.inspect("network", f"{project.name}_isolated")
    assert network["Options"]["com.docker.network.bridge.enable_ip_masquerade"] == "false" and len(network["Containers"]) == 1
    # The confinement as the kernel has it.
    status = container.shell("cat /proc/1/status").stdout
    assert re.search(r"^CapBnd:\s*0+$", status, re.M) and re.search(r"^NoNewPrivs:\s*1$", status, re.M)
    assert container.shell("touch /usr/local/x", check=False).returncode != 0
    for path in VOLUMES.values():
        container.shell(f"touch {path}/.written && rm {path}/.written")

    made = container.create(1)
    assert made
    project.compose("stop")
    assert container.exit_status() == 0
    project.compose("down")
    assert docker("inspect", container.name, check=False).returncode != 0
    again = project.up()
    again.wait_ready()
    assert made in again.ids() and "was not shut down" not in again.logs()


def secret(project, directory):
    file = directory / "db_password"
    file.write_text("correct-horse-battery-staple\n")
    file.chmod(0o444)
    directory.chmod(0o755)
    project.shell[f"HIVE_{project.role.name.upper()}_PASSWORD_FILE"] = str(file)
    return file.read_text().strip()


def test_production_has_its_password_from_a_file_and_says_it_nowhere(project, role, tmp_path):
    project.files.append("compose.production.yaml")
    password = secret(project, tmp_path)
    container = project.up()
    container.wait_ready()
    # It is the one that counts…
    login = ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-U", role.owner, "-d", role.database, "-c", "SELECT 'in'"]
    assert container.exec("env", f"PGPASSWORD={password}", *login).stdout.strip() == "in"
    assert container.exec("env", "PGPASSWORD=wrong-horse", *login, check=False).returncode != 0
    # … and nobody is told.
    found = container.inspect()
    assert password not in json.dumps(found) and password not in container.logs()
    assert "HIVE_DB_PASSWORD_FILE=/run/secrets/db_password" in found["Config"]["Env"]
    assert password not in container.shell("cat /proc/*/environ /proc/*/cmdline 2>/dev/null", check=False).stdout
    host = found["HostConfig"]
    assert host["NanoCpus"] == 2_000_000_000 and host["MemoryReservation"] == 256 << 20 and host["ReadonlyRootfs"] is True
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"]["max-size"] == "50m" and host["LogConfig"]["Config"]["labels"]
    assert {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]} == {"core": (0, 0)}
    assert found["Config"]["Labels"]["org.hivesup.environment"] == "production"


@pytest.mark.parametrize("missing", ["IMAGE", "PASSWORD_FILE"])
def test_production_without_what_it_needs_is_refused_by_name(project, role, tmp_path, missing):
    project.files.append("compose.production.yaml")
    secret(project, tmp_path)
    name = f"HIVE_{role.name.upper()}_{missing}"
    del project.shell[name]
    done = project.compose("config", check=False)
    assert done.returncode != 0 and f"give the {'image' if missing == 'IMAGE' else 'path'}" in done.stderr, done


def test_the_optional_programs_are_switched_on_by_a_variable(project, role):
    project.shell.update(HIVE_PGBOUNCER="true", HIVE_REDIS="true")
    container = project.up()
    container.wait_ready()
    programs = container.programs()
    assert {programs[name]["state"] for name in ("pgbouncer", "redis", "postgresql", "hive-service")} == {"RUNNING"}
    assert container.create(1)


# --- which setting counts ------------------------------------------------------------------------------------------------------------


def test_the_later_of_six_places_counts(project, role):
    """The image, the compose file, .env, the shell, an override file, the command line: each is given in turn, and each is then the one."""

    def inside(*words):
        done = project.compose("run", "--rm", "--no-deps", *words, "--entrypoint", "/usr/bin/env", role.name)
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    # 0. The image: what no file speaks of.
    assert inside()["HIVE_PG_PORT"] == "5432"
    # 1. The compose file's default, which is over the image's.
    assert project.config()["environment"]["HIVE_LOG_LEVEL"] == "info"
    # 2. .env beside the compose file.
    (project.directory / ".env").write_text("HIVE_LOG_LEVEL=debug\n")
    assert project.config()["environment"]["HIVE_LOG_LEVEL"] == "debug"
    # … or the file that is named in its place: it alone counts.
    named = project.directory / ".env.production"
    named.write_text("HIVE_LOG_FORMAT=json\n")
    environment = project.config(options=["--env-file", str(named)])["environment"]
    assert environment["HIVE_LOG_FORMAT"] == "json" and environment["HIVE_LOG_LEVEL"] == "info"
    # 3. The shell.
    project.shell["HIVE_LOG_LEVEL"] = "trace"
    assert project.config()["environment"]["HIVE_LOG_LEVEL"] == "trace"
    # 4. An override file.
    (project.directory / "compose.override.yaml").write_text(
        yaml.safe_dump({"services": {role.name: {"environment": {"HIVE_LOG_LEVEL": "error", "HIVE_PG_PORT": "5433"}}}}))
    project.files.append("compose.override.yaml")
    assert project.config()["environment"]["HIVE_LOG_LEVEL"] == "error"
    environment = inside()
    assert environment["HIVE_LOG_LEVEL"] == "error" and environment["HIVE_PG_PORT"] == "5433"
    # 5. The command line.
    assert inside("-e", "HIVE_LOG_LEVEL=critical")["HIVE_LOG_LEVEL"] == "critical"


def test_compose_takes_the_override_file_by_itself(project, role):
    """Typed in the directory, without --file: compose.yaml and compose.override.yaml, and never the production one."""
    (project.directory / "compose.override.yaml").write_text(
        yaml.safe_dump({"services": {role.name: {"environment": {"HIVE_LOG_LEVEL": "debug"}}}}))
    done = subprocess.run([*TOOLS[project.tool], "config"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, cwd=project.directory, env={**project.environment, **project.shell})
    assert done.returncode == 0, done
    service = yaml.safe_load(done.stdout)["services"][role.name]
    assert service["environment"]["HIVE_LOG_LEVEL"] == "debug" and "secrets" not in service
