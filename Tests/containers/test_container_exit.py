"""The container's exit status is that of the critical program that failed, and a restart policy goes by it."""

import re
import time

from lab.container import cluster_state
from lab.waiting import until

#: A critical program that lives until it is told how to end: an exit status, or a signal's name. Told once: a restarted container has
#: the same files, and lives on.
SCRIPT = """until [ -e /tmp/end ]; do sleep 0.05; done
how=$(cat /tmp/end)
rm /tmp/end
case $how in
[0-9]*) exit "$how" ;;
*) kill -"$how" $$; sleep 10 ;;
esac
"""
PROGRAM = """[program:bystander]
priority=250
command=/bin/sh /etc/hivesup/critical.sh
startsecs=0
startretries=0
autorestart=false
critical=true
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
redirect_stderr=true
"""
FILES = {"/etc/hivesup/conf.d/bystander.conf": PROGRAM, "/etc/hivesup/critical.sh": SCRIPT}
DATA = "/var/lib/postgresql/data"


def end(one, how):
    """Tells the critical program how to end."""
    one.shell(f"echo {how} >/tmp/.end && mv /tmp/.end /tmp/end")


def said(one):
    """What hivesupd said, in order: the lines of its log without time and level."""
    found = (re.match(r"\S+ hivesupd log \| [A-Z]+ (.*)", line) for line in one.logs().splitlines())
    return [match.group(1) for match in found if match]


def up(one):
    one.wait_ready()
    until(lambda: all(p["ready"] or p["completed"] or p["state"] in ("STOPPED", "RUNNING") for p in one.programs().values()), "everything is up")
    return one


def ends(one, data, how, status, told):
    up(one.run("--volume", f"{data}:{DATA}", files=FILES))
    row = one.create(1)
    end(one, how)
    assert one.wait_exit() == status, one.describe()
    assert not one.inspect()["State"]["OOMKilled"]
    # The others were stopped in order, each by itself, after the reason was told.
    lines = said(one)
    order = ["exited: bystander", "bystander is critical and has failed", "stopped: health-monitor (exit status 0)",
             "stopped: hive-service (exit status 0)", "stopped: postgresql (exit status 0)"]
    places = [next((number for number, line in enumerate(lines) if line.startswith(text)), None) for text in order]
    assert None not in places and places == sorted(places), (places, lines)
    assert told in lines[places[0]] and told in lines[places[1]] and f"ending with status {status}" in lines[places[1]], lines
    assert cluster_state(data, one.role.image) == "shut down"
    # The same container, started by hand: the reason is gone, the data is there.
    one.start()
    one.wait_ready()
    assert one.ids() == {row}
    assert one.stop()[0] == 0


def test_a_critical_program_ends_the_container_with_its_status(role, container, volume, together):
    endings = [("7", 7, "exit status 7"), ("SEGV", 139, "SIGSEGV"), ("KILL", 137, "SIGKILL")]
    together(*(lambda one=container(role), data=volume(), ending=ending: ends(one, data, *ending) for ending in endings))


def test_restart_on_failure_acts_on_it_and_not_on_a_stop(role, container, volume):
    data = volume()
    one = up(container(role).run("--restart", "on-failure:5", "--volume", f"{data}:{DATA}", files=FILES))
    rows = {one.create(1)}
    for restarts, (how, status) in enumerate([("7", 7), ("SEGV", 139)], 1):
        end(one, how)
        # Docker counts first; the ports are published a moment later.
        until(lambda: one.inspect()["RestartCount"] == restarts and one.renew().ready(), lambda: f"docker restarts it\n{one.describe()}", 60, 0.1)
        up(one)
        rows.add(one.create(restarts + 1))
        assert f"ending with status {status}" in one.logs()
    assert one.ids() == rows and None not in rows
    assert one.logs().count("redo starts at") == 0
    # Asked to stop from within: nothing of docker's own bookkeeping says that somebody wanted it; the status does.
    one.ctl("shutdown")
    assert one.wait_exit() == 0
    time.sleep(2)
    state = one.inspect()
    assert (state["State"]["Status"], state["RestartCount"]) == ("exited", 2), one.describe()
    # And by docker stop.
    up(one.start())
    assert one.stop()[0] == 0
    time.sleep(2)
    assert one.inspect()["State"]["Status"] == "exited", one.describe()
    assert cluster_state(data, role.image) == "shut down"
