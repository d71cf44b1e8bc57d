#!/usr/bin/env python3
"""hotlane run --journal, killed at random moments, started again, replayed.

usage: journal_run.py HOTLANE [unittest arguments]
HOTLANE_KILLS: how often the kill test kills (default 6). HOTLANE_SEED: of its moments.
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
KILLS = int(os.environ.get("HOTLANE_KILLS", "6"))
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


class Kill(Case):
    """kill -9 at random moments: what is in the journal is whole, a prefix in each partition, grows
    from run to run, and no sequence is used twice."""

    def test_nothing_that_was_written_is_lost(self):
        draw = random.Random(SEED)
        print(f"HOTLANE_SEED={SEED}", file=sys.stderr)
        last = {}
        for _ in range(KILLS):
            options = ["--journal", self.journal, "--repeat", "--rate", "300000", "--durability",
                       "order=sync,fill=sync"]
            with subprocess.Popen([HOTLANE, "run", *options], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(0.2 + draw.random() * 0.6)
                process.send_signal(signal.SIGKILL)
            if not pathlib.Path(self.journal).exists():
                continue
            hotlane("journal", "repair", self.journal)
            verified = self.verified()
            self.assertEqual(verified["damaged"], [])
            ends = {name: part["last_sequence"] for name, part in verified["domains"].items()}
            for name, sequence in last.items():
                self.assertGreaterEqual(ends[name], sequence, name)
            last = ends
        done = report("--journal", self.journal, "--limit", "1000")
        self.assertEqual(done["conservation"], "ok")
        for name, sequence in last.items():
            self.assertEqual(done["journal"][name]["recovered_sequence"], sequence, name)
            self.assertGreaterEqual(done["journal"][name]["last_sequence"], sequence, name)
        hotlane("run", "--replay", self.journal)


class Recover(Case):
    """Killed and started again with --recover it goes on where it was: from its snapshots and the
    journal behind them it comes to what the whole journal gives."""

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


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
