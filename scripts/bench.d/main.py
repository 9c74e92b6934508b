"""hivesup beside its peers, in one run on one machine: prints a table, writes JSON. See docs/benchmarks.md."""

import argparse
import datetime
import json
import os
import platform
import sys

import measures
import spawning
import stack
import supervisors


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples, no 1000 services: minutes less, rougher")
    parser.add_argument("--only", metavar="NAMES", help="of these supervisors, comma separated (hivesup,dinit,…)")
    parser.add_argument("--measure", metavar="NAMES", help="only these: memory,restart,boot,orphans,status,spawn,stack")
    parser.add_argument("--json", metavar="FILE", default=".tools/bench.json", help="where the figures go (%(default)s)")
    return parser.parse_args()


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
    }


def plan(quick):
    """(measure, key, function): what is done with every supervisor, in this order."""
    idle, samples = (4, 8) if quick else (10, 20)
    rounds = 2 if quick else 5
    counts = [2, 200] if quick else [2, 200, 1000]
    todo = []
    for count in (2, 200):
        todo.append(("memory", f"idle_{count}", count, lambda b, k, c=count: measures.resident(b, k, c, idle)))
    todo.append(("restart", "restart_ms", 2, lambda b, k: measures.restarts(b, k, samples)))
    for count in counts:
        todo.append(("boot", f"boot_{count}", count, lambda b, k, c=count: measures.boot_and_stop(b, k, c, rounds)))
    todo.append(("orphans", "orphans_5000_ms", 1, lambda b, k: measures.orphans(b, k, 5000, rounds)))
    for count in (2, 200):
        todo.append(("status", f"status_{count}_ms", count, lambda b, k, c=count: measures.status(b, k, c, samples)))
    return todo


def measure(options):
    kinds = [kind for kind in supervisors.ALL if not options.only or kind.name in options.only.split(",")]
    result = {"machine": machine(), "supervisors": {}, "left_out": {}, "spawn": None, "stack": None}
    troubles = 0
    bench = measures.Bench(os.path.dirname(os.path.abspath(__file__)))
    try:
        for kind in kinds:
            why = kind.available()
            if why:
                result["left_out"][kind.name] = why
                continue
            figures = result["supervisors"][kind.name] = {"version": kind.version()}
            for group, key, count, function in plan(options.quick):
                if options.measure and group not in options.measure.split(","):
                    continue
                # tini has one service, whatever is asked: it stands in the columns of the smallest number.
                fewer = kind.most is not None and count > kind.most
                if fewer and (kind.most != 1 or key not in ("idle_2", "boot_2")):
                    continue
                print(f"{kind.name}: {key}", file=sys.stderr, flush=True)
                try:
                    figures[key] = function(bench, kind) if not fewer else single(bench, kind, key, options.quick)
                except measures.Trouble as trouble:
                    figures[key] = {"trouble": str(trouble)}
                    troubles += 1
                    print(f"  {trouble}", file=sys.stderr)
        if wanted(options, "spawn"):
            print("hivesup: spawn", file=sys.stderr, flush=True)
            try:
                result["spawn"] = spawning.measure(bench, supervisors.Hivesup, options.quick)
            except measures.Trouble as trouble:
                result["spawn"] = {"trouble": str(trouble)}
                troubles += 1
                print(f"  {trouble}", file=sys.stderr)
    finally:
        bench.close()
    if wanted(options, "stack"):
        print("stack: genie, first and second boot", file=sys.stderr, flush=True)
        try:
            result["stack"] = stack.boots(1 if options.quick else 3)
        except measures.Trouble as trouble:
            result["stack"] = {"trouble": str(trouble)}
            troubles += 1
            print(f"  {trouble}", file=sys.stderr)
    result["machine"]["load_after"] = os.getloadavg()[0]
    return result, troubles


def wanted(options, group):
    """Whether what is measured of hivesup alone is to be measured."""
    return (
        (not options.measure or group in options.measure.split(","))
        and (not options.only or "hivesup" in options.only.split(","))
        and supervisors.Hivesup.available() is None
    )


def single(bench, kind, key, quick):
    if key == "idle_2":
        return measures.resident(bench, kind, 1, 4 if quick else 10)
    return measures.boot_and_stop(bench, kind, 1, 2 if quick else 5)


# --- the table -------------------------------------------------------------------------------------------------------


def rows():
    """(title, unit, how to find the figure, lower is better): one row of the table each."""
    def at(*path):
        def find(figures):
            for key in path:
                if not isinstance(figures, dict) or key not in figures:
                    return None
                figures = figures[key]
            return figures
        return find

    def per_program(figures):
        two, many = at("idle_2", "memory_kib", "Anonymous")(figures), at("idle_200", "memory_kib", "Anonymous")(figures)
        return None if two is None or many is None else (many - two) / 198

    yield "memory, 2 programs: RSS", "KiB", at("idle_2", "memory_kib", "Rss")
    yield "memory, 2 programs: PSS", "KiB", at("idle_2", "memory_kib", "Pss")
    yield "memory, 2 programs: private", "KiB", at("idle_2", "memory_kib", "Private")
    yield "memory, 2 programs: anonymous", "KiB", at("idle_2", "memory_kib", "Anonymous")
    yield "memory, 200 programs: PSS", "KiB", at("idle_200", "memory_kib", "Pss")
    yield "memory, each further program (anonymous)", "KiB", per_program
    yield "own processes, 200 programs", "", at("idle_200", "processes")
    yield "idle wakeups, 2 programs", "/s", at("idle_2", "wakeups_per_s")
    yield "idle wakeups, 200 programs", "/s", at("idle_200", "wakeups_per_s")
    yield "kill -9 → new main, median", "ms", at("restart_ms", "median")
    yield "kill -9 → new main, p90", "ms", at("restart_ms", "p90")
    for count in (2, 200, 1000):
        yield f"boot, {count} programs", "ms", at(f"boot_{count}", "boot_ms", "median")
    for count in (2, 200, 1000):
        yield f"stop, {count} programs", "ms", at(f"boot_{count}", "stop_ms", "median")
    yield "5000 orphans reaped", "ms", at("orphans_5000_ms", "median")
    yield "status command, 2 programs", "ms", at("status_2_ms", "median")
    yield "status command, 200 programs", "ms", at("status_200_ms", "median")


def number(value):
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(result):
    measured = result["supervisors"]
    names = list(measured)
    lines = [
        "| | " + " | ".join(names) + " |",
        "|---" + "|---:" * len(names) + "|",
    ]
    for title, unit, find in rows():
        values = {name: find(measured[name]) for name in names}
        if all(value is None for value in values.values()):
            continue
        ours = values.get("hivesup")
        cells = []
        for name, value in values.items():
            cell = number(value)
            # How many times as much as ours.
            if name != "hivesup" and ours and value:
                cell += f" (×{number(value / ours)})"
            cells.append(cell)
        lines.append(f"| {title}{', ' + unit if unit else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    options = arguments()
    result, troubles = measure(options)
    facts = result["machine"]
    print(f"\n{facts['cpus']} × {facts['cpu']}, Linux {facts['kernel']}, load {facts['load_before']:.2f}, {facts['date']}")
    for name, figures in result["supervisors"].items():
        print(f"- {name}: {figures['version']}")
    for name, why in result["left_out"].items():
        print(f"- {name}: left out: {why}")
    if any(len(figures) > 1 for figures in result["supervisors"].values()):
        print("\n" + table(result))
    if result["spawn"] and "trouble" not in result["spawn"]:
        print("\n" + spawning.table(result["spawn"]))
    if result["stack"] and "trouble" not in result["stack"]:
        print("\n" + stack.table(result["stack"]))
    os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
    with open(options.json, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(f"\nall samples' spreads: {options.json}")
    sys.exit(1 if troubles else 0)


main()
