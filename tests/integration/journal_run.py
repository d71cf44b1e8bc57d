#!/usr/bin/env python3
"""hotlane run --journal, killed at random moments, started again, replayed.

usage: journal_run.py HOTLANE [unittest arguments]
HOTLANE_KILLS: how often the kill test kills (default 6; with HOTLANE_LONG=1: 1000). HOTLANE_SEED: of its
moments.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HOTLANE = sys.argv[1]
KILLS = int(os.environ.get("HOTLANE_KILLS", "1000" if "HOTLANE_LONG" in os.environ else "6"))
SEED = int(os.environ.get("HOTLANE_SEED", str(time.time_ns() % 1000000007)))
STREAMS = ["market_data", "signal", "order", "fill", "account"]


def hotlane(*arguments, expected=0):
    done = subprocess.run([HOTLANE, *arguments], capture_output=True, text=True, timeout=300,
                          check=False)
    if done.returncode != expected:
        raise AssertionError(f"{arguments}: exit {done.returncode}: {done.stderr}")
    return done


def report(*arguments):
    return json.loads(hotlane("run", *arguments, "--json").stdout)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hotlane-journal-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.journal = str(self.folder / "journal")

    def await_work(self, process, said):
        """Until the process that acknowledges there has got to its work, or ends."""
        deadline = time.monotonic() + 120
        while process.poll() is None and not (said.exists() and said.stat().st_size > 2000):
            self.assertLess(time.monotonic(), deadline, "it does nothing")
            time.sleep(0.002)

    def verified(self):
        return json.loads(hotlane("journal", "verify", self.journal, "--json").stdout)


class Replay(Case):
    def test_a_deterministic_run_recomputed_gives_the_same_hashes(self):
        live = report("--deterministic", "--journal", self.journal)
        self.assertEqual(live["output_hash"], report("--deterministic")["output_hash"])
        for arguments in ([], ["--recompute"]):
            again = report("--replay", self.journal, *arguments)
            for domain in STREAMS:
                self.assertEqual(again["output_hash"][domain], live["output_hash"][domain], domain)
            self.assertEqual(again["orders"], live["orders"])
            self.assertEqual(again["positions"], live["positions"])

    def test_a_sync_deterministic_run_gives_the_same_hashes_each_time(self):
        options = ["--deterministic", "--limit", "3000", "--durability", "order=sync,fill=sync"]
        one = report(*options, "--journal", self.journal)
        two = report(*options, "--journal", self.journal + "2")
        self.assertEqual(one["output_hash"], two["output_hash"])
        self.assertEqual(one["journal"]["order"]["durability"], "sync")

    def test_recompute_shows_the_first_difference(self):
        hotlane("run", "--deterministic", "--journal", self.journal)
        # Without its market data nothing can have caused the signals.
        shutil.rmtree(self.folder / "journal" / "market_data")
        done = hotlane("run", "--replay", self.journal, "--recompute", expected=1)
        self.assertIn("is not what its handlers publish now", done.stderr)

    def test_a_run_with_threads_is_replayed_to_the_same_state(self):
        live = report("--journal", self.journal, "--durability", "order=sync")
        again = report("--replay", self.journal)
        for domain in STREAMS:
            self.assertEqual(again["output_hash"][domain], live["output_hash"][domain], domain)
        self.assertEqual(again["positions"], live["positions"])


class Restart(Case):
    def test_sequences_and_positions_go_on(self):
        first = report("--journal", self.journal, "--deterministic")
        second = report("--journal", self.journal, "--deterministic", "--recover", "--limit", "1")
        self.assertEqual(second["journal"]["order"]["recovered_sequence"],
                         first["journal"]["order"]["last_sequence"])
        self.assertTrue(second["journal"]["order"]["was_clean"])
        # A short input does not name all instruments: by what they hold, not by name.
        self.assertEqual(sorted(map(str, second["positions"].values())),
                         sorted(map(str, first["positions"].values())))


def acknowledged(path):
    """What a process has said by the time that it was killed: (begins, last, written) by partition;
    a line that it was in the middle of counts for nothing."""
    begins, last, written = {}, {}, {}
    if not path.exists():
        return begins, last, written
    for line in path.read_text().split("\n")[:-1]:
        words = line.split()
        if words[1] == "begins":
            begins[words[0]] = int(words[2])
        else:
            last[words[0]], written[words[0]] = int(words[1]), int(words[2])
            assert int(words[3]) <= int(words[2]), line
    return begins, last, written


class Kill(Case):
    """kill -9 at random moments, in the middle of starting, running and recovering. Nothing that the
    process had acknowledged as written is missing, nothing is there that it did not do, and no
    sequence is used twice."""

    def kill_one(self, draw, *options):
        said = self.folder / "said"
        said.unlink(missing_ok=True)
        with subprocess.Popen([HOTLANE, "run", "--journal", self.journal, "--repeat", "--acknowledge",
                               str(said), *options], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                time.sleep(draw.choice([0.05, 0.3, 0.6]) * draw.random())
                if draw.random() < 0.7:
                    self.await_work(process, said)
                    time.sleep(draw.random() * 0.05)
                self.assertIsNone(process.poll(), "it ended by itself")
            finally:
                process.kill()
        return acknowledged(said)

    def recovered(self):
        """The last sequences, once the torn tails are cut."""
        if not any(pathlib.Path(self.journal).glob("*/*.hlj")):
            return {} # it was killed before its first segment had a name: that is no journal yet
        hotlane("journal", "repair", self.journal)
        verified = self.verified()
        self.assertEqual(verified["damaged"], [])
        return {name: part["last_sequence"] for name, part in verified["domains"].items()}

    def series(self, draw, kills, *options):
        """One journal, killed again and again."""
        ends, given_out = {}, {}
        for _ in range(kills):
            durability = draw.choice(["order=sync,fill=sync", "order=async", "market_data=sync"])
            rate = draw.choice(["20000", "300000"])
            begins, last, written = self.kill_one(draw, "--rate", rate, "--durability", durability,
                                                  *options)
            now = self.recovered()
            for name, end in ends.items():
                self.assertGreaterEqual(now[name], end, name)
            for name, sequence in begins.items():
                self.assertGreaterEqual(sequence, given_out.get(name, 0), name)
                self.assertGreaterEqual(sequence, ends.get(name, 0), name)
                if written.get(name, 0) > sequence:
                    self.assertGreaterEqual(now[name], written[name], name)
            given_out.update(last)
            ends = now
        done = report("--journal", self.journal, "--limit", "100")
        self.assertEqual(done["conservation"], "ok")
        for name, sequence in ends.items():
            self.assertEqual(done["journal"][name]["recovered_sequence"], sequence, name)
            self.assertGreaterEqual(done["journal"][name]["last_sequence"], given_out.get(name, 0))
        hotlane("run", "--replay", self.journal)

    def alone(self, draw):
        """A cause is durable before it is handled: what is left is, byte for byte, what the pipeline
        makes of the external events that are left."""
        sync = ",".join(f"{name}=sync" for name in STREAMS)
        _, _, written = self.kill_one(draw, "--rate", "20000", "--durability", sync)
        now = self.recovered()
        for name, sequence in written.items():
            self.assertGreaterEqual(now[name], sequence, name)
        if now:
            hotlane("run", "--replay", self.journal, "--recompute")

    def test_nothing_that_was_acknowledged_is_lost(self):
        draw = random.Random(SEED)
        print(f"HOTLANE_SEED={SEED}, {KILLS} kills", file=sys.stderr)
        left = KILLS
        while left > 0:
            if KILLS > 100:
                print(f"{left} left", file=sys.stderr, flush=True)
            kills = min(left, draw.randint(1, 8))
            if kills == 1:
                self.alone(draw)
            else:
                self.series(draw, kills)
            shutil.rmtree(self.journal, ignore_errors=True)
            left -= kills


class Packed(Kill):
    """The same while small segments are packed as soon as they are sealed."""

    def setUp(self):
        super().setUp()
        config = self.folder / "packing.yaml"
        config.write_text("journal_segment_bytes: 65536\njournal_pack_after_ns: 1\n")
        self.config = ["--config", str(config)]

    def half_packed(self):
        return list(pathlib.Path(self.journal).glob("*/*.pack.tmp"))

    def test_nothing_that_was_acknowledged_is_lost(self):
        draw = random.Random(SEED)
        print(f"HOTLANE_SEED={SEED}", file=sys.stderr)
        self.series(draw, max(3, KILLS // 2), *self.config)
        hotlane("journal", "compact", self.journal)
        self.assertEqual(self.half_packed(), [])
        self.assertEqual(self.verified()["damaged"], [])

    def read_whole(self):
        """All market data from another process: none is missing."""
        shown = hotlane("journal", "cat", self.journal, "--partition", "market_data", "--json")
        sequences = [event["sequence"] for event in json.loads(shown.stdout)["events"]]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
        return len(sequences)

    def packed(self):
        listed = json.loads(hotlane("journal", "ls", self.journal, "--json").stdout)
        return sum(one["compressed"] and one["partition"] == "market_data"
                   for one in listed["segments"])

    def run_until_packed(self):
        """What it reports; meanwhile all is read again and again."""
        before, packed = self.read_whole(), self.packed()
        with subprocess.Popen([HOTLANE, "run", "--journal", self.journal, *self.config, "--repeat",
                               "--rate", "10000", "--json"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as process:
            try:
                deadline = time.monotonic() + 60
                while self.packed() < packed + 3:
                    self.assertGreaterEqual(self.read_whole(), before)
                    self.assertLess(time.monotonic(), deadline, "it packs nothing")
                process.send_signal(signal.SIGINT)
                return json.loads(process.stdout.read())
            finally:
                process.kill()

    def test_other_processes_read_on_while_it_packs(self):
        first = hotlane("run", "--journal", self.journal, *self.config, "--limit", "10000")
        if "without zstd" in first.stderr:
            self.skipTest(first.stderr)
        tailed = self.folder / "tailed"
        with open(tailed, "w", encoding="utf-8") as output, subprocess.Popen(
                [HOTLANE, "journal", "tail", "-f", "-n", "1000000", self.journal, "--partition",
                 "market_data", "--json"], stdout=output) as tail:
            try:
                data = self.run_until_packed()["journal"]["market_data"]
                deadline = time.monotonic() + 60
                last = data["last_sequence"]
                while f'"sequence":{last},' not in tailed.read_text():
                    self.assertLess(time.monotonic(), deadline, "the tail does not come up")
                    time.sleep(0.05)
            finally:
                tail.kill()
        self.assertGreaterEqual(data["packed_segments"], 3)
        self.assertLess(data["packed_bytes"], data["unpacked_bytes"])
        self.assertEqual(data["keep_failures"], 0)
        sequences = [json.loads(line)["sequence"] for line in tailed.read_text().splitlines()]
        self.assertEqual(sequences, list(range(1, last + 1)))
        self.assertEqual(self.read_whole(), last)


class Recovery(Case):
    STATE = ["books", "positions", "orders", "output_hash"]

    def killed(self, *arguments, after):
        with subprocess.Popen([HOTLANE, "run", "--journal", self.journal, *arguments],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(after)
            process.send_signal(signal.SIGKILL)

    def of_journal(self, *arguments):
        return json.loads(hotlane("journal", *arguments, self.journal, "--json").stdout)

    def snapshots(self):
        return self.of_journal("snapshot")["snapshots"]

    def assert_same(self, one, other):
        for part in self.STATE:
            self.assertEqual(one[part], other[part], part)


class Recover(Recovery):
    """Killed and started again with --recover it goes on where it was: from its snapshots and the
    journal behind them it comes to what the whole journal gives."""

    def test_what_snapshots_and_their_tail_give_is_what_the_whole_journal_gives(self):
        draw = random.Random(SEED)
        print(f"HOTLANE_SEED={SEED}", file=sys.stderr)
        for _ in range(max(2, KILLS // 2)):
            self.killed("--recover", "--repeat", "--rate", "200000", "--snapshot-interval", "50ms",
                        after=0.6 + draw.random() * 0.6)
            if not self.snapshots():
                continue
            self.assert_same(self.of_journal("snapshot", "--rebuild"),
                             self.of_journal("replay", "--pipeline", "--speed", "max"))
        live = report("--journal", self.journal, "--recover", "--repeat", "--duration", "200ms")
        self.assertEqual(live["conservation"], "ok")
        self.assert_same(live, report("--replay", self.journal))
        self.assertTrue(all(one["whole"] for one in self.snapshots()))

    def test_the_feed_goes_on_behind_its_last_message(self):
        self.killed("--limit", "100000", "--rate", "100000", "--snapshot-interval", "50ms",
                    after=0.7)
        done = hotlane("run", "--journal", self.journal, "--recover", "--limit", "100000", "--json")
        self.assertEqual(json.loads(done.stdout)["books"], report("--limit", "100000")["books"])
        again = hotlane("run", "--journal", self.journal, "--recover", "--limit", "100000",
                        "--json")
        self.assertIn("goes on behind message 100000", again.stderr)
        self.assertEqual(json.loads(again.stdout)["books"], json.loads(done.stdout)["books"])

    def test_a_damaged_snapshot_is_passed_over(self):
        options = ["--journal", self.journal, "--deterministic", "--recover"]
        report(*options, "--limit", "10000")
        first = report(*options, "--limit", "20000")
        newest = max((one for one in self.snapshots() if one["name"] == "books"),
                     key=lambda one: one["sequence"])
        with open(newest["path"], "r+b") as file:
            file.seek(200)
            byte = file.read(1)
            file.seek(200)
            file.write(bytes([byte[0] ^ 1]))
        self.assertEqual(self.of_journal("snapshot")["damaged"], 1)
        done = hotlane("run", *options, "--limit", "20000", "--json")
        self.assertIn("the snapshot's CRC is wrong", done.stderr)
        self.assert_same(json.loads(done.stdout), first)

    def test_damage_is_refused_or_passed_over_as_configured(self):
        options = ["--journal", self.journal, "--deterministic", "--recover"]
        for limit in ("5000", "10000"):
            report(*options, "--limit", limit)
        shutil.rmtree(self.folder / "journal" / "snapshots.d")
        with open(min((self.folder / "journal" / "market_data").glob("*.hlj")), "r+b") as file:
            file.seek(100000)
            byte = file.read(1)
            file.seek(100000)
            file.write(bytes([byte[0] ^ 1]))
        salvage = self.folder / "salvage.yaml"
        salvage.write_text("journal_salvage: true\n")
        for way in (["--replay", self.journal], options):
            refused = hotlane("run", *way, "--limit", "10000", expected=1)
            self.assertIn("damaged at byte", refused.stderr)
            told = hotlane("run", *way, "--limit", "10000", "--config", str(salvage))
            self.assertIn(" 1 missing", told.stderr)

    def test_make_and_rebuild(self):
        report("--journal", self.journal, "--deterministic", "--limit", "10000",
               "--snapshot-interval", "1h")
        shutil.rmtree(self.folder / "journal" / "snapshots.d")
        whole = self.of_journal("replay", "--pipeline", "--speed", "max")
        self.assert_same(self.of_journal("snapshot", "--make"), whole)
        made = hotlane("journal", "snapshot", "--rebuild", self.journal, "--json")
        self.assert_same(json.loads(made.stdout), whole)
        self.assertIn(", 0 without, 0 events replayed", made.stderr)
        then = self.of_journal("snapshot", "--rebuild", "--to-sequence", "500")
        self.assertNotEqual(then["books"], whole["books"])
        self.assertEqual(then["books"], self.of_journal(
            "replay", "--pipeline", "--speed", "max", "--to-sequence", "500")["books"])

    def test_retention_keeps_what_the_snapshots_need(self):
        options = ["--journal", self.journal, "--deterministic", "--recover"]
        for limit in ("5000", "10000", "15000"):
            last = report(*options, "--limit", limit)
        compacted = self.of_journal("compact", "--keep-bytes", "1K")
        self.assertGreaterEqual(compacted["removed"], 1)
        done = report(*options, "--limit", "15000")
        self.assert_same(done, last)
        shutil.rmtree(self.folder / "journal" / "snapshots.d")
        done = hotlane("run", *options, "--limit", "15000", expected=1)
        self.assertIn("what its aggregates were is not to be known", done.stderr)

    def keys(self, *digits):
        """The option that names a file of these keys, the newest first."""
        keys = self.folder / ("keys-" + "-".join(digits))
        keys.write_text("".join(two * 32 + "\n" for two in digits))
        return ["--key-file", str(keys)]

    def test_with_a_key_snapshots_are_encrypted_and_needed(self):
        options = ["--journal", self.journal, "--deterministic", "--recover"]
        old, both, new = self.keys("5a"), self.keys("6b", "5a"), self.keys("6b")
        first = subprocess.run([HOTLANE, "run", *options, "--limit", "5000", *old, "--json"],
                               capture_output=True, text=True, check=False)
        if "without libsodium" in first.stderr:
            self.skipTest(first.stderr)
        self.assertEqual(first.returncode, 0, first.stderr)
        before = self.snapshots()
        self.assertTrue(all(one["whole"] and one["key_id"] for one in before), before)
        # Without its key, or with another, nothing is rebuilt as if they were damaged.
        for wrong, sentence in (([], "no key was given"), (new, "none of the keys")):
            for refused in (["run", *options, "--limit", "5000", *wrong],
                            ["journal", "snapshot", "--rebuild", *wrong, self.journal],
                            ["journal", "verify", *wrong, self.journal]):
                done = hotlane(*refused, expected=1)
                self.assertIn(".hls: encrypted with key " + before[0]["key_id"], done.stderr)
                self.assertIn(sentence, done.stderr)
        # The key is changed: what is there is read with the old one, what is new has the new one.
        last = report(*options, "--limit", "10000", *both)
        self.assert_same(self.of_journal("snapshot", "--rebuild", *both),
                         self.of_journal("replay", "--pipeline", "--speed", "max"))
        used = {one["key_id"] for one in self.snapshots()}
        self.assertEqual(len(used), 2, used)
        # Made from outside they are encrypted as well.
        shutil.rmtree(self.folder / "journal" / "snapshots.d")
        self.assert_same(self.of_journal("snapshot", "--make", *new), last)
        made = {one["key_id"] for one in self.snapshots()}
        self.assertEqual(made, used - {before[0]["key_id"]})
        self.assertIn(made.pop(), hotlane("journal", "snapshot", self.journal).stdout)
        self.assert_same(report(*options, "--limit", "10000", *new), last)

    def test_from_encrypted_segments_with_their_key_alone(self):
        with_keys = self.keys("5a")
        options = ["--journal", self.journal, "--deterministic", "--recover"]
        report(*options, "--limit", "5000")
        last = report(*options, "--limit", "10000")
        packed = subprocess.run([HOTLANE, "journal", "compact", "--encrypt", *with_keys,
                                 self.journal], capture_output=True, text=True, check=False)
        if "without libsodium" in packed.stderr:
            self.skipTest(packed.stderr)
        self.assertEqual(packed.returncode, 0, packed.stderr)
        shutil.rmtree(self.folder / "journal" / "snapshots.d")
        done = hotlane("run", *options, "--limit", "10000", expected=1)
        self.assertIn("key", done.stderr)
        self.assert_same(report(*options, "--limit", "10000", *with_keys), last)
        self.assert_same(report("--replay", self.journal, "--limit", "10000", *with_keys), last)


class RecoverShards(Recovery):
    """The same where market_data has shards: a crash leaves each of them at another message of the
    feed, and the feed goes on with what each of them lacks."""

    LIMIT = ["--limit", "100000"]

    def setUp(self):
        super().setUp()
        example = (pathlib.Path(__file__).parents[2] / "examples/hotlane.yaml").read_text()
        head, market_data = example.split("  - name: market_data\n", 1)
        self.assertIn("    shards: 1\n", market_data)
        config = self.folder / "sharded.yaml"
        config.write_text(head + "  - name: market_data\n" +
                          market_data.replace("    shards: 1\n", "    shards: 3\n", 1))
        self.config = ["--config", str(config)]

    def whole(self):
        """What snapshots and their tail give is what the whole journal gives."""
        again = report(*self.config, "--replay", self.journal)
        recovered = report(*self.config, "--journal", self.journal, "--recover", *self.LIMIT)
        self.assert_same(recovered, again)

    def test_killed_again_and_again_its_books_are_those_of_a_run_that_was_not(self):
        draw = random.Random(SEED)
        print(f"HOTLANE_SEED={SEED}", file=sys.stderr)
        untouched = report(*self.LIMIT, "--deterministic")
        said = self.folder / "said"
        for _ in range(3):
            said.unlink(missing_ok=True)
            with subprocess.Popen([HOTLANE, "run", *self.config, "--journal", self.journal,
                                   "--recover", *self.LIMIT, "--rate", "20000", "--acknowledge",
                                   str(said), "--snapshot-interval", "50ms"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                try:
                    self.await_work(process, said)
                    time.sleep(0.2 * draw.random())
                finally:
                    process.kill()
        done = hotlane("run", *self.config, "--journal", self.journal, "--recover", *self.LIMIT,
                       "--json")
        self.assertIn("in its shards)", done.stderr)
        last = json.loads(done.stdout)
        self.assertEqual(last["conservation"], "ok")
        self.assertEqual(last["books"], untouched["books"])
        self.assert_same(last, report(*self.config, "--replay", self.journal))
        self.whole()

    def test_a_deterministic_run_in_two_halves_has_the_hashes_of_one_in_one(self):
        options = [*self.config, "--deterministic", "--recover"]
        report(*options, "--journal", self.journal, "--limit", "10000")
        halves = report(*options, "--journal", self.journal, "--limit", "20000")
        one = report(*options, "--journal", self.journal + "2", "--limit", "20000")
        self.assert_same(halves, one)
        self.assert_same(halves, report(*self.config, "--replay", self.journal, "--recompute"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
