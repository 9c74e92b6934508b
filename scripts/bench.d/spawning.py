"""How long a start holds up hivesup's loop, by its own metric hivesup_spawn_seconds, beside a bare clone and execve of the same
program on the same machine at the same time."""

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import time

import measures


def metrics(path):
    """The samples of `GET /metrics` as {name with labels: value}."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0]:
        raise measures.Trouble(f"/metrics answered {head.splitlines()[0].decode()}")
    lines = (line for line in body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def starts(path):
    """(number of starts so far, their times together in µs)"""
    samples = metrics(path)
    return int(samples["hivesup_spawn_seconds_count"]), samples["hivesup_spawn_seconds_sum"] * 1e6


@contextlib.contextmanager
def bare(bench):
    """A function that starts N services back to back by nothing but clone and execve: their times in µs."""
    process = subprocess.Popen(
        [bench.spawns, bench.service, bench.socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def start(count):
        process.stdin.write(f"{count}\n")
        process.stdin.flush()
        times = [int(word) / 1000 for word in process.stdout.readline().split()]
        if len(times) != count:
            raise measures.Trouble(f"only {len(times)} of {count} bare starts were made")
        for _ in range(count):
            if bench.receive(time.monotonic() + 10) is None:
                raise measures.Trouble("a bare start's service did not report")
        return times

    try:
        yield start
    finally:
        process.stdin.close()
        process.wait()


def apart(bench, kind, samples):
    """One start at a time, more than a second after the one before: hivesup's (a service killed) and a bare one in turn."""
    ours, theirs = [], []
    with bench.running(kind, count=2) as run, bare(bench) as start:
        run.wait_up()
        control = f"{run.supervisor.directory}/control.sock"
        names = sorted(run.up)
        measures.settle(run, 1.5)
        for i in range(samples):
            name = names[i % 2]
            count, total = starts(control)
            os.kill(run.up[name][0], signal.SIGKILL)
            report = bench.receive(time.monotonic() + 15)
            if report is None or report[0] != name:
                raise measures.Trouble(f"{name} was not started again within 15 s (got {report})\n" + run.output())
            run.up[name] = report[1:]
            time.sleep(0.3)
            count_after, total_after = starts(control)
            if count_after != count + 1:
                raise measures.Trouble(f"{count_after - count} starts where one was asked for\n" + run.output())
            ours.append(total_after - total)
            theirs += start(1)
            time.sleep(0.4)
    return {"hivesup_us": measures.spread(ours), "bare_us": measures.spread(theirs)}


def boot(bench, kind, count, rounds):
    """`count` starts back to back, by hivesup at its boot and bare in turn."""
    medians, nineties, longest, theirs = [], [], [], []
    for _ in range(rounds):
        with bench.running(kind, count=count) as run:
            run.wait_up()
            measures.settle(run, 0.5)
            samples = metrics(f"{run.supervisor.directory}/control.sock")
            if samples["hivesup_spawn_seconds_count"] != count:
                raise measures.Trouble(f"{samples['hivesup_spawn_seconds_count']} starts of {count} services")
            quantile = {share: samples[f'hivesup_spawn_seconds{{quantile="{share}"}}'] * 1e6 for share in ("0.5", "0.9", "1")}
            medians.append(quantile["0.5"])
            nineties.append(quantile["0.9"])
            longest.append(quantile["1"])
        with bare(bench) as start:
            theirs.append(measures.spread(start(count)))
    # Each a median over the rounds: hivesup tells quantiles, not single times.
    return {
        "hivesup_us": {
            "n": rounds, "median": statistics.median(medians), "p90": statistics.median(nineties),
            "max": statistics.median(longest),
        },
        "bare_us": {
            "n": rounds, **{key: statistics.median(one[key] for one in theirs) for key in ("median", "p90", "max")},
        },
    }


def measure(bench, kind, quick):
    return {
        "apart": apart(bench, kind, 8 if quick else 20),
        "boot_200": boot(bench, kind, 200, 2 if quick else 5),
    }


def table(result):
    lines = [
        "| one start holds up the loop, µs | hivesup: median | p90 | longest | bare clone + execve: median | p90 | longest | ratio of medians |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for title, key in (("apart", "apart"), ("200 back to back, at boot", "boot_200")):
        ours, theirs = result[key]["hivesup_us"], result[key]["bare_us"]
        cells = [f"{one[name]:.0f}" for one in (ours, theirs) for name in ("median", "p90", "max")]
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {ours['median'] / theirs['median']:.2f} |")
    return "\n".join(lines)
