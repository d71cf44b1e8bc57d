#!/usr/bin/env python3
"""hotlane run, from the outside: its report, its exit status, its sentences.

usage: run_command.py HOTLANE RECORDINGS [unittest arguments]
HOTLANE is the command, RECORDINGS the folder of real market data (tests that need a file that is
not there are skipped, saying so).
"""
import gzip
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HOTLANE = sys.argv[1]
RECORDINGS = pathlib.Path(sys.argv[2])

AAPL = ("lobster", "lobster/AAPL_2012-06-21_34200000_57600000_message_1.csv.zst")
GOOG = ("lobster", "lobster/GOOG_2012-06-21_34200000_57600000_message_10.csv.zst")
ESH4 = ("dbn", "databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst")
ITCH = ("itch", "itch/itch50_session_start_1000.itch")

TOP_KEYS = ["plan", "inputs", "domains", "lanes", "slowest", "subscriptions", "books", "quotes",
            "orders", "positions", "tick_to_order_ns", "components", "health", "elapsed_s", "events_per_s",
            "conservation", "output_hash"]
DOMAINS = ["market_data", "signal", "order", "fill", "account", "system"]
PRIORITIES = ["CRITICAL", "HIGH", "NORMAL", "LOW", "BACKGROUND"]
LANE_KEYS = {"attempts", "committed", "rejected", "throttled", "aborted", "dispatched", "conflated",
             "shed", "abandoned", "running", "pending", "unrouted", "latency_ns"}
SUBSCRIPTION_KEYS = {"delivered", "handled", "filtered", "conflated", "dead_lettered", "skipped",
                     "lost", "cancelled", "queued", "in_retry", "held", "running", "ejected"}


def run(*arguments, prefix=(), user=None):
    return subprocess.run([*prefix, HOTLANE, "run", *arguments], capture_output=True, text=True,
                          timeout=100, check=False, user=user)


def messages(report):
    """Market data dispatched, without the quotes that it causes."""
    return report["lanes"]["market_data"]["NORMAL"]["dispatched"]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hotlane-run-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def spec(self, recording):
        scheme, name = recording
        if not (RECORDINGS / name).exists():
            self.skipTest(f"no recording {RECORDINGS / name}")
        return f"{scheme}:{RECORDINGS / name}"

    def report(self, *arguments, prefix=()):
        """Runs it with --json; the report, after all that must hold for every run is checked.
        What a bus under load has to say is left out, unless an argument asks for it."""
        done = run("--log", "nothing", *arguments, "--json", prefix=prefix)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        report = json.loads(done.stdout)
        self.check_report(report, audited="--no-hash" not in arguments)
        return report

    def check_slowest(self, report):
        """Each domain's, the slowest first, and none slower than the slowest measured."""
        self.assertEqual(list(report["slowest"]), DOMAINS)
        for domain, events in report["slowest"].items():
            waited = [event["waited_ns"] for event in events]
            self.assertEqual(waited, sorted(waited, reverse=True))
            for event in events:
                self.assertEqual(event["waited_ns"], event["began_ns"] - event["published_ns"])
                self.assertGreaterEqual(event["ended_ns"], event["began_ns"])
                self.assertTrue(event["topic"].startswith(domain + "."), event)

    def check_plan(self, plan):
        """Null where one thread turns all; else each partition, feed and the housekeeper has a CPU."""
        if plan is not None:
            names = [thread["name"] for thread in plan["threads"]]
            self.assertEqual(len(names), len(set(names)))
            self.assertTrue({"feed-0", "housekeeping"} <= set(names), names)
            cpus = os.sched_getaffinity(0)
            self.assertTrue(all(thread["cpu"] in cpus for thread in plan["threads"]), plan)
            self.assertIn(f"housekeeping@{plan['housekeeping'][0]}", plan["lcores"])

    def check_report(self, report, audited=True):
        self.assertEqual([key for key in report if key != "ladder"], TOP_KEYS)
        self.assertEqual(report["conservation"], "ok")
        self.check_slowest(report)
        self.check_plan(report["plan"])
        for entry in report["inputs"]:
            self.assertEqual(sum(entry["by_type"].values()), entry["messages"])
        self.assertEqual(list(report["domains"]), DOMAINS)
        for domain in DOMAINS:
            self.assertEqual(list(report["lanes"][domain]), PRIORITIES)
            for lane in (report["domains"][domain], *report["lanes"][domain].values()):
                self.assertEqual(set(lane), LANE_KEYS)
                self.assertEqual(lane["attempts"], lane["committed"] + lane["rejected"] +
                                 lane["throttled"] + lane["aborted"])
                self.assertEqual(lane["committed"], lane["dispatched"] + lane["conflated"] +
                                 lane["shed"] + lane["abandoned"])
                self.assertEqual(lane["abandoned"] + lane["pending"], 0)
                if audited:  # the audit wants every event
                    self.assertEqual(lane["unrouted"], 0)
        for name, entry in report["subscriptions"].items():
            self.assertEqual(set(entry), SUBSCRIPTION_KEYS, name)
            self.assertEqual(entry["delivered"], entry["handled"], name)
        quotes = report["quotes"]
        self.assertEqual(quotes["told"], quotes["seen"] + quotes["conflated"])
        orders = report["orders"]
        self.assertEqual(orders["new"], orders["acked"] + orders["rejected"])
        self.assertEqual(orders["acked"], orders["filled"] + orders["cancelled"])
        self.assertEqual(sum(p["fills"] for p in report["positions"].values()),
                         sum(report["domains"]["account"][n] for n in ("committed", "throttled")))


class Recordings(Case):
    def check_recording(self, recording, by_type, books):
        spec = self.spec(recording)
        report = self.report("--input", spec)
        self.assertEqual(len(report["inputs"]), 1)
        entry = report["inputs"][0]
        self.assertEqual(entry["format"], recording[0])
        self.assertEqual(entry["path"], spec.partition(":")[2])
        self.assertEqual(entry["by_type"], by_type)
        self.assertEqual(entry["bad_records"], 0)
        self.assertEqual(messages(report), entry["messages"])
        self.assertEqual(report["subscriptions"]["strategy"]["handled"], entry["messages"])
        self.assertEqual(report["books"], books)
        again = self.report("--input", spec)
        self.assertEqual(again["output_hash"]["market_data"], report["output_hash"]["market_data"])
        return report

    @staticmethod
    def book(bid, bid_size, ask, ask_size):
        return {"best_bid": bid, "best_bid_size": bid_size, "best_ask": ask,
                "best_ask_size": ask_size, "exact": True}

    def test_apple_by_lobster(self):
        report = self.check_recording(
            AAPL, {"1": 54818, "2": 252, "3": 28437, "4": 23658, "5": 11332},
            {"AAPL": self.book(5775400, 410, 5776700, 300)})
        self.assertGreater(report["orders"]["new"], 0)

    def test_google_by_lobster(self):
        report = self.check_recording(
            GOOG, {"1": 71258, "2": 19, "3": 64961, "4": 7765, "5": 3913},
            {"GOOG": self.book(5651200, 200, 5652200, 42)})
        self.assertGreater(report["orders"]["new"], 0)

    def test_emini_by_databento(self):
        report = self.check_recording(
            ESH4, {"A": 29216, "C": 17999, "F": 6371, "M": 12233, "T": 2973},
            {"17077": self.book(4810000000000, 22, 4810250000000, 28)})
        self.assertGreater(report["orders"]["new"], 0)

    def test_session_start_by_itch(self):
        report = self.check_recording(ITCH, {"S": 1, "R": 993, "H": 3, "Y": 3}, {})
        self.assertEqual(report["orders"]["new"], 0)

    def test_all_of_them_at_once(self):
        inputs = [a for r in (AAPL, GOOG, ESH4, ITCH) for a in ("--input", self.spec(r))]
        report = self.report(*inputs)
        self.assertEqual([e["messages"] for e in report["inputs"]], [118497, 147916, 68792, 1000])
        self.assertEqual(messages(report), 118497 + 147916 + 69792)
        self.assertEqual(set(report["books"]), {"AAPL", "GOOG", "17077"})
        self.assertTrue(all(book["exact"] for book in report["books"].values()))
        first = self.report(*inputs, "--deterministic=3")
        second = self.report(*inputs, "--deterministic=3")
        self.assertEqual(set(first["output_hash"]), set(DOMAINS))
        self.assertEqual(first["output_hash"], second["output_hash"])

    def test_lobster_without_its_order_book_file_is_marked_partial(self):
        if shutil.which("zstd") is None:
            self.skipTest("no zstd command")
        alone = self.folder / "AAPL_2012-06-21_34200000_57600000_message_1.csv"
        with open(alone, "wb") as plain:
            subprocess.run(["zstd", "-dc", self.spec(AAPL).partition(":")[2]], stdout=plain,
                           check=True)
        report = self.report("--input", f"lobster:{alone}")
        self.assertEqual(report["inputs"][0]["messages"], 118497)
        self.assertFalse(report["books"]["AAPL"]["exact"])

    def test_a_gzipped_file_is_read_as_the_plain_one(self):
        plain = self.spec(ITCH)
        packed = self.folder / "session.itch.gz"
        packed.write_bytes(gzip.compress(pathlib.Path(plain.partition(":")[2]).read_bytes()))
        self.assertEqual(self.report("--input", f"itch:{packed}")["output_hash"],
                         self.report("--input", plain)["output_hash"])


class Synthetic(Case):
    def test_the_default_needs_no_file(self):
        report = self.report()
        entry = report["inputs"][0]
        self.assertEqual((entry["format"], entry["path"]), ("synthetic", "1"))
        self.assertEqual(messages(report), entry["messages"])
        self.assertEqual(len(report["books"]), 8)
        self.assertTrue(all(book["exact"] for book in report["books"].values()))
        self.assertGreater(report["orders"]["filled"], 0)
        self.assertGreater(report["tick_to_order_ns"]["p50"], 0)
        self.assertGreater(report["events_per_s"], 0)

    def test_deterministic_runs_are_equal_in_every_domain(self):
        arguments = ["--input", "synthetic:5", "--input", "synthetic:6", "--limit", "50000"]
        runs = [self.report(*arguments, f"--deterministic={seed}") for seed in (1, 1, 2)]
        self.assertEqual(runs[0]["output_hash"], runs[1]["output_hash"])
        self.assertEqual(runs[0]["positions"], runs[1]["positions"])
        self.assertEqual(runs[0]["lanes"], runs[1]["lanes"], "the virtual clock's latencies too")
        self.assertNotEqual(runs[0]["output_hash"]["order"], runs[2]["output_hash"]["order"])
        plain = self.report(*arguments, "--deterministic")
        self.assertEqual(plain["output_hash"], runs[0]["output_hash"], "the default seed is 1")

    def test_deterministic_and_threads_agree_on_market_data(self):
        arguments = ["--input", "synthetic:9", "--limit", "40000"]
        self.assertEqual(self.report(*arguments)["output_hash"]["market_data"],
                         self.report(*arguments, "--deterministic")["output_hash"]["market_data"])

    def test_its_parts_are_components(self):
        done = run("--limit", "20000", "--input", "synthetic:1", "--input", "synthetic:2",
                   "--journal", str(self.folder / "journal"), "--recover", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        parts = report["components"]
        self.assertEqual(set(parts), {"books", "accounts", "venue", "risk", "strategy", "journal",
                                      "recovery", "feed-0", "feed-1"})
        for part in parts.values():
            self.assertEqual((part["state"], part["health"], part["reason"]), ("stopped", "ok", ""))
        self.assertGreater(parts["feed-0"]["start_ns"], 0)
        refused = report["subscriptions"]["risk"]["handled"] - report["orders"]["new"]
        # Each start and each stop is told; so may be others' doings.
        self.assertGreaterEqual(report["domains"]["system"]["dispatched"], 2 * len(parts) + refused)

    def test_another_input_gives_another_hash(self):
        hashes = {self.report("--input", f"synthetic:{seed}", "--limit", "5000")["output_hash"]
                  ["market_data"] for seed in (1, 2, 3)}
        self.assertEqual(len(hashes), 3)

    def test_repeat_publishes_again_after_clearing_the_books(self):
        once = self.report("--limit", "20000")
        thrice = self.report("--limit", "20000", "--repeat", "3")
        self.assertEqual(thrice["inputs"], once["inputs"])
        self.assertEqual(messages(thrice), 3 * 20000 + 2 * 8)
        self.assertEqual(thrice["books"], once["books"])
        self.assertEqual(self.report("--limit", "20000", "--repeat=3")["output_hash"]["market_data"],
                         thrice["output_hash"]["market_data"])

    def test_same_symbols_of_two_inputs_have_two_books(self):
        report = self.report("--input", "synthetic:1", "--input", "synthetic:1", "--limit", "30000")
        self.assertEqual(len(report["books"]), 16)
        for name, book in report["books"].items():
            self.assertEqual(book, report["books"][name.partition("#")[0]])

    def test_no_hash(self):
        report = self.report("--limit", "1000", "--no-hash")
        self.assertEqual(report["output_hash"], {})

    def test_rate_paces(self):
        report = self.report("--limit", "1000", "--rate", "2000")
        self.assertGreaterEqual(report["elapsed_s"], 0.4995)
        self.assertEqual(messages(report), 1000)

    def test_one_cpu_is_enough(self):
        if shutil.which("taskset") is None:
            self.skipTest("no taskset")
        cpu = min(os.sched_getaffinity(0))
        report = self.report("--input", "synthetic:1", "--input", "synthetic:2",
                             prefix=["taskset", "-c", str(cpu)])
        self.assertEqual(messages(report),
                         sum(entry["messages"] for entry in report["inputs"]))

    def test_a_burst_is_whole(self):
        """A recorded day, its busiest second a hundred times as dense."""
        spec = self.spec(AAPL)
        plain = self.report("--input", spec)
        dense = self.report("--input", spec, "--speed", "10000x", "--burst", "100", "--ladder")
        self.assertEqual(messages(dense), messages(plain))
        self.assertEqual(dense["books"], plain["books"])
        self.assertEqual(dense["positions"].keys(), plain["positions"].keys())
        step = {}
        for change in dense["ladder"]:
            where = (change["domain"], change["shard"])
            self.assertEqual(change["step_before"], step.get(where, 0))
            self.assertEqual(abs(change["step"] - change["step_before"]), 1)
            step[where] = change["step"]
        for name in DOMAINS:  # whatever the load: no order and no fill pays
            for priority in ("CRITICAL", "HIGH"):
                lane = dense["lanes"][name][priority]
                self.assertEqual(lane["conflated"] + lane["shed"] + lane["throttled"], 0)
        lane = dense["lanes"]["market_data"]["NORMAL"]
        self.assertEqual(lane["conflated"] + lane["shed"] + lane["throttled"], 0)

    def test_burst_and_ladder_in_words(self):
        done = run("--limit", "1000", "--ladder")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("Ladder", "conflated", "shed", "throttled"):
            self.assertIn(word, done.stdout)
        for arguments, sentence in ((("--burst", "0"), "whole number of at least 1"),
                                    (("--burst", "2", "--rate", "5"), "leave out --rate"),
                                    (("--burst", "9999999"), "at most 1000000"),
                                    (("--ladder", "--deterministic"), "has no load")):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(sentence, done.stderr)

    def test_words(self):
        done = run("--limit", "30000")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("Plan", "market_data", "Inputs", "Books", "ALDER", "Orders", "Tick to order",
                     "Throughput", "Conservation   ok"):
            self.assertIn(word, done.stdout)


class Ends(Case):
    def test_duration_drains_and_reports(self):
        report = self.report("--repeat", "--duration", "500ms")
        self.assertGreater(messages(report), 0)
        self.assertGreaterEqual(report["elapsed_s"], 0.5)

    def test_duration_ends_a_slow_run(self):
        report = self.report("--speed", "1x", "--duration", "0.3")
        self.assertLess(messages(report),
                        report["inputs"][0]["messages"])

    def test_duration_ends_a_deterministic_run(self):
        report = self.report("--deterministic", "--repeat", "--duration", "0.3s")
        self.assertGreater(messages(report), 0)

    @staticmethod
    def blocks(process, number):
        """Before the inputs are read a signal just ends the process."""
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        return any(line.startswith("SigBlk:") and int(line.split()[1], 16) >> (number - 1) & 1
                   for line in status.splitlines())

    @staticmethod
    def feeds(process):
        """However long the bus takes to start; a deterministic run has no such thread."""
        for name in pathlib.Path(f"/proc/{process.pid}/task").glob("*/comm"):
            try:
                if name.read_text(encoding="utf-8") == "feed-0\n":
                    return True
            except OSError:  # a thread that has ended
                pass
        return False

    def wait_until_it_runs(self, process, number, has_feeds=True):
        deadline = time.monotonic() + 60
        while process.poll() is None and not (
                self.blocks(process, number) and (not has_feeds or self.feeds(process))):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def check_signal(self, number, *arguments):
        with subprocess.Popen([HOTLANE, "run", "--json", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            self.wait_until_it_runs(process, number, "--deterministic" not in arguments)
            time.sleep(1.0)  # of its messages
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, ""))
        report = json.loads(out)
        self.check_report(report)
        self.assertGreater(messages(report), 0)

    def test_ctrl_c_drains_and_reports(self):
        self.check_signal(signal.SIGINT, "--repeat")

    def test_term_drains_and_reports(self):
        self.check_signal(signal.SIGTERM, "--repeat", "--rate", "1000")

    def test_ctrl_c_in_a_long_wait(self):
        self.check_signal(signal.SIGINT, "--speed", "1x")

    def test_two_signals_leave_a_report(self):
        """Whether the run was through when the second came or not."""
        with subprocess.Popen([HOTLANE, "run", "--json", "--repeat"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            self.wait_until_it_runs(process, signal.SIGINT)
            time.sleep(0.5)  # of its messages
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        self.assertIn(process.returncode, (0, 1), err)
        report = json.loads(out)
        self.assertEqual([key for key in report if key not in ("ladder", "left")], TOP_KEYS)
        if process.returncode == 0:
            self.check_report(report)

    def test_ctrl_c_in_a_deterministic_run(self):
        self.check_signal(signal.SIGINT, "--deterministic", "--repeat")


class BadInput(Case):
    def refused(self, spec, *needles, arguments=(), user=None):
        done = run("--json", "--input", spec, *arguments, user=user)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for needle in needles:
            self.assertIn(needle, done.stderr)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    @staticmethod
    def itch(count):
        system_event = b"S" + struct.pack(">HH", 0, 0) + (10**12).to_bytes(6, "big") + b"O"
        return (struct.pack(">H", len(system_event)) + system_event) * count

    def test_no_such_file(self):
        self.refused(f"itch:{self.folder}/none.itch", "none.itch")

    def test_a_directory(self):
        self.refused(f"lobster:{self.folder}", str(self.folder))

    def test_no_permission(self):
        path = self.write("locked.itch", self.itch(3))
        path.chmod(0)
        if os.geteuid() != 0:
            self.refused(f"itch:{path}", "locked.itch", "Permission denied")
            return
        self.folder.chmod(0o755)  # root may read everything: another than root asks
        try:
            self.refused(f"itch:{path}", "locked.itch", "Permission denied", user=65534)
        except PermissionError as error:
            self.skipTest(f"only root may be here: {error}")

    def test_an_empty_file(self):
        for scheme in ("itch", "lobster", "dbn"):
            self.refused(f"{scheme}:{self.write('empty', b'')}", "empty")

    def test_wrong_magic(self):
        self.refused(f"dbn:{self.write('text.dbn', 'no such thing at all, really not')}",
                     "text.dbn")

    def test_a_truncated_file(self):
        path = self.write("cut.itch", self.itch(10)[:-5])
        self.refused(f"itch:{path}", "cut.itch", "byte 126", "9 messages")

    def test_garbage_in_the_middle(self):
        path = self.write("bent.itch", self.itch(5) + b"\xff" * 50 + self.itch(5))
        self.refused(f"itch:{path}", "bent.itch", "byte 70")
        report = self.report("--input", f"itch:{path}", "--max-errors", "1")
        self.assertEqual(report["inputs"][0]["bad_records"], 1)
        self.assertEqual(report["inputs"][0]["messages"], 10)

    def test_an_unknown_type(self):
        unknown = b"\x00\x0c" + b"~" + self.itch(1)[3:]
        path = self.write("odd.itch", self.itch(4) + unknown + self.itch(4))
        self.refused(f"itch:{path}", "odd.itch", "byte 56")

    def test_bad_lines(self):
        good = "34200.1,1,11,100,5859400,1\n"
        for bad in ("34200.2,1,12,100,5859400\n", "34200.2,1,12,ten,5859400,1\n",
                    "34200.2,1,12,-100,5859400,1\n", "34200.2,9,12,100,5859400,1\n"):
            path = self.write("TEST_day_message_1.csv", good + bad + good.replace("11", "13"))
            self.refused(f"lobster:{path}", "TEST_day_message_1.csv:2:")
            report = self.report("--input", f"lobster:{path}", "--max-errors", "5")
            self.assertEqual(report["inputs"][0]["bad_records"], 1)
            self.assertEqual(report["inputs"][0]["messages"], 2)

    def test_the_second_input_is_bad(self):
        done = run("--input", "synthetic:1", "--input", f"itch:{self.folder}/none", "--json")
        self.assertEqual((done.returncode, done.stdout), (1, ""))


class Acknowledge(Case):
    def test_a_file_that_takes_no_more_fails_the_run(self):
        done = run("--limit", "1000", "--journal", str(self.folder / "journal"),
                   "--acknowledge", "/dev/full")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("/dev/full: cannot be written: No space left", done.stderr)
        self.assertIn("Conservation   ok", done.stdout)


class Plan(Case):
    def test_a_placement_by_hand_is_in_the_report(self):
        cpu = min(os.sched_getaffinity(0))
        lcores = f"(order,market_data,feed-0,housekeeping)@{cpu}"
        plan = self.report("--limit", "1000", "--lcores", lcores)["plan"]
        by_name = {thread["name"]: thread for thread in plan["threads"]}
        self.assertEqual({by_name[name]["cpu"] for name in ("order", "market_data", "feed-0")}, {cpu})
        self.assertIn("order", by_name["market_data"]["shares_core_with"])
        self.assertIsNone(self.report("--limit", "1000", "--deterministic")["plan"])


class Usage(Case):
    def wrong(self, *arguments, needle=""):
        done = run(*arguments)
        self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
        self.assertEqual(done.stdout, "")
        self.assertIn("hotlane run: ", done.stderr)
        self.assertIn(needle, done.stderr)

    def test_help(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--input", "--config", "--lcores", "--speed", "--rate", "--limit",
                       "--deterministic", "--repeat", "--duration", "--json", "--max-errors"):
            self.assertIn(option, done.stdout)

    def test_wrong_usage_says_what_would_be_right(self):
        self.wrong("--speed", "fast", needle="10x")
        self.wrong("--speed", "-1x", needle="10x")
        self.wrong("--speed", "0x", needle="10x")
        self.wrong("--limit", "0", needle="--limit")
        self.wrong("--limit", "3.5", needle="--limit")
        self.wrong("--limit", "99999999999999999999", needle="--limit")
        self.wrong("--rate", "-5", needle="--rate")
        self.wrong("--repeat=x", needle="--repeat")
        self.wrong("--duration", "soon", needle="500ms")
        self.wrong("--duration", "0", needle="500ms")
        self.wrong("--deterministic=x", needle="--deterministic")
        self.wrong("--max-errors", "many", needle="--max-errors")
        self.wrong("--input", needle="--input")
        self.wrong("--what", needle="--what")
        self.wrong("something", needle="something")
        self.wrong("--rate", "5", "--speed", "1x", needle="--speed")
        self.wrong("--deterministic", "--speed", "1x", needle="--speed")
        self.wrong("--input", "ouch:file", needle="ouch")
        self.wrong("--input", "synthetic:abc", needle="abc")


class Configuration(Case):
    def setUp(self):
        super().setUp()
        path = self.folder / "empty.yaml"
        path.write_text("max_topics: 1000\n", encoding="utf-8")
        done = run("--config", str(path), "--limit", "10")
        if "lacks" in done.stderr:
            self.skipTest("this build reads no YAML")

    def test_a_file_with_shards(self):
        path = self.folder / "bus.yaml"
        lines = ["domains:"]
        publishes_to = {"market_data": "market_data, signal", "signal": "order, system", "order": "order, fill",
                        "fill": "account, signal, system", "account": "", "system": ""}
        for name in DOMAINS:
            lines += [f"  - name: {name}", "    shards: 2",
                      f"    publishes_to: \"{publishes_to[name]}\""]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        checked = subprocess.run([HOTLANE, "check", str(path)], capture_output=True, text=True,
                                 timeout=60, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        report = self.report("--config", str(path), "--limit", "50000")
        self.assertEqual(messages(report), 50000)
        self.assertTrue(all(book["exact"] for book in report["books"].values()))

    def test_books_and_orders_are_whole_at_every_step_of_the_ladder(self):
        path = self.folder / "bus.yaml"
        path.write_text("log_level: nothing\n"
                        "ladder:\n  arrivals_per_s: 1\n  step_up_ns: 0\n  down_pct: 1\n",
                        encoding="utf-8")
        synthetic = ("--input", "synthetic:1", "--limit", "40000")
        plain = self.report(*synthetic)
        report = self.report(*synthetic, "--config", str(path), "--rate", "20000", "--ladder")
        steps = [change["step"] for change in report["ladder"]
                 if change["domain"] == "market_data"]
        self.assertEqual(steps, [1, 2, 3, 4])
        self.assertEqual(messages(report), 40000)
        self.assertEqual(report["books"], plain["books"])
        self.assertTrue(all(book["exact"] for book in report["books"].values()))
        quotes = report["lanes"]["market_data"]["LOW"]
        self.assertGreater(quotes["throttled"], 0, "state topics pay")
        self.assertEqual(report["quotes"]["told"], quotes["committed"])
        for name in DOMAINS:
            for priority in ("CRITICAL", "HIGH", "NORMAL"):
                lane = report["lanes"][name][priority]
                self.assertEqual(lane["conflated"] + lane["shed"] + lane["throttled"], 0,
                                 f"{name} {priority}")
        orders = report["orders"]
        self.assertGreater(orders["new"], 0)
        self.assertEqual(orders["new"], orders["acked"] + orders["rejected"])
        self.assertEqual(orders["acked"], orders["filled"] + orders["cancelled"])

    def test_what_is_said_is_the_files_word_and_the_options_above_it(self):
        path = self.folder / "bus.yaml"
        said = "hotlane: info: components: "
        for level, option, is_said in (("info", (), True), ("info", ("--log", "nothing"), False),
                                       ("nothing", (), False), ("nothing", ("--log", "info"), True)):
            path.write_text(f"log_level: {level}\n", encoding="utf-8")
            done = run("--config", str(path), "--limit", "1000", *option)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(said in done.stderr, is_said, f"{level} {option}: {done.stderr}")
        self.assertNotIn(said, run("--limit", "1000").stderr)

    def test_a_file_without_a_domain_of_the_pipeline(self):
        path = self.folder / "bus.yaml"
        path.write_text("domains:\n  - name: market_data\n", encoding="utf-8")
        done = run("--config", str(path), "--limit", "1000")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("'signal'", done.stderr)

    def test_a_file_whose_domains_cannot_carry_the_pipeline(self):
        path = self.folder / "bus.yaml"
        lines = ["domains:"]
        for name in DOMAINS:
            lines += [f"  - name: {name}", '    publishes_to: "system"']
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = run("--config", str(path), "--limit", "1000")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("'market_data' does not publish to 'market_data'", done.stderr)

    def test_a_file_that_is_wrong(self):
        path = self.folder / "bus.yaml"
        path.write_text("max_topics: -3\n", encoding="utf-8")
        done = run("--config", str(path))
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("bus.yaml:1:", done.stderr)

    def test_a_file_that_is_not_there(self):
        done = run("--config", str(self.folder / "none.yaml"))
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("none.yaml: cannot be opened", done.stderr)

    def test_a_wrong_placement_in_a_file_has_its_place(self):
        path = self.folder / "bus.yaml"
        path.write_text("lcores: nobody@0\n", encoding="utf-8")
        for command in ("run", "topology", "check"):
            file = [str(path)] if command == "check" else ["--config", str(path)]
            done = subprocess.run([HOTLANE, command, *file], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout), (1 if command == "check" else 2, ""))
            self.assertIn("bus.yaml:1:9: lcores: column 1: no thread", done.stderr)
        done = run("--config", str(path), "--lcores", "no-one@0")
        self.assertEqual(done.returncode, 2)
        self.assertIn("hotlane run: lcores: column 1: no thread", done.stderr)

    def test_a_wrong_placement(self):
        done = run("--lcores", "order@100000")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("100000", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
