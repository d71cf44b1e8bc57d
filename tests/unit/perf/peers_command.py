"""hotlane perf peers as its users meet it. Nothing here is held to a speed.

usage: peers_command.py HOTLANE
"""
import json
import subprocess
import sys

CASES = {("spsc_128_4096_single", "msgs_per_s"), ("spsc_128_4096_run32", "msgs_per_s"),
         ("round_trip_128", "ns_p50"), ("round_trip_128_p99", "ns_p99"),
         ("mpsc_128_4096_2p", "msgs_per_s"), ("mpsc_128_4096_3on2", "msgs_per_s"),
         ("bus_128_single", "msgs_per_s")}
# Those of Debian's packages; ck_ring is always there.
PEERS = ["rte_ring", "atomic_queue", "readerwriterqueue", "concurrentqueue", "boost_spsc_queue",
         "disruptor"]


def expect(condition, what):
    if not condition:
        sys.exit(f"peers_command: {what}")


def perf_peers(*arguments):
    return subprocess.run([sys.argv[1], "perf", "peers", "--seconds", "0.01", *arguments],
                          capture_output=True, text=True, timeout=300)


def check_row(row):
    expect(row["hotlane_min"] <= row["hotlane"] <= row["hotlane_max"], f"not in order: {row}")
    expect(row["hotlane_min"] > 0, f"no figure: {row}")
    expect("ck_ring" in row["peers"], f"lacks ck_ring: {row}")
    expect(row["times_floor"]["hotlane"] > 0, f"lacks the floor: {row}")
    for peer, figure in row["peers"].items():
        # On a busy machine one run of 10 ms may pass before a peer's threads were on a CPU.
        expect(0 <= row["peers_min"][peer] <= figure <= row["peers_max"][peer], f"{peer}: {row}")
        expect(row["peers_max"][peer] > 0, f"{peer} moved nothing: {row}")


run = perf_peers("--repeats", "2", "--json")
if "refuse" in run.stderr or "debug" in run.stderr or "sanitizer" in run.stderr:
    print(f"skipped: {run.stderr.strip()}")
    sys.exit(77)
expect(run.returncode == 0, f"exit {run.returncode}: {run.stderr}")
result = json.loads(run.stdout)
for name in ["round_trip_1_line_ns", "round_trip_2_lines_ns", "stream_copy_msgs_per_s"]:
    expect(result["floor"][name] > 0, f"the floor lacks {name}")
expect("kernel" in result["environment"], "lacks the environment")
rows = {(row["case"], row["unit"]): row for row in result["rows"]}
expect(set(rows) == CASES and len(result["rows"]) == len(CASES), f"has the rows {sorted(rows)}")
for row in rows.values():
    check_row(row)
for peer in PEERS:
    measured = peer in rows["spsc_128_4096_single", "msgs_per_s"]["peers"]
    missing = any(note.startswith(f"missing: {peer} ") for note in result["notes"])
    expect(measured != missing, f"{peer}: measured {measured}, listed as missing {missing}")

# Whatever is asked for has what it is compared with beside it.
for asked, case, peer in [("3on2.ck_ring_pointers", "mpsc_128_4096_3on2", "ck_ring_pointers"),
                          ("bus_128", "bus_128_single", "ck_ring")]:
    run = perf_peers("--repeats", "1", "--case", asked, "--json")
    expect(run.returncode == 0, f"--case {asked}: exit {run.returncode}: {run.stderr}")
    rows = {row["case"]: row for row in json.loads(run.stdout)["rows"]}
    expect(case in rows and peer in rows[case]["peers"], f"--case {asked}: has the rows {rows}")
run = perf_peers("--repeats", "1", "--case", "round_trip_128.disruptor", "--json")
if any(note.startswith("missing: disruptor ") for note in result["notes"]):
    expect(run.returncode == 2 and "no case has" in run.stderr, f"not there, yet: {run.stderr}")
else:
    expect(run.returncode == 0 and json.loads(run.stdout)["rows"][0]["hotlane"] > 0,
           f"without hotlane beside the Disruptor: {run.stdout}{run.stderr}")

run = perf_peers("--repeats", "1", "--case", "round_trip")
expect(run.returncode == 0 and "ck_ring" in run.stdout, f"the table: {run.stdout}{run.stderr}")
