"""What is wrong with a configuration is said at once, all of it, with the place and the remedy; exit status 2, nothing started."""

import pytest

from lab.config import ini, program, script, supervisord
from lab.daemon import HIVESUPD, hivesup

BROKEN = """[program:one]
command=/bin/true
startsecs=soon
[program:two]
command=/bin/true
autorestart=sometimes
stopsignal=NOPE
[program:three]
comand=/bin/true
[program:four]
command=/bin/true
depends_on=nobody:ready
exitcodes=256
"""


def test_every_error_at_once_with_file_line_section_and_key(make, directory):
    daemon = make(BROKEN)
    done = hivesup("check", "-c", daemon.config)
    assert done.returncode == 2
    text = done.stdout + done.stderr
    for words in ("startsecs", "soon", "autorestart", "sometimes", "stopsignal", "NOPE", "program:three", "command", "nobody", "256"):
        assert words in text, (words, text)
    lines = daemon.config.read_text().splitlines()
    for key in ("startsecs=soon", "autorestart=sometimes", "stopsignal=NOPE"):
        assert f"{daemon.config}:{lines.index(key) + 1}" in text, (key, text)
    assert "did you mean" in text and "command" in text, text


def test_run_refuses_with_the_same_errors_and_2_and_starts_nothing(make, mode, directory):
    touch = script(directory, "touch", f": >{directory}/started")
    daemon = make(program("good", touch, priority=1) + BROKEN, mode=mode)
    assert daemon.run(10) == 2
    assert "soon" in daemon.text() and "NOPE" in daemon.text()
    assert not (directory / "started").exists()


@pytest.mark.parametrize("text", [
    "", "[program:x]\ncommand=/bin/true\n", "this is not ini\n[supervisord]\n", "[supervisord]\nloglevel=verbose\n",
    "[supervisord]\n[program:x]\n", "[supervisord]\n[program:a b]\ncommand=/bin/true\n",
    "[supervisord]\n[program:x]\ncommand=%(nope)s\n", "[supervisord]\n[program:x]\ncommand=/bin/true\nuser=nosuchuser\n",
    "[supervisord]\n[group:g]\nprograms=zz\n", "[supervisord]\n[program:x]\ncommand=/bin/true\nenvironment=A=1,B\n",
    "[supervisord]\n[program:x]\ncommand=/bin/true\nnumprocs=2\n",
    "[supervisord]\n[program:a]\ncommand=/bin/true\ndepends_on=b:ready\n[program:b]\ncommand=/bin/true\ndepends_on=a:ready\n",
    "[supervisord]\n[eventlistener:x]\ncommand=/bin/true\nevents=EVENT\n",
    "[supervisord]\n[listener:x]\naddress=nowhere\n",
])
def test_exit_status_2_for_every_kind_of_error(make, directory, text):
    daemon = make()
    daemon.config.write_text(text)
    assert daemon.run(10) == 2, daemon.output()
    assert str(daemon.config) in daemon.text(), daemon.text()


def test_a_missing_file_is_said_with_its_name(directory):
    for arguments in (("run", "-c", f"{directory}/none.conf"), ("check", "-c", f"{directory}/none.conf")):
        done = hivesup(*arguments)
        assert done.returncode == 2 and "none.conf" in done.stderr + done.stdout, done


def test_unknown_keys_are_warned_of_and_do_not_stop_anything(make, directory):
    daemon = make(program("main", "/bin/sleep 1000", autorestrat="true"))
    done = hivesup("check", "-c", daemon.config)
    assert done.returncode == 0, done
    assert "autorestrat" in done.stdout + done.stderr and "autorestart" in done.stdout + done.stderr


def test_check_prints_the_plan(make, directory):
    done = hivesup("check", "-c", make(ini(
        supervisord(shutdown_timeout=9),
        "[listener:api]\naddress=127.0.0.1:48886\nprogram=api\nfallback=health\n",
        program("db", "/bin/sleep 1000", priority=100, ready="tcp://127.0.0.1:5432", stop_plan="INT:6, QUIT:2"),
        program("api", "/bin/sleep 2000", priority=200, depends_on="db:ready"),
    )).config)
    assert done.returncode == 0, done
    for words in ("db: service", "api: service", "/bin/sleep 2000", "48886", "within 9 s", "starts when: db is ready", "SIGINT 6 s → SIGQUIT 2 s"):
        assert words in done.stdout, (words, done.stdout)


def test_the_files_of_genie_and_agent_are_valid(make):
    import pathlib

    for role in ("genie", "agent"):
        file = pathlib.Path(__file__).resolve().parents[2] / "etc" / role / "hivesup.conf"
        done = hivesup("check", "-c", file, environment={
            "HIVE_BIN_DIR": "/usr/bin", "HIVE_PG_BINDIR": "/usr/bin", "HIVE_RUN_DIR": "/tmp", "HIVE_DATA": "/tmp", "HIVE_ETC": "/tmp",
            "HIVE_LOG_DIR": "/tmp", "HIVE_PORT": "48886", "HIVE_PG_PORT": "5432", "HIVESUP_SOCKET": "/tmp/x.sock", "HIVE_ROLE": role,
            "HIVE_POSTGRES_USER": "nobody", "HIVE_PGBOUNCER": "false", "HIVE_REDIS": "true",
        })
        assert done.returncode == 0, done
        assert "unknown" not in (done.stdout + done.stderr).lower(), done


def test_hivesupd_alone_takes_a_file(make, mode, directory):
    """The image may call it without `hivesup run` in front."""
    daemon = make(program("main", "/bin/sleep 1000"), mode=mode, command=[HIVESUPD, "-c", str(directory / "hivesup.conf")])
    with daemon:
        daemon.wait_state("main", "RUNNING")
        assert daemon.stop()[0] == 0
