"""`docker run IMAGE WORDS…`: hivesup's own commands, and every other program with hivesup as its init."""

import json
import signal

import pytest
from lab import docker as engine
from lab.docker import docker


def run(role, *words, options=(), check=False):
    """`docker run --rm IMAGE WORDS…` to its end."""
    return docker("run", "--rm", "--label", engine.LABEL, "--network", "none", *options, role.image, *words, check=check)


# --- commands of hivesup ---------------------------------------------------------------------------------------------------


def test_check_prints_the_plan_of_the_images_configuration(role):
    done = run(role, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{role.name}: ") and "file: /etc/hivesup/hivesup.conf" in done.stdout
    for program in ("postgres-init", "postgresql", "postgres-migrate", "hive-service", "health-monitor", "pgbouncer", "redis"):
        assert f"  {program}: " in done.stdout, done.stdout
    assert f":{role.port}" in done.stdout
    document = json.loads(run(role, "check", "--json").stdout)
    assert document["valid"] is True and document["plan"]["container"] == role.name


def test_check_of_a_broken_configuration_is_2_and_says_where(role, tmp_path):
    broken = tmp_path / "broken.conf"
    broken.write_text("[program:broken]\ncommand=true\nautostart=perhaps\n")
    broken.chmod(0o444)
    tmp_path.chmod(0o755)
    done = run(role, "check", options=["--volume", f"{broken}:/etc/hivesup/conf.d/broken.conf:ro"])
    assert done.returncode == 2 and "/etc/hivesup/conf.d/broken.conf:3: error: [program:broken] autostart" in done.stderr, done


def test_topology_and_doctor_tell_of_the_machine(role):
    done = run(role, "topology")
    assert (done.returncode, done.stderr) == (0, "") and "REQUEST" in done.stdout and "performance" in done.stdout
    assert json.loads(run(role, "topology", "--json", check=True).stdout)
    done = run(role, "doctor")
    assert (done.returncode, done.stderr) == (0, "") and "this process is 1" in done.stdout
    assert json.loads(run(role, "doctor", "--json", check=True).stdout)


def test_ctl_and_healthcheck_without_a_supervisor_say_what_was_tried(role):
    done = run(role, "ctl", "status")
    assert done.returncode == 4 and done.stdout == ""
    assert "cannot reach hivesupd: tried /run/hivesup/control.sock" in done.stderr
    done = run(role, "healthcheck")
    assert done.returncode == 1 and "/run/hivesup/control.sock" in done.stdout + done.stderr


def test_ctl_of_another_container_over_its_socket(role, container, tmp_path):
    """What `docker run` starts may be a client: the socket lies in a directory that both have."""
    tmp_path.chmod(0o777)
    one = container(role).run("--volume", f"{tmp_path}:/run/hivesup")
    one.wait_ready()
    done = run(role, "ctl", "status", "--json", options=["--volume", f"{tmp_path}:/run/hivesup"])
    assert {program["name"] for program in json.loads(done.stdout)["programs"]} >= {"postgresql", "hive-service"}, done


def test_version_and_help(role):
    version = docker("run", "--rm", "--label", engine.LABEL, role.image, "--version").stdout
    assert engine.inspect("image", role.image)["Config"]["Labels"]["org.opencontainers.image.version"] in version
    done = run(role, "--help")
    assert done.returncode == 0 and "SUBCOMMANDS" in done.stdout


@pytest.mark.parametrize("words, hint", [(["nonsense"], None), (["stauts"], "hivesup ctl status"), (["chekc"], "hivesup check")])
def test_an_unknown_word_prints_usage_and_ends_with_2(role, words, hint):
    done = run(role, *words)
    assert done.returncode == 2 and done.stdout == ""
    assert f"cannot run '{words[0]}': it is neither a command of hivesup nor a program in PATH" in done.stderr
    assert "Usage: hivesup <command>" in done.stderr and "hivesup [--] PROGRAM" in done.stderr
    assert ("Did you mean" in done.stderr) == (hint is not None) and (hint or "") in done.stderr


# --- other programs --------------------------------------------------------------------------------------------------------


def test_a_program_of_the_image_runs_below_hivesup(role):
    done = run(role, "psql", "--version")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("psql (PostgreSQL) ")
    done = run(role, "--", "pg_config", "--version")
    assert done.returncode == 0 and done.stdout.startswith("PostgreSQL ")
    # hivesup stays process 1, and the program's standard streams are the container's.
    done = run(role, "sh", "-c", 'echo "$PPID $(tr "\\0" " " </proc/1/cmdline)"; echo oops >&2')
    assert done.stdout.split()[:2] == ["1", "hivesupd"] and done.stderr == "oops\n", done


@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -SEGV $$", 139), ("kill -KILL $$", 137)])
def test_the_exit_status_is_kept(role, script, status):
    assert run(role, "sh", "-c", script).returncode == status


@pytest.mark.parametrize("words, status", [(["/nowhere/at/all"], 127), (["--", "nonsense"], 127), (["/etc/passwd"], 126)])
def test_what_cannot_be_run_has_the_shells_status(role, words, status):
    done = run(role, *words)
    assert done.returncode == status and done.stderr.startswith("hivesup: cannot run "), done


#: Says which signal came, and ends with TERM only.
LISTENER = """
for name in HUP INT QUIT USR1 USR2 TERM WINCH; do trap "echo got $name" $name; done
trap 'echo got TERM; exit 5' TERM
echo listening
while :; do sleep 0.05; done
"""


def test_signals_are_forwarded(role, container):
    one = container(role).run(publish=False, command=["sh", "-c", LISTENER])
    one.wait_log("listening")
    for name in ("HUP", "INT", "QUIT", "USR1", "USR2", "WINCH"):
        one.kill(name)
        one.wait_log(f"got {name}")
    assert one.running()
    status, seconds = one.stop()
    assert status == 5 and seconds < 5, one.describe()
    assert [line for line in one.logs().splitlines() if line == "got TERM"] == ["got TERM"]


def test_a_program_that_does_not_mind_a_signal_dies_of_it(role, container):
    """As process 1 it would have been immune."""
    one = container(role).run(publish=False, command=["sleep", "600"])
    status, seconds = one.stop()
    assert status == 128 + signal.SIGTERM and seconds < 5, one.describe()
