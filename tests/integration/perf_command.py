"""hotlane perf as its users meet it: every scenario, its JSON, its files, the comparison.

Nothing here is held to a speed. usage: perf_command.py HOTLANE
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

HOTLANE = sys.argv[1]
SHORT = ["--seconds", "0.02", "--repeats", "2"]
SCENARIOS = {
    "floor": ["round_trip_1_line", "round_trip_2_lines", "stream_copy_128", "core_copy_128"],
    "ring": ["spsc_64_64_single", "spsc_128_4096_run32", "mpsc_256_65536_single",
             "mpsc_128_4096_2p", "mpsc_128_4096_3on2"],
    "hop": ["one_way_1k.p50", "one_way_1M.p99.99", "round_trip_poisson_100k.max"],
    "bus": ["bus_128_single", "bus_128_16_subscribers", "bus_128_10000_topics"],
    "flood": ["own_partition.flood_by_idle.p99.9", "one_partition.flood.p99.9", "one_partition.no_room"],
    "conflated": ["slow_handler.publish_by_ring", "slow_handler.age.max_by_round_of_keys"],
    "overload": ["ladder.load_by_idle.p99.9", "ladder.throttled", "no_ladder.no_room"],
    "failing": ["rejected.failing_by_idle.p99.9", "one_retry.retries", "three_retries.dead_lettered",
                "three_retries.skipped"],
    "idle": ["spin.cpu", "backoff.cpu", "park.wake.p99"],
    "async": ["async_by_key", "async_unordered", "async_lossy.lost"],
    "journal": ["paced_sync.handle.p50", "paced_sync.by_fdatasync.p99", "paced_sync.events_a_sync"],
    "churn": ["none.throughput", "1000_a_second.changes", "100000_a_second.from_intended.p99"],
}
ENVIRONMENT = ["cpu", "kernel", "kernel_command_line", "governor", "scheduler", "compiler", "flags", "cores",
               "steal_percent", "load_1min"]


def perf(*arguments):
    return subprocess.run([HOTLANE, "perf", *arguments], capture_output=True, text=True,
                          timeout=300)


def expect(condition, what):
    if not condition:
        sys.exit(f"perf_command: {what}")


def run_json(*arguments):
    run = perf(*arguments, "--json")
    expect(run.returncode == 0, f"{arguments}: exit {run.returncode}: {run.stderr}")
    return json.loads(run.stdout)


def check_scenario(name, cases):
    # The largest of the bus's cases takes seconds to set up, the journal's wait for the disk.
    only = {"bus": ["--case", "0_topics"], "journal": ["--case", "paced_sync"]}.get(name, [])
    result = run_json(name, *SHORT, *only)
    expect(result["scenario"] == name, f"{name} calls itself {result['scenario']}")
    for member in ENVIRONMENT:
        expect(member in result["environment"], f"{name}: environment lacks {member}")
    expect(result["floor"]["round_trip_2_lines_ns"] > 0, f"{name}: has no floor")
    rows = {row["case"]: row for row in result["rows"]}
    expect(len(rows) == len(result["rows"]), f"{name}: a case stands twice")
    for case in cases:
        if not only or only[1] in case:
            expect(case in rows, f"{name}: lacks the row {case}")
    for case, row in rows.items():
        expect(row["min"] <= row["median"] <= row["max"], f"{name}: {case}: {row}")
        # Fewer or more of one pace where the machine changes its own.
        expect(1 <= row["repeats"] <= 8, f"{name}: {case}: {row}")
        expect(row["better"] in ("higher", "lower"), f"{name}: {case}: {row}")


def check_percentiles(path):
    """A file that HdrHistogram's own tools could have written."""
    last = (0.0, -1.0, 0)
    lines = 0
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.startswith("#") or line.strip() == "" or "Percentile" in line:
                continue
            fields = line.split()
            now = (float(fields[0]), float(fields[1]), int(fields[2]))
            expect(now[0] >= last[0] and now[1] > last[1] and now[2] >= last[2],
                   f"{path}: {line} after {last}")
            last = now
            lines += 1
    expect(lines > 5 and last[1] == 1.0, f"{path}: ends at {last} after {lines} lines")


def check_files(folder):
    plot = os.path.join(folder, "hop.svg")
    arguments = ["hop", "--case", "one_way_10", *SHORT, "--hgrm", os.path.join(folder, "hop.hgrm")]
    if shutil.which("gnuplot"):
        arguments += ["--plot", plot]
    else:
        print("no gnuplot here: no picture is looked at")
    result = run_json(*arguments)
    written = sorted(os.path.basename(path) for path in glob.glob(f"{folder}/*.hgrm"))
    expect(written == ["hop.one_way_100k.hgrm", "hop.one_way_10k.hgrm"], f"wrote {written}")
    for name in written:
        check_percentiles(os.path.join(folder, name))
    if shutil.which("gnuplot"):
        with open(plot, encoding="utf-8") as file:
            picture = file.read()
        for label in ("percentile", "latency (ns)", "one_way_10k"):
            expect(label in picture, f"the picture lacks \"{label}\"")
    return result


def check_comparison(folder, result):
    before = os.path.join(folder, "before.json")
    after = os.path.join(folder, "after.json")
    with open(before, "w", encoding="utf-8") as file:
        json.dump(result, file)
    for row in result["rows"]:
        if row["case"] == "one_way_10k.p50":
            row["min"] = row["median"] = row["max"] = row["max"] * 10
    with open(after, "w", encoding="utf-8") as file:
        json.dump(result, file)
    same = perf("compare", before, before, "--json")
    expect(same.returncode == 0 and json.loads(same.stdout)["worse"] == 0, same.stdout)
    worse = perf("compare", before, after, "--json")
    expect(worse.returncode == 1 and json.loads(worse.stdout)["worse"] == 1, worse.stdout)
    better = perf("compare", after, before)
    expect(better.returncode == 0 and "1 better, 0 worse" in better.stdout, better.stdout)


def check_stall():
    """A sender that stops for 10 ms in half a second owes 2 % of its messages, all late."""
    result = run_json("hop", "--case", "one_way_10k", "--seconds", "0.5", "--repeats", "1",
                      "--stall", "10")
    row = {row["case"]: row for row in result["rows"]}["one_way_10k.p99_worst_half_second"]
    expect(row["min"] >= 3e6, f"a stall of 10 ms hides: {row}")
    expect(any("stopped for 10 ms" in note for note in result["notes"]), "the stall is not noted")


def check_refusals():
    for arguments, status, sentence in [
        ([], 2, "usage"),
        (["hopp"], 2, "did you mean \"hop\""),
        (["hop", "--seconds", "x"], 2, "wants a number"),
        (["hop", "--repeats", "0"], 2, "1..1000"),
        (["hop", "--seconds", "0"], 2, "0.01..3600"),
        (["hop", "--stall", "-1"], 2, "0..60000"),
        (["hop", "--cores", "sender=1"], 2, "not a role"),
        (["hop", "--cores", "publisher=0,publisher=1"], 2, "named twice"),
        (["ring", "--stall", "10"], 2, "--stall is not for ring"),
        (["hop", "--dir", "/tmp"], 2, "--dir is not for hop"),
        (["hop", "--budget", "x"], 2, "--budget is not for hop"),
        (["compare", "--repeats", "3", "a", "b"], 2, "--repeats is not for compare"),
        (["ring", "--case", "nothing", *SHORT], 2, "spsc_64_64_single"),
        (["floor", "--case", "nothing", *SHORT], 2, "stream_copy_128"),
        (["compare", "one.json"], 2, "two files"),
        (["compare", "/no/such.json", "/no/such.json"], 1, "/no/such.json"),
        (["instructions", "--update"], 2, "--budget"),
        (["floor", "--seconds", "0.01", "--repeats", "1", "--hgrm", "/tmp/x"], 1, "no latencies"),
        (["hop", *SHORT, "--hgrm", "/no/such/x.hgrm"], 1, "--hgrm \"/no/such/x.hgrm\": No such file"),
        (["hop", *SHORT, "--hgrm", "/tmp"], 1, "directory"),
        (["hop", *SHORT, "--plot", "/no/such/x.svg"], 1,
         "No such file" if shutil.which("gnuplot") else "gnuplot is not installed"),
    ]:
        run = perf(*arguments)
        expect(run.returncode == status and sentence in run.stderr,
               f"{arguments}: exit {run.returncode}: {run.stderr}")
        expect(run.stdout == "", f"{arguments}: measured first: {run.stdout}")


def check_full_disk():
    """A result that was printed whole, and files that were not written: that is a failure."""
    if not os.path.exists("/dev/full"):
        print("no /dev/full here: a full disk is not looked at")
        return
    for option in ["--hgrm"] + (["--plot"] if shutil.which("gnuplot") else []):
        run = perf("hop", "--case", "one_way_10k", *SHORT, "--json", option, "/dev/full")
        expect(run.returncode == 1 and "/dev/full" in run.stderr, f"{option}: {run.stderr}")
        expect(json.loads(run.stdout)["scenario"] == "hop", f"{option}: the result is not whole")
    with open("/dev/full", "w", encoding="ascii") as full:
        run = subprocess.run([HOTLANE, "perf", "hop", "--case", "one_way_10k", *SHORT], stdout=full,
                             stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    expect(run.returncode == 1 and "cannot write" in run.stderr, f"a full stdout: {run.stderr}")


def check_one_cpu():
    """With one CPU the rings' cases that need no second run, and the rest is said to be skipped."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    result = run_json("ring", *SHORT)
    refused = perf("hop", *SHORT)
    os.sched_setaffinity(0, before)
    cases = {row["case"].split(".")[0] for row in result["rows"]}
    expect(cases == {"spsc_128_4096_2on1", "mpsc_128_4096_3on1", "mpsc_128_4096_8on1"},
           f"on one CPU: {cases}")
    expect(any("skipped" in note for note in result["notes"]), f"skips in silence: {result['notes']}")
    expect(refused.returncode == 1 and "need a CPU each" in refused.stderr, refused.stderr)


def main():
    first = perf("floor", "--seconds", "0.01", "--repeats", "1")
    if "this build" in first.stderr:
        print(first.stderr)
        sys.exit(77)
    if len(os.sched_getaffinity(0)) < 2:
        print("skipped: the scenarios need two CPUs, and there is one")
        sys.exit(77)
    for name, cases in SCENARIOS.items():
        check_scenario(name, cases)
    with tempfile.TemporaryDirectory() as folder:
        check_comparison(folder, check_files(folder))
    check_stall()
    check_one_cpu()
    check_refusals()
    check_full_disk()


main()
