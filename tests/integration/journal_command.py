"""hotlane journal as its users meet it: its JSON, its exit statuses, live tailing's door.

usage: journal_command.py HOTLANE
"""
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

HOTLANE = sys.argv[1]
EVENTS = 3000


def journal(*arguments):
    return subprocess.run([HOTLANE, "journal", *arguments], capture_output=True, text=True,
                          timeout=120)


def expect(condition, what):
    if not condition:
        sys.exit(f"journal_command: {what}")


def run_json(*arguments, status=0):
    result = journal(*arguments, "--json")
    expect(result.returncode == status,
           f"{arguments}: exit {result.returncode}, {result.stderr}")
    return json.loads(result.stdout)


def published_ns(sequence):
    return 1763722800000000000 + sequence * 1000000


def line(partition, number, sequence):
    story = sequence - sequence % 4
    correlation = 0 if story == sequence else (number << 54) + story
    cause = 0 if story == sequence else (number << 54) + sequence - 1
    return json.dumps({
        "partition": partition, "partition_number": number, "shards": 1, "sequence": sequence,
        "published_ns": published_ns(sequence), "topic": f"{partition}.new",
        "topic_kind": 0, "topic_priority": 0, "source": "gateway", "key": str(sequence % 10),
        "correlation_id": str(correlation), "causation_id": str(cause), "priority": 0, "flags": 1,
        "attempt": 0, "schema_version": 1, "payload": "AAECAw=="})


def make(directory):
    lines = "\n".join(line(p, n, s) for s in range(1, EVENTS + 1)
                      for p, n in (("order", 1), ("fill", 2)))
    path = os.path.join(directory, "in.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        file.write(lines + "\n")
    target = os.path.join(directory, "journal")
    result = run_json("import", target, path)
    expect(result["events"] == 2 * EVENTS and result["partitions"] == 2, result)
    return target


def check_replay_and_snapshots(target):
    listed = run_json("snapshot", target)
    expect(listed["snapshots"] == [] and listed["damaged"] == 0, listed)
    expect(journal("snapshot", target + "-not-there").returncode == 1, "no such journal")
    for wrong in (["snapshot", "--to-sequence", "5"], ["snapshot", "--make", "--to", "2026-11-21"],
                  ["replay", "--recompute"], ["replay", "--pipeline", "--limit", "3"],
                  ["replay", "--speed", "fast"]):
        result = journal(*wrong, target)
        expect(result.returncode == 2 and "journal" in result.stderr, f"{wrong}: {result.stderr}")
    shown = journal("replay", "--speed", "max", "--topic", "order.*", "--to-sequence", "20", "--json",
                    target)
    events = [json.loads(line) for line in shown.stdout.splitlines()]
    expect([event["sequence"] for event in events] == list(range(1, 21)), events)
    begin = time.monotonic()
    shown = journal("replay", "--speed", "10x", "--partition", "order", "--limit", "1001", target)
    # The events are a millisecond apart: a second, ten times as fast. Never faster.
    expect(len(shown.stdout.splitlines()) == 1001, shown.stderr)
    expect(time.monotonic() - begin >= 0.1, "at its pace")


def check_reading(target):
    verified = run_json("verify", target)
    expect(verified["sound"] and verified["records"] == 2 * EVENTS and not verified["damaged"],
           verified)
    expect(verified["torn_bytes"] == 0 and verified["segments"] == 2, verified)
    for domain in ("order", "fill"):
        of_domain = verified["domains"][domain]
        expect((of_domain["first_sequence"], of_domain["last_sequence"]) == (1, EVENTS), verified)
    all_events = run_json("cat", target)
    expect(all_events["count"] == 2 * EVENTS, "cat shows all")
    times = [event["published_ns"] for event in all_events["events"]]
    expect(times == sorted(times), "merged by time")
    some = run_json("cat", target, "--topic", "fill.*", "--key", "7")
    expect(some["count"] == EVENTS // 10 and
           all(e["topic"] == "fill.new" and e["key"] == "7" for e in some["events"]), "filters")
    span = run_json("cat", target, "--partition", "order", "--from", "2025-11-21T11:00:01",
                    "--to", "2025-11-21T11:00:01")
    expect([e["sequence"] for e in span["events"]] == list(range(1000, 2000)), "times")
    span = run_json("cat", target, "--partition", "order", "--from", "2025-11-21 11:00",
                    "--to", "2025-11-21T11:00Z")
    expect(span["count"] == EVENTS, "a minute to its end")
    story = run_json("cat", target, "--correlation", "1:400")
    expect(story["count"] == 4, story)
    at, sequences = story["story"], []
    while at:
        expect(len(at) == 1, "one effect each")
        sequences.append(at[0]["sequence"])
        at = at[0]["effects"]
    expect(sequences == [400, 401, 402, 403], "cause above effect")
    last = journal("tail", target, "--partition", "order", "-n", "2", "--json")
    expect([json.loads(l)["sequence"] for l in last.stdout.splitlines()] == [EVENTS - 1, EVENTS],
           last.stdout)
    for wanted in ([], ["--topic", "fill.*"], ["--key", "7"], ["--to-sequence", "500"],
                   ["--topic", "order.none"]):
        shown = journal("cat", target, *wanted).stdout.splitlines()
        last = journal("tail", target, "-n", "25", *wanted).stdout.splitlines()
        expect(last == shown[-25:], f"the last of {wanted}")
    statistics = run_json("stat", target)
    expect(statistics["topics"]["order.new"]["events"] == EVENTS, statistics)
    expect(len(run_json("ls", target)["segments"]) == 2, "ls")


def check_following(directory, target):
    """What is there, then what comes, until it is told to end."""
    path = os.path.join(directory, "followed.txt")
    with open(path, "w", encoding="utf-8") as file:
        follower = subprocess.Popen([HOTLANE, "journal", "tail", "-f", target], stdout=file)
    deadline = time.monotonic() + 60
    while os.path.getsize(path) == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    follower.terminate()
    expect(follower.wait(60) == 0, "an end when it is asked for")
    with open(path, encoding="utf-8") as file:
        expect(file.read() == journal("tail", target).stdout, "the last events first")


def check_exchange(directory, target):
    out = os.path.join(directory, "out")
    expect(run_json("export", target, "--output", out)["events"] == 2 * EVENTS, "export")
    files = glob.glob(os.path.join(out, "events_*.jsonl"))
    expect([os.path.basename(f) for f in files] == ["events_2025-11-21.jsonl"], files)
    expect(journal("export", target, "--output", out).returncode == 1, "not over what is there")
    again = os.path.join(directory, "again")
    run_json("import", again, files[0])
    one, two = run_json("cat", target), run_json("cat", again)
    expect(one["events"] == two["events"], "there and back")
    first = run_json("cat", target, "--cursor", "here", "--limit", "10")
    second = run_json("cat", target, "--cursor", "here", "--limit", "10")
    expect(first["events"] + second["events"] == one["events"][:20], "a cursor goes on")
    bad = journal("import", again, "/dev/null/none")
    expect(bad.returncode == 1 and "/dev/null/none" in bad.stderr, bad.stderr)


def check_damage(target):
    path = glob.glob(os.path.join(target, "order", "*.hlj"))[0]
    # The key of an event, which follows its sequence and time: what else lies between the events
    # depends on how they were grouped.
    with open(path, "r+b") as file:
        at = file.read().index(struct.pack("<QQ", 400, published_ns(400))) + 16
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    verified = run_json("verify", target, status=1)
    expect(not verified["sound"] and verified["damaged"][0]["path"] == path, verified)
    expect(verified["damaged"][0]["first_sequence"] == 400, verified)
    refused = journal("cat", target)
    expect(refused.returncode == 1 and path in refused.stderr, refused.stderr)
    salvaged = run_json("cat", target, "--salvage")
    expect(any(e.get("missing") == "damage" for e in salvaged["events"]), "told")
    expect(salvaged["count"] == 2 * EVENTS, "one event is lost, and one line tells it")


def import_twice(target, partition, number, first):
    """Two segments of 100 events each."""
    for begin in (first, first + 100):
        path = target + ".jsonl"
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(line(partition, number, s) + "\n" for s in range(begin, begin + 100))
        run_json("import", target, path)


def check_half_compacted(directory):
    """A compaction that fails in the middle says what it has done."""
    target = os.path.join(directory, "half")
    import_twice(target, "fill", 0, 1)
    import_twice(target, "order", 1, 1)
    first = min(glob.glob(os.path.join(target, "order", "*.hlj")))
    os.remove(first)
    os.mkdir(first) # which nobody can remove as a file
    failed = journal("compact", target, "--keep-bytes", "1", "--no-pack", "--json")
    expect(failed.returncode == 1 and "remove" in failed.stderr, failed)
    done = json.loads(failed.stdout)
    expect(done["removed"] == 1 and done["error"] in failed.stderr and
           [(step["action"], step["partition"]) for step in done["steps"]] ==
           [("removed", "fill")], done)


def check_locked(directory):
    """What ls tells of encrypted segments to who has no key."""
    target = os.path.join(directory, "locked")
    import_twice(target, "order", 1, 1)
    keys = os.path.join(directory, "keys")
    with open(keys, "w", encoding="utf-8") as file:
        file.write("5a" * 32 + "\n")
    os.chmod(keys, 0o600)
    packed = journal("compact", target, "--encrypt", "--key-file", keys)
    if packed.returncode != 0 and "built without" in packed.stderr:
        print("hotlane journal ls: this build cannot encrypt, not tried without the key")
        return
    expect(packed.returncode == 0, packed.stderr)
    known = run_json("ls", target, "--key-file", keys)["segments"][0]
    unknown = run_json("ls", target)["segments"][0]
    expect(known["state"] == "sealed" and known["events"] == 100, known)
    expect(unknown["state"] == "encrypted" and unknown["events"] is None and
           unknown["last_sequence"] is None and unknown["encrypted"], unknown)
    for same in ("key_id", "first_sequence", "created_ns", "bytes", "unpacked_bytes", "compressed"):
        expect(unknown[same] == known[same] and known[same], f"{same}: {known} {unknown}")
    shown = journal("ls", target).stdout
    expect(known["key_id"] in shown and "not there" in shown, shown)


def check_usage(target):
    for wrong in ([], ["cat"], ["cta", target], ["cat", target, "--topic", "a..b"],
                  ["cat", target, "--from", "yesterday"], ["cat", target, "--from", "2026-02-30"],
                  ["cat", target, "--to", "2600-01-01"], ["ls", target, "--key", "1"],
                  ["cat", target, "--limit", "0"], ["cat", target, "--to-sequence", "0"],
                  ["export", target], ["cat", target, "--key", "x"], ["compact", target,
                                                                     "--keep", "30"]):
        result = journal(*wrong)
        expect(result.returncode == 2 and result.stderr and not result.stdout,
               f"{wrong}: exit {result.returncode}")
    expect(journal("verify", os.path.join(target, "none")).returncode == 1, "no such directory")
    strange = os.path.join(target, os.pardir, "strange")
    os.makedirs(os.path.join(strange, "music"))
    for words in (["ls"], ["cat"], ["tail"], ["verify"], ["stat"], ["repair"], ["compact"],
                  ["replay", "--speed", "max"], ["snapshot"], ["export", "--output", strange]):
        result = journal(*words, strange)
        expect(result.returncode == 1 and not result.stdout and "no journal" in result.stderr,
               f"{words} of what is no journal: {result}")
    result = subprocess.run([HOTLANE, "run", "--replay", strange], capture_output=True, text=True,
                            timeout=120)
    expect(result.returncode == 1 and "no journal" in result.stderr, f"run --replay: {result}")
    expect(os.listdir(strange) == ["music"] and os.listdir(os.path.join(strange, "music")) == [],
           "it is left as it was")
    unwritten = os.path.join(target, "unwritten")
    for words in (["ls"], ["cat"], ["tail"], ["verify"], ["stat"], ["repair"], ["compact"],
                  ["replay", "--speed", "max"], ["replay", "--pipeline"], ["snapshot"],
                  ["snapshot", "--rebuild"], ["export", "--output", unwritten],
                  ["export", "--sqlite", "--output", unwritten]):
        result = journal(*words, target, "--partition", "signal")
        expect(result.returncode == 1 and not result.stdout and
               "no partition signal in this directory; there are " in result.stderr and
               "order" in result.stderr, f"{words}: no such partition: {result}")
    expect(not os.path.exists(unwritten), "nothing is written of a partition that is not there")
    for word in ("ls", "cat", "tail", "verify", "stat", "export", "import", "repair", "compact"):
        expect(journal(word, "--help").returncode == 0, word)


def main():
    directory = tempfile.mkdtemp(prefix="hotlane-journal-")
    try:
        target = make(directory)
        check_reading(target)
        check_replay_and_snapshots(target)
        check_following(directory, target)
        check_exchange(directory, target)
        repaired = run_json("repair", target)
        expect(repaired["partitions"]["order"]["was_clean"], repaired)
        compacted = run_json("compact", target, "--keep", "1d")
        expect(compacted["removed"] == 0 and compacted["packed"] == 0, "the newest stays as it is")
        check_half_compacted(directory)
        check_locked(directory)
        check_usage(target)
        check_damage(target)
    finally:
        shutil.rmtree(directory)
    print("hotlane journal: ls, cat, tail, verify, stat, export, import, repair, compact: good")


main()
