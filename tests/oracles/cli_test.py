"""Runs train-llm as a user does: output, exit codes, one-line errors, signals, broken pipes."""

import fcntl
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import termios
import time
import unittest

import support

OPTIONS = support.arguments(__doc__)
F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ from Python 3.10 on


def run(*words, **options):
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run([OPTIONS.train_llm, *words], text=True, timeout=60, **{**streams, **options})


class Help(unittest.TestCase):
    def test_the_overview_names_every_command_and_each_has_help(self):
        overview = run("--help")
        self.assertEqual((overview.returncode, overview.stderr), (0, ""))
        listing = overview.stdout.split("Commands:\n")[1].split("\n\n")[0]
        names = [re.split(r"\s{2,}", line.strip())[0] for line in listing.splitlines()]
        self.assertIn("list", names)
        self.assertIn("schema", names)
        for name in names:
            shown = run(*name.split(), "--help")
            self.assertEqual((shown.returncode, shown.stderr), (0, ""), name)
            self.assertIn(f"Usage: train-llm {name}", shown.stdout)
            self.assertRegex(shown.stdout, rf"Example:\n  .*train-llm {name}")

    def test_the_version_is_the_one_in_version_h(self):
        for word in ("--version", "version"):
            shown = run(word)
            self.assertEqual((shown.returncode, shown.stderr), (0, ""))
            self.assertRegex(shown.stdout, r"\Afathom \d+\.\d+\.\d+")

    def test_every_way_to_ask_for_help_gives_the_same(self):
        for ways in ([["--help"], ["-h"], ["help"]], [["train", "--help"], ["train", "smoke", "-h"], ["help", "train"]],
                     [["tokenizer", "--help"], ["help", "tokenizer"]],
                     [["tokenizer", "encode", "-h"], ["help", "tokenizer", "encode"]]):
            texts = {run(*way).stdout for way in ways}
            self.assertEqual(len(texts), 1, ways)
            self.assertIn("Usage: train-llm", texts.pop())
        self.assertIn("did you mean 'train'", run("help", "trian").stderr)


class Completion(unittest.TestCase):
    """The script in a shell, given the words of a line as the shell would split them."""

    def setUp(self):
        self.script = run("completion", "bash").stdout
        self.keys = list(self.leaves(json.loads(run("schema").stdout)["properties"], ""))

    def leaves(self, properties, path):
        for name, part in properties.items():
            if "properties" in part:
                yield from self.leaves(part["properties"], f"{path}{name}.")
            elif name != "extends":
                yield path + name

    def complete(self, *words, shell=("bash", "--norc")):
        quoted = " ".join(f"'{word}'" for word in ("train-llm", *words))
        asked = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _train_llm; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        shown = subprocess.run([*shell, "-c", self.script + asked], text=True, capture_output=True, timeout=60, cwd="/")
        self.assertEqual(shown.stderr, "")
        return [line for line in shown.stdout.split("\n") if line]

    def test_commands(self):
        overview = run("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
        names = {line.split()[0] for line in overview.splitlines()}
        self.assertEqual(set(self.complete("")), names)
        self.assertEqual(self.complete("verify"), ["verify-resume"])
        self.assertEqual(set(self.complete("tokenizer", "")), {"train", "encode", "decode", "checksum"})
        self.assertEqual(set(self.complete("help", "")), names)

    def test_flags_and_their_values(self):
        shown = set(re.findall(r"^  (--[a-z0-9-]+)", run("eval", "--help").stdout, re.MULTILINE))
        self.assertEqual(set(self.complete("eval", "out", "--")), shown)
        self.assertEqual(self.complete("tokenizer", "train", "a.txt", "--voc"), ["--vocab-size"])
        self.assertEqual(self.complete("eval", "out", "--mode", ""), ["packed", "documents"])
        self.assertEqual(self.complete("train", "smoke", "--resume", "=", "n"), ["never"])

    def test_presets_keys_and_their_values(self):
        presets = {row["name"] for row in json.loads(run("list", "presets", "--json").stdout)}
        self.assertLessEqual(presets, set(self.complete("train", "")))
        self.assertEqual(set(self.complete("plan", "smoke", "optimizer.")),
                         {f"{key}=" for key in self.keys if key.startswith("optimizer.")})
        self.assertLessEqual({f"--{key}=" for key in self.keys}, set(self.complete("plan", "smoke", "--")))
        placements = [row["name"] for row in json.loads(run("list", "placements", "--json").stdout)]
        self.assertEqual(self.complete("train", "smoke", "model.norm.placement", "="), placements)
        self.assertEqual(self.complete("train", "smoke", "model.norm.placement", "=", "sand"), ["sandwich"])
        self.assertEqual(self.complete("train", "smoke", "log.tensorboard", "=", "f"), ["false"])
        self.assertEqual(self.complete("train", "smoke", "model.norm.placement=sand"), ["model.norm.placement=sandwich"])

    def test_files_where_a_file_may_stand(self):
        self.assertIn("usr", self.complete("generate", "us"))
        self.assertIn("usr", self.complete("train", "smoke", "data.train", "=", "us"))
        self.assertIn("usr", self.complete("eval", "out", "--text", "us"))

    def test_what_to_list(self):
        tables = re.search(r"Usage: train-llm list (\S+)", run("list", "--help").stdout).group(1).split("|")
        self.assertEqual(self.complete("list", ""), tables)


class List(unittest.TestCase):
    def rows(self, what):
        shown = run("list", what, "--json")
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        return json.loads(shown.stdout)

    def test_json_is_a_list_of_objects_with_a_name(self):
        for what in ("placements", "inits", "optimizers", "schedules", "presets", "formats"):
            rows = self.rows(what)
            self.assertTrue(rows)
            for row in rows:
                self.assertTrue(row["name"] and row["summary"], row)
            text = run("list", what).stdout.splitlines()
            self.assertEqual([line.split()[0] for line in text], [row["name"] for row in rows])

    def test_the_placements_of_table_1_and_the_sizes_of_the_paper_are_there(self):
        placements = {row["name"] for row in self.rows("placements")}
        self.assertLessEqual({"pre", "post", "mix", "deepnorm", "deepnorm_released", "lns"}, placements)
        presets = {row["name"] for row in self.rows("presets")}
        self.assertLessEqual({"9m", "60m", "71m", "130m", "250m", "350m", "1b", "7b", "quickstart", "smoke"}, presets)


class Usage(unittest.TestCase):
    CASES = [
        ([], "a command is missing"),
        (["lst"], "did you mean 'list'"),
        (["--nosuch"], "the command is '--nosuch'"),
        (["list"], "list needs more arguments"),
        (["list", "placement"], "did you mean 'placements'"),
        (["list", "presets", "inits"], "unexpected argument 'inits'"),
        (["list", "presets", "--jsn"], "did you mean --json"),
        (["list", "presets", "--json=1"], "takes no value"),
        (["list", "presets", "-j"], "flags start with two dashes"),
        (["schema", "x"], "unexpected argument 'x'"),
        (["schema", "a.b=c"], "unexpected argument 'a.b=c'"),
        (["a\nb"], "the command is 'a b'"),
        (["eval", "out"], "--text is missing"),
        (["prepare", "/etc/hosts"], "--tokenizer and --output are missing"),
        (["prepare", "/etc"], "--tokenizer and --output are missing"),
        (["prepare", "/etc/hosts", "--tokenizer", "/etc/hosts"], "--output is missing"),
    ]

    def test_a_wrong_command_line_ends_with_code_2_and_one_line(self):
        for words, expected in self.CASES:
            with self.subTest(words=words):
                shown = run(*words)
                self.assertEqual((shown.returncode, shown.stdout), (2, ""))
                self.assertEqual(shown.stderr.count("\n"), 1, shown.stderr)
                self.assertTrue(shown.stderr.startswith("train-llm: "), shown.stderr)
                self.assertIn(expected, shown.stderr)


class Streams(unittest.TestCase):
    def test_output_that_cannot_be_written_is_a_disk_error(self):
        with open("/dev/full", "w") as full:
            shown = run("list", "presets", stdout=full)
        self.assertEqual((shown.returncode, shown.stderr), (6, "train-llm: can't write to stdout: No space left on device\n"))
        shown = subprocess.run(["sh", "-c", f"'{OPTIONS.train_llm}' list presets >&-"], text=True, stderr=subprocess.PIPE)
        self.assertEqual((shown.returncode, shown.stderr), (6, "train-llm: can't write to stdout: Bad file descriptor\n"))

    def test_a_closed_pipe_is_an_error_and_not_a_death_by_signal(self):
        reading, writing = os.pipe()
        os.close(reading)
        shown = run("schema", stdout=writing)
        os.close(writing)
        self.assertEqual((shown.returncode, shown.stderr), (6, "train-llm: can't write to stdout: Broken pipe\n"))

    def test_a_closed_stderr_changes_no_exit_code(self):
        for words, code in (("list presets", 0), ("lst", 2)):
            ended = subprocess.run(["sh", "-c", f"'{OPTIONS.train_llm}' {words} 2>&-"], stdout=subprocess.DEVNULL)
            self.assertEqual(ended.returncode, code)

    def test_all_three_streams_may_be_closed(self):
        ended = subprocess.run(["sh", "-c", f"'{OPTIONS.train_llm}' list presets <&- >&- 2>&-"])
        self.assertEqual(ended.returncode, 6)


class Signals(unittest.TestCase):
    def blocked(self, **environment):
        """A command whose output nobody reads, once its pipe is full."""
        reading, writing = os.pipe()
        fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
        process = subprocess.Popen([OPTIONS.train_llm, "schema"], stdout=writing, stderr=subprocess.PIPE,
                                   env={"LANG": "C", **environment})
        os.close(writing)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(os.close, reading)
        unread = struct.pack("i", 0)
        while struct.unpack("i", unread)[0] < 4096:
            time.sleep(0.05)
            unread = fcntl.ioctl(reading, termios.FIONREAD, unread)
        return process

    def test_the_second_signal_after_a_second_ends_the_process(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            together = False
            while not together:  # on a busy machine more than a second may lie between the two
                process, began = self.blocked(), time.monotonic()
                process.send_signal(number)
                time.sleep(0.1)
                process.send_signal(number)  # torchrun's copy of the same Ctrl-C
                together = time.monotonic() - began < 0.9
            time.sleep(0.2)
            self.assertIsNone(process.poll(), "two signals at once are one request")
            time.sleep(1)
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=30), 128 + number)

    def test_threads_wait_a_little_and_sleep_unless_the_environment_says_how(self):
        def waiting(**environment):
            process = self.blocked(**environment)
            proc = pathlib.Path("/proc", str(process.pid))
            self.assertEqual((proc / "comm").read_text(), OPTIONS.train_llm.name + "\n")
            words = (proc / "environ").read_text().split("\0")
            return {word for word in words if word.startswith(("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"))}
        (bound,) = waiting()
        self.assertLess(int(bound.removeprefix("GOMP_SPINCOUNT=")), 300000)  # libgomp's own
        for name, value in (("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "active")):
            self.assertEqual(waiting(**{name: value}), {f"{name}={value}"})


if __name__ == "__main__":
    unittest.main(argv=["cli_test.py"])
