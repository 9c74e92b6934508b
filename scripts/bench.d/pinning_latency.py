"""How long PostgreSQL's clients wait while autovacuum is busy: placed in three ways, in turn, on one volume in one run."""

import contextlib
import glob
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import measures
import pinned_stack
import processes

#: Analysing these over and over keeps up to three autovacuum workers (the server's default) busy with sorting.
HOGS = ("hog1", "hog2", "hog3")
CLIENTS = 2
#: Transactions a second of the paced load: an API's, not a saturated server's.
RATE = 400
#: With more CPUs than this in use by others a measurement is repeated, twice at most, and the calmest of them counts: chosen by what
#: others do, never by what came out.
CALM = 0.4


def prepare(server, quick):
    """The tables, once for all rounds."""
    rows = 150_000 if quick else 300_000
    columns = ", ".join(f"md5((i * {n})::text) AS c{n}" for n in range(1, 9))
    with server.up(pinned_stack.PLACEMENTS["unpinned"]):
        server.administer(
            "ALTER SYSTEM SET autovacuum_naptime = '1s'",
            # The paced load's waits are not to be the disk's.
            "ALTER SYSTEM SET checkpoint_timeout = '1h'",
            "ALTER SYSTEM SET max_connections = 130",
        )
        done = subprocess.run(
            server.client("pgbench", "-i", "-q", "-s", "5"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300,
        )
        if done.returncode != 0:
            raise measures.Trouble(f"cannot fill the tables of pgbench: {done.stdout.strip()}")
        for name in HOGS:
            server.sql(f"CREATE TABLE {name} AS SELECT i AS id, 0 AS touched, {columns} FROM generate_series(1, {rows}) i")
            server.sql(
                f"ALTER TABLE {name} SET (autovacuum_analyze_threshold = 0, autovacuum_analyze_scale_factor = 0,"
                " autovacuum_vacuum_cost_delay = 0, autovacuum_enabled = false)",
                f"ALTER TABLE {name} " + ", ".join(f"ALTER c{n} SET STATISTICS 10000" for n in range(1, 9)),
                f"CREATE INDEX ON {name} (id)",
                f"VACUUM (ANALYZE) {name}",
            )


class Meter(threading.Thread):
    """Adds up who has used the processors: autovacuum's workers, which come and go, all of the server, and others on the machine."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.postmaster = server.postmaster()
        self.ended = threading.Event()
        self.workers, self.used = set(), {}

    def __enter__(self):
        self.begun = time.monotonic()
        self.known = {pid: pinned_stack.cpu_ns(pid) for pid in processes.children(self.postmaster)}
        self.before = busy(), clients()
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        self.look()
        seconds = time.monotonic() - self.begun
        everything, ours = busy() - self.before[0], clients() - self.before[1]
        self.autovacuum = sum(self.used.get(pid, 0) for pid in self.workers) / 1e9 / seconds
        # What a process has used since it was last looked at and before its end is charged to others: a few ms each.
        self.others = max(0.0, everything - ours - sum(self.used.values()) / 1e9) / seconds

    def run(self):
        while not self.ended.wait(0.05):
            self.look()

    def look(self):
        for pid in processes.children(self.postmaster):
            if pid not in self.used and pinned_stack.title(pid).startswith("autovacuum worker"):
                self.workers.add(pid)
            now = pinned_stack.cpu_ns(pid)
            if now is not None:
                # What it had used before is not counted.
                before = self.known.get(pid)
                self.used[pid] = now[0] - (before[0] if before else 0)


def busy():
    """Seconds that the processors have not been idle."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = (int(word) for word in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def clients():
    """Seconds that this benchmark and its clients that have ended have used."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@contextlib.contextmanager
def hogging(server):
    """Autovacuum has something to do, always: a row of each table is touched again and again (a few updates a second, in every
    placement the same)."""
    touches = "".join(f"UPDATE {name} SET touched = touched + 1 WHERE id = 1;\n" for name in HOGS)
    server.sql(*(f"ALTER TABLE {name} SET (autovacuum_enabled = true)" for name in HOGS))
    try:
        with server.background(touches + "SELECT pg_stat_force_next_flush();\n\\sleep 400 ms\n", 1, "touches"):
            deadline = time.monotonic() + 30
            while not server.children("autovacuum worker"):
                if time.monotonic() > deadline:
                    raise measures.Trouble("cannot keep autovacuum busy: no worker within 30 s")
                time.sleep(0.1)
            # The launcher starts one a second.
            time.sleep(3)
            yield
    finally:
        server.sql(*(f"ALTER TABLE {name} SET (autovacuum_enabled = false)" for name in HOGS))


def queries(server, seconds, rate, files):
    """The latencies in µs of pgbench -S, by its per-transaction log, and the transactions a second."""
    directory = tempfile.mkdtemp(dir=files)
    cpus = os.sched_getaffinity(server.service())
    try:
        done = subprocess.run(
            server.client(
                "pgbench", "-n", "-S", "-M", "prepared", "-c", str(CLIENTS), "-j", "1", "-T", str(seconds), "-l",
                f"--log-prefix={directory}/log", *(["-R", str(rate)] if rate else []),
            ),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds + 60,
            # It stands for the API, and runs where that does.
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        if done.returncode != 0:
            raise measures.Trouble(f"cannot run pgbench: {done.stdout.strip()}")
        times = []
        for path in glob.glob(f"{directory}/log*"):
            with open(path) as file:
                # client, transaction, µs, …; with a rate the µs count from when it was due.
                times += [int(line.split(" ", 3)[2]) for line in file]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if len(times) < 100:
        raise measures.Trouble(f"cannot tell quantiles of {len(times)} transactions")
    times.sort()
    return {
        "p50": statistics.median(times), "p99": times[int(len(times) * 0.99)], "p999": times[int(len(times) * 0.999)],
        "tps": len(times) / seconds,
    }


def once(server, seconds, rate, files):
    with Meter(server) as meter:
        figures = queries(server, seconds, rate, files)
    return {
        **figures, "autovacuum_cpus": meter.autovacuum, "others_cpus": meter.others, "load_average": os.getloadavg()[0],
    }


def measure(server, files, quick):
    rounds, seconds = (2, 3) if quick else (6, 3)
    prepare(server, quick)
    samples = []
    for number in range(rounds):
        # Turned about: nobody has always the same neighbour before it.
        names = list(pinned_stack.PLACEMENTS)
        names = names[number % 3:] + names[:number % 3]
        for name in names:
            placement = pinned_stack.PLACEMENTS[name]
            print(f"latency: round {number + 1} of {rounds}, {placement.title}", file=sys.stderr, flush=True)
            with server.up(placement):
                queries(server, 1, None, files)
                for hog in (False, True):
                    with hogging(server) if hog else contextlib.nullcontext():
                        for load, rate in (("closed", None), ("paced", RATE)):
                            tries = [once(server, seconds, rate, files)]
                            while tries[-1]["others_cpus"] > CALM and len(tries) < (1 if quick else 3):
                                tries.append(once(server, seconds, rate, files))
                            best = min(tries, key=lambda one: one["others_cpus"])
                            samples.append({
                                "round": number, "placement": name, "hog": hog, "load": load, **best, "tries": len(tries),
                            })
                        check(server, placement, hog)
    return {"rounds": rounds, "seconds": seconds, "clients": CLIENTS, "rate": RATE, "samples": samples,
            "medians": medians(samples), "ratios": ratios(samples)}


def check(server, placement, hog):
    """The workers are where they ought to be."""
    server.wait_masks(placement)
    if not hog:
        return
    expected = placement.masks["autovacuum launcher"]
    deadline = time.monotonic() + 5
    while True:
        masks = []
        for pid in server.children("autovacuum worker"):
            with contextlib.suppress(ProcessLookupError):
                masks.append(os.sched_getaffinity(pid))
        if masks and all(mask == expected for mask in masks):
            return
        if time.monotonic() > deadline:
            raise measures.Trouble(f"cannot measure '{placement.title}': the autovacuum workers' masks are {masks}")
        time.sleep(0.05)


def medians(samples):
    found = {}
    for one in samples:
        key = f"{one['load']}/{'hog' if one['hog'] else 'alone'}/{one['placement']}"
        found.setdefault(key, []).append(one)
    return {
        key: {what: statistics.median(one[what] for one in some) for what in ("p50", "p99", "p999", "tps", "autovacuum_cpus", "others_cpus")}
        for key, some in found.items()
    }


def ratios(samples):
    """How many times the unpinned figure of the same round: the median over the rounds. What else the machine does changes from round to
    round, and less within one."""
    base = {(one["round"], one["load"], one["hog"]): one for one in samples if one["placement"] == "unpinned"}
    found = {}
    for one in samples:
        key = f"{one['load']}/{'hog' if one['hog'] else 'alone'}/{one['placement']}"
        beside = base[one["round"], one["load"], one["hog"]]
        for what in ("p50", "p99", "p999", "tps"):
            found.setdefault(key, {}).setdefault(what, []).append(one[what] / beside[what])
    return {key: {what: statistics.median(some) for what, some in one.items()} for key, one in found.items()}


def table(result):
    lines = [
        "| pgbench -S | placement | p50, µs | p99, µs | p99.9, µs | transactions/s | autovacuum's CPUs | other work's CPUs |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for load, words in (("closed", "as fast as they can"), ("paced", f"{result['rate']}/s")):
        for busy, with_hog in (("hog", "autovacuum busy"), ("alone", "alone")):
            for name, placement in pinned_stack.PLACEMENTS.items():
                key = f"{load}/{busy}/{name}"
                one = result["medians"][key]
                cells = []
                for what in ("p50", "p99", "p999", "tps"):
                    ratio = "" if name == "unpinned" else f" (×{result['ratios'][key][what]:.2f})"
                    cells.append(f"{one[what]:.0f}{ratio}")
                cells += [f"{one[what]:.2f}" for what in ("autovacuum_cpus", "others_cpus")]
                lines.append(f"| {words}, {with_hog} | {placement.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
