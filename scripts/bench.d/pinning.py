"""What it is worth, and what it costs, that each process runs on the cores of its role. One run, one machine, CPU 0 called fast and
CPU 1 frugal: prints tables, writes JSON. See docs/cpu-classes.md."""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-pinning", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: minutes less, rougher")
    parser.add_argument("--measure", metavar="NAMES", help="only these: latency,monitor,starts,moves")
    parser.add_argument("--json", metavar="FILE", default=".tools/bench-pinning.json", help="where all samples go (%(default)s)")
    options = parser.parse_args()
    options.measure = options.measure.split(",") if options.measure else ["latency", "monitor", "starts", "moves"]
    unknown = set(options.measure) - {"latency", "monitor", "starts", "moves"}
    if unknown:
        parser.error(f"cannot measure {', '.join(sorted(unknown))}: give of latency,monitor,starts,moves")
    return options


# Before the rest, which wants a built hivesup and PostgreSQL in the environment: --help needs neither.
options = arguments()

import measures  # noqa: E402
import pinned_stack  # noqa: E402
import pinning_cost  # noqa: E402
import pinning_latency  # noqa: E402


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    version = subprocess.run([f"{os.environ['HIVE_PG_BINDIR']}/postgres", "--version"], stdout=subprocess.PIPE, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(), "cpus": os.cpu_count(), "postgres": version.stdout.strip(),
        "load_before": os.getloadavg(),
    }


def measure():
    result = {"machine": machine()}
    files = tempfile.mkdtemp(prefix="hsb.", dir=measures.memory_directory())
    server, bench = None, None
    try:
        if {"latency", "monitor"} & set(options.measure):
            server = pinned_stack.Server()
        if "latency" in options.measure:
            result["latency"] = pinning_latency.measure(server, files, options.quick)
        if "monitor" in options.measure:
            result["monitor"] = pinning_cost.monitor(server, options.quick)
        if "starts" in options.measure:
            bench = measures.Bench(os.path.dirname(os.path.abspath(__file__)))
            result["starts"] = pinning_cost.starts(bench, options.quick)
        if "moves" in options.measure:
            result["moves"] = pinning_cost.moves(options.quick)
    finally:
        if server:
            server.close()
        if bench:
            bench.close()
        shutil.rmtree(files, ignore_errors=True)
    result["machine"]["load_after"] = os.getloadavg()
    return result


def main():
    if not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("hivesup: cannot measure: CPU 0 and CPU 1 must both be allowed here; they stand for a fast and a frugal core")
    try:
        result = measure()
    except measures.Trouble as trouble:
        sys.exit(f"hivesup: {trouble}")
    facts = result["machine"]
    loads = " → ".join(f"{facts[when][0]:.2f}" for when in ("load_before", "load_after"))
    print(f"\n{facts['cpus']} × {facts['cpu']}, Linux {facts['kernel']}, {facts['postgres']}, load {loads}, {facts['date']}\n")
    if "latency" in result:
        one = result["latency"]
        print(f"medians of {one['rounds']} rounds of {one['seconds']} s, {one['clients']} clients; (×n): to 'not pinned', the median of the "
              "rounds' ratios\n")
        print(pinning_latency.table(one) + "\n")
    print(pinning_cost.table(result))
    os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
    with open(options.json, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(f"\nall samples: {options.json}")


main()
