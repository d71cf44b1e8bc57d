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


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
