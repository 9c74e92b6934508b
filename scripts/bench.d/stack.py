"""The whole container: how long `scripts/run genie` needs until the health endpoint says healthy, with an empty volume and
with one that has been used before, and how long it needs to stop."""

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import measures
import processes


def free_port():
    """Below the ports that the kernel gives to outgoing connections, which may be held by one in TIME_WAIT."""
    for port in random.sample(range(20000, 32000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError("no free port among 200")


def healthy(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/api/v1/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def launched(state, ports, log, environment=None):
    """`scripts/run genie` with its data below `state`, about to start hivesupd (the process is it by then): yields the process.
    Whatever happens, nothing of it is left afterwards."""
    project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    port, pg_port = ports
    surroundings = {**os.environ, "HIVE_STATE": state, "HIVE_PORT": str(port), "HIVE_PG_PORT": str(pg_port), **(environment or {})}
    process = subprocess.Popen(
        [f"{project}/scripts/run", "genie"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=surroundings
    )
    try:
        # The script's own work (is all set up? copies for the services' user) is no part of what is measured.
        wait(lambda: process.poll() is not None or (processes.executable(process.pid) or "").endswith("/hivesupd"), 600, 0.0005)
        yield process
    finally:
        if process.poll() is None:
            for pid in processes.tree(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()


def wait_healthy(process, port):
    wait(lambda: process.poll() is not None or healthy(port), 60, 0.005)
    if process.poll() is not None:
        raise measures.Trouble(f"the stack ended with status {process.returncode}")


def stop(process):
    pids = processes.tree(process.pid)
    process.send_signal(signal.SIGTERM)
    if processes.wait_gone(pids, 30) is None:
        raise measures.Trouble("the stack was still there 30 s after TERM")


def once(state, port, pg_port, log):
    with launched(state, (port, pg_port), log) as process:
        begun = time.monotonic()
        wait_healthy(process, port)
        up = time.monotonic()
        stopping = time.monotonic()
        stop(process)
        return (up - begun) * 1000, (time.monotonic() - stopping) * 1000


def wait(condition, seconds, pause):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise measures.Trouble(f"the stack was not up after {seconds} s")
        time.sleep(pause)


def boots(rounds):
    cold, warm, stops = [], [], []
    for _ in range(rounds):
        state = tempfile.mkdtemp(prefix="hsb-stack.", dir="/var/lib" if os.geteuid() == 0 else None)
        os.chmod(state, 0o755)
        try:
            with open(f"{state}/output", "wb") as log:
                ports = free_port(), free_port()
                for times in (cold, warm):
                    up, down = once(state, *ports, log)
                    times.append(up)
                    stops.append(down)
        except measures.Trouble as trouble:
            with open(f"{state}/output", errors="replace") as file:
                raise measures.Trouble(f"{trouble}\n{file.read()[-3000:]}") from None
        finally:
            shutil.rmtree(state, ignore_errors=True)
    return {
        "first_boot_ms": measures.spread(cold),
        "next_boot_ms": measures.spread(warm),
        "stop_ms": measures.spread(stops),
    }


def table(result):
    lines = ["| genie: PostgreSQL, schema, API, monitor | median, ms | slowest, ms |", "|---|---:|---:|"]
    for title, key in (
        ("first boot (empty volume) → healthy", "first_boot_ms"),
        ("next boot → healthy", "next_boot_ms"),
        ("TERM → everything gone", "stop_ms"),
    ):
        lines.append(f"| {title} | {result[key]['median']:.0f} | {result[key]['max']:.0f} |")
    return "\n".join(lines)
