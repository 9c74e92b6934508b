"""What the placing itself costs: the monitor's polls over a hundred backends, hivesupd's starts, and the move of a large tree."""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import measures
import pinned_stack
import processes
import spawning
import supervisors

BACKENDS = 100
TREE = 200


# --- the monitor -----------------------------------------------------------------------------------------------------


def watched(pid, seconds):
    """The CPU time of a process over `seconds`: in µs a second, and the µs of each time that it ran."""
    first = last = read(pid)
    begun, single = time.monotonic(), []
    while (now := time.monotonic()) < begun + seconds:
        time.sleep(0.01)
        used = read(pid)
        if used[1] != last[1]:
            single.append((used[0] - last[0]) / 1000)
        last = used
    return {"us_per_s": (last[0] - first[0]) / 1000 / (now - begun), "wakes": single}


def read(pid):
    used = pinned_stack.cpu_ns(pid)
    if used is None:
        raise measures.Trouble("cannot read the monitor's CPU time: it has ended, or this kernel has no /proc/PID/schedstat")
    return used


@contextlib.contextmanager
def backends(server):
    """A hundred connections that do nothing."""
    with server.background("\\sleep 3600 s\n", BACKENDS, "idle"):
        deadline = time.monotonic() + 30
        while len(server.children(f"{pinned_stack.OWNER} {pinned_stack.DATABASE}")) < BACKENDS:
            if time.monotonic() > deadline:
                raise measures.Trouble(f"cannot open {BACKENDS} connections within 30 s")
            time.sleep(0.2)
        yield


def monitor(server, quick):
    """With pinning and without, in turn. Once without the checks, so that all that differs is the polls between them, and once with
    them as they are by default."""
    rounds, seconds = (1, 5) if quick else (3, 10)
    found = {}
    for number in range(rounds):
        for name in ("program", "role"):
            placement = pinned_stack.PLACEMENTS[name]
            print(f"monitor: round {number + 1} of {rounds}, pinning {'on' if name == 'role' else 'off'}", file=sys.stderr, flush=True)
            for interval in (3600, 2):
                extra = {"HIVE_MONITOR_INTERVAL": str(interval), "POSTGRES_MAX_CONNECTIONS": str(BACKENDS + 30)}
                with server.up(placement, extra), backends(server):
                    # The looks just after a start are closer together.
                    time.sleep(2)
                    found.setdefault(f"{interval}/idle/{name}", []).append(watched(server.monitor(), seconds))
                    if interval == 2:
                        continue
                    # Whatever moment it polls at, somebody is new.
                    with server.background("SELECT 1;\n\\sleep 100 ms\n", 1, "changing", "-C"):
                        found.setdefault(f"{interval}/changing/{name}", []).append(watched(server.monitor(), seconds))
    return {
        key: {
            "us_per_s": statistics.median(one["us_per_s"] for one in some),
            "wake_us": measures.spread([wake for one in some for wake in one["wakes"]] or [0]),
            "wakes_per_s": sum(len(one["wakes"]) for one in some) / len(some) / seconds,
        }
        for key, some in found.items()
    }


# --- starts ----------------------------------------------------------------------------------------------------------


class Pinned(supervisors.Hivesup):
    """hivesupd whose programs ask for a class."""

    def prepare(self, commands):
        argv, extra = super().prepare(commands)
        path = f"{self.directory}/hivesup.conf"
        with open(path) as file:
            text = file.read()
        supervisors.write(path, text.replace("autorestart=true", "autorestart=true\ncpu_class=performance"))
        return argv, {**extra, **pinned_stack.CLASSES}


def starts(bench, quick):
    """hivesup_spawn_seconds with and without cpu_class, in turn: single starts, and 200 back to back."""
    rounds, samples = (1, 4) if quick else (5, 6)
    kinds = {"without": supervisors.Hivesup, "with": Pinned}
    found = {name: {"apart": [], "boot": [], "boot_ms": []} for name in kinds}
    for number in range(rounds):
        print(f"starts: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for name, kind in kinds.items():
            found[name]["apart"].append(spawning.apart(bench, kind, samples)["hivesup_us"]["median"])
            with bench.running(kind, count=200) as run:
                found[name]["boot_ms"].append(run.wait_up())
                measures.settle(run, 0.3)
                masks = {frozenset(os.sched_getaffinity(pid)) for pid, _ in run.up.values()}
                if name == "with" and masks != {frozenset(pinned_stack.P)}:
                    raise measures.Trouble(f"cannot measure starts with cpu_class: the masks are {masks}")
                known = spawning.metrics(f"{run.supervisor.directory}/control.sock")
                found[name]["boot"].append(known['hivesup_spawn_seconds{quantile="0.5"}'] * 1e6)
    return {name: {key: measures.spread(some) for key, some in one.items()} for name, one in found.items()}


# --- the move of a tree ----------------------------------------------------------------------------------------------


def post(control, path):
    """ms from connecting to the whole answer."""
    begun = time.monotonic_ns()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(control)
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    taken = (time.monotonic_ns() - begun) / 1e6
    if b" 200 " not in answer.split(b"\r\n", 1)[0]:
        raise measures.Trouble(f"cannot pin: {answer.decode(errors='replace')[-300:]}")
    return taken


def moves(quick):
    """A program of 200 processes moved from one CPU to the other: by the daemon's answer, by the command, and by nothing but the system
    calls, of which nobody can do with less."""
    rounds = 6 if quick else 30
    directory = tempfile.mkdtemp(prefix="hsb.", dir=measures.memory_directory())
    control = f"{directory}/control.sock"
    script = f"{directory}/tree.sh"
    supervisors.write(script, f"i=1\nwhile [ $i -lt {TREE} ]; do sleep 3600 & i=$((i+1)); done\nwait\n")
    supervisors.write(f"{directory}/hivesup.conf", "\n".join([
        "[supervisord]", "nodaemon=true", "logfile=/dev/null", "logfile_maxbytes=0", "silent=true", f"pidfile={directory}/pid",
        f"control_socket={control}", "[program:tree]", f"command=/bin/sh {script}", "cpu_class=performance", "stdout_logfile=NONE",
        "stderr_logfile=NONE", "stopasgroup=true", "",
    ]))
    binaries = supervisors.Hivesup.binaries
    daemon = subprocess.Popen(
        [f"{binaries}/hivesupd", "-c", f"{directory}/hivesup.conf"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, **pinned_stack.CLASSES}, cwd=directory,
    )
    try:
        deadline = time.monotonic() + 30
        while len(tree := processes.tree(daemon.pid)[1:]) < TREE:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise measures.Trouble(f"cannot start a tree of {TREE} processes: there are {len(tree)}")
            time.sleep(0.1)
        time.sleep(1)
        tree = processes.tree(daemon.pid)[1:]

        def verify(cpus):
            masks = {frozenset(os.sched_getaffinity(pid)) for pid in tree}
            if masks != {frozenset(cpus)}:
                raise measures.Trouble(f"cannot measure a move: the masks are {masks}, not CPU {cpus}")

        verify(pinned_stack.P)
        found = {"post_ms": [], "command_ms": [], "calls_ms": []}
        for _ in range(rounds):
            found["post_ms"].append(post(control, "/v1/programs/tree/pin?class=efficiency"))
            verify(pinned_stack.E)
            begun = time.monotonic_ns()
            done = subprocess.run(
                [f"{binaries}/hivesup", "ctl", "--socket", control, "pin", "--class", "performance", "tree"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            found["command_ms"].append((time.monotonic_ns() - begun) / 1e6)
            if done.returncode != 0:
                raise measures.Trouble(f"cannot pin: {done.stdout.strip()}")
            verify(pinned_stack.P)
            for cpus in (pinned_stack.E, pinned_stack.P):
                begun = time.monotonic_ns()
                for pid in tree:
                    os.sched_setaffinity(pid, cpus)
                found["calls_ms"].append((time.monotonic_ns() - begun) / 1e6)
        return {"processes": len(tree), **{key: measures.spread(some) for key, some in found.items()}}
    finally:
        pids = processes.tree(daemon.pid) if daemon.poll() is None else []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        daemon.wait()
        subprocess.run(["rm", "-rf", directory], check=False)


# --- the table -------------------------------------------------------------------------------------------------------


def table(result):
    lines = []
    if "monitor" in result:
        lines += ["| hive-postgres monitor, CPU µs a second | pinning off | pinning on | each time it ran, on: median, µs | p90 | longest |",
                  "|---|---:|---:|---:|---:|---:|"]
        for key, words in (
            ("3600/idle", f"{BACKENDS} idle backends, no checks"),
            ("3600/changing", f"{BACKENDS} and one that is always new, no checks"),
            ("2/idle", f"{BACKENDS} idle backends, a check every 2 s (default)"),
        ):
            off, on = result["monitor"][f"{key}/program"], result["monitor"][f"{key}/role"]
            lines.append(f"| {words} | {off['us_per_s']:.0f} | {on['us_per_s']:.0f} | "
                         + " | ".join(f"{on['wake_us'][what]:.0f}" for what in ("median", "p90", "max")) + " |")
        lines.append("")
    if "starts" in result:
        without, with_class = result["starts"]["without"], result["starts"]["with"]
        lines += ["| start | without cpu_class | with cpu_class |", "|---|---:|---:|"]
        for key, words in (("apart", "one start holds up the loop, apart, µs"), ("boot", "the same, 200 back to back, µs"),
                           ("boot_ms", "boot of 200 programs, ms")):
            lines.append(f"| {words} | {without[key]['median']:.0f} | {with_class[key]['median']:.0f} |")
        lines.append("")
    if "moves" in result:
        one = result["moves"]
        lines += [f"| a tree of {one['processes']} processes to the other class, ms | median | longest |", "|---|---:|---:|"]
        for key, words in (("post_ms", "the daemon's answer to POST …/pin"), ("command_ms", "`hivesup ctl pin`"),
                           ("calls_ms", "sched_setaffinity(2) for each, from Python")):
            lines.append(f"| {words} | {one[key]['median']:.2f} | {one[key]['max']:.2f} |")
    return "\n".join(lines).rstrip()
