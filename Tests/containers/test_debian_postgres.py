"""Genie on Debian 13's PostgreSQL 17, which was built with TLS and sd_notify: the first makes it no other server, the second is listened to."""

import re

from lab.container import GENIE, TRIXIE_IMAGE
from lab.waiting import until


def environment_of_the_server(container):
    pid = container.programs()["postgresql"]["pid"]
    return container.shell(f"tr '\\0' '\\n' < /proc/{pid}/environ").stdout.splitlines()


def test_a_socket_of_the_container_engine_is_not_the_servers_to_talk_to(container):
    """podman names one to every container; READY is hivesup's to say. The server gets hivesup's own, an abstract one."""
    one = container(GENIE, TRIXIE_IMAGE).run("--env", "NOTIFY_SOCKET=/run/notify/notify.sock")
    one.wait_ready()
    assert "--with-systemd" in one.shell("/usr/lib/postgresql/17/bin/pg_config --configure").stdout
    sockets = [line for line in environment_of_the_server(one) if line.startswith("NOTIFY_SOCKET=")]
    assert len(sockets) == 1 and sockets[0].startswith("NOTIFY_SOCKET=@"), sockets
    # TLS is there for whoever configures a certificate; nobody has, and the sockets are this container's own.
    assert one.exec("psql", "-XAtq", "-h", "/run/hivesup/postgres", "-U", "postgres", "-c", "SHOW ssl", "postgres").stdout == "off\n"
    assert one.stop()[0] == 0


def test_its_word_is_heard_at_once_and_its_answer_counts(container):
    """Smart shutdown: with clients the server lives on, and lets nobody in. It says so before any check is due; then the checks see it."""
    one = container(GENIE, TRIXIE_IMAGE).run()
    one.wait_ready()
    assert one.create(1)
    before = one.programs()["postgresql"]
    assert not [event for event in one.events() if "it is stopping" in str(event)]
    one.shell(f"kill -TERM {before['pid']}")
    until(lambda: any("it is stopping" in str(event) for event in one.events()), lambda: f"STOPPING=1 is heard\n{one.describe()}", 30)
    # Its clients stay, so somebody has to make it new: the liveness check, by the stop plan.
    until(lambda: one.programs()["postgresql"]["pid"] not in (None, before["pid"]), lambda: f"it is replaced\n{one.describe()}", 60)
    one.wait_ready()
    assert one.create(2)
    assert one.stop()[0] == 0


def test_with_ready_notify_the_server_says_it_itself(container, tmp_path):
    one = container(GENIE, TRIXIE_IMAGE).run("--entrypoint", "sleep", command=["60"])
    text = one.exec("cat", "/etc/hivesup/hivesup.conf").stdout
    program = text.index("[program:postgresql]")
    changed, count = re.subn(r"^ready=postgres:.*$", "ready=notify", text[program:], count=1, flags=re.MULTILINE)
    assert count == 1
    changed = re.sub(r"^ready_(interval|timeout)=.*\n", "", changed, count=2, flags=re.MULTILINE)
    path = tmp_path / "hivesup.conf"
    path.write_text(text[:program] + changed)
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    two = container(GENIE, TRIXIE_IMAGE).run("--volume", f"{path}:/etc/hivesup/hivesup.conf:ro")
    two.wait_ready()
    assert [line for line in environment_of_the_server(two) if line.startswith("NOTIFY_SOCKET=@")]
    assert two.create(1)
    assert two.stop()[0] == 0
