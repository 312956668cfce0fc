"""The command line of scripts/run_table.py."""

import argparse
import os
import pathlib
import sys

from fathom_tables import (TableError, debian_text, estimate, execution, plan as plans, program as programs, report,
                           resolved, runs as table_runs, texts)

ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     prog="run_table", allow_abbrev=False)
    path, words = pathlib.Path, lambda text: text.split(",")
    parser.add_argument("plan", type=path, help="a YAML of configs/tables")
    parser.add_argument("--scale", required=True, help="a scale of the plan: nano, small, paper")
    parser.add_argument("--text", type=path, nargs="+", metavar="PATH",
                        help="text files or folders to train on (default: the plan's, downloaded where it is missing)")
    parser.add_argument("--validation", type=path, nargs="+", metavar="PATH", default=[],
                        help="held-out text (default: files with 'validation' in their names, or a twentieth)")
    parser.add_argument("--tokenizer", type=path, metavar="FILE", help="SentencePiece .model (default: the plan's)")
    parser.add_argument("--out", type=path, metavar="DIR",
                        help="default: out/PLAN/SCALE; the table of --embedding-std X goes to its folder embedding-X")
    parser.add_argument("--embedding-std", type=float, metavar="X",
                        help="start of the embeddings (default: the config's)")
    parser.add_argument("--rows", type=words, metavar="A,B", help="only these rows")
    parser.add_argument("--columns", type=words, metavar="A,B", help="only these sizes")
    parser.add_argument("--seeds", type=int, metavar="N", help="only the first so many seeds, or more: 1, 2, 3, ...")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="runs at once (default: cores over train.threads, else 1)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and take, and stop")
    parser.add_argument("--check", action="store_true", help="say what is wrong with the command line, and stop")
    parser.add_argument("--train-llm", type=path, default=ROOT / "build" / "release" / "train-llm", metavar="FILE")
    options = parser.parse_args()
    for name in ("seeds", "jobs"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; it must be at least 1")
    return options


class Table:
    """A plan, and what of it the command line chooses."""

    def __init__(self, options):
        chosen = lambda names, allowed, what: [plans.choose(name, allowed, what) for name in names or allowed]
        self.options = options
        self.plan = plans.load(options.plan, options.scale)
        self.rows = chosen(options.rows, self.plan.rows, "--rows")
        self.columns = chosen(options.columns, self.plan.scale["columns"], "--columns")
        planned = self.plan.scale["seeds"]
        self.seeds = planned[:options.seeds] + list(range(len(planned) + 1, (options.seeds or 0) + 1))
        self.extra = {}
        self.start = "the config's"
        self.folder = self.reports = options.out or ROOT / "out" / options.plan.stem / options.scale
        if options.embedding_std is not None:  # tables beside each other; they share text, tokenizer and runs
            self.start = f"{options.embedding_std:g}"
            self.extra = {"model": {"init": {"embedding_std": options.embedding_std}}}
            self.reports = self.folder / f"embedding-{self.start}"
        self.declared_text = None if options.text else texts.declared(self.plan, ROOT)

    def first_config(self):
        return plans.merge(self.plan.config(self.columns[0], self.rows[0]), self.extra)

    def require_text(self):
        if not self.options.text and not self.declared_text:
            raise TableError(f"--text is missing; scale {self.plan.scale_name} needs text of yours")

    def text(self, program):
        """The text, once it is there."""
        paths = self.options.text or [debian_text.fetch(self.declared_text)]
        return texts.find(program, paths, self.options.validation, self.folder / "text")

    def data(self, program, text):
        """Tokenizer and token files, made where they are missing."""
        model = texts.tokenizer(program, self.plan, self.options.tokenizer, text, self.folder)
        return texts.prepare(program, self.first_config(), text, model, self.folder)

    def runs(self, program, data):
        return table_runs.plan_runs(program, self.plan, self.rows, self.columns, self.seeds, self.extra, data,
                                    self.folder)

    def notes(self, program):
        """What the table says of how it was made."""
        first = resolved.resolve(program, self.first_config(), self.folder)
        words = {"standard deviation of the embeddings at the start": self.start, "machine": report.machine(program)}
        if len(self.columns) == 1:
            words["each run"] = (f"{first.steps:,} steps of {first.whole('train.global_batch_size')} rows of "
                                 f"{first.whole('data.sequence_length')} tokens, peak learning rate "
                                 f"{first.number('optimizer.lr'):g}")
        if self.declared_text:
            words["text from"] = f"{self.declared_text.title}, SHA-256 {self.declared_text.sha256}"
        return words


def default_jobs(runs):
    threads = max(run.resolved.whole("train.threads") or 0 for run in runs)
    return max(1, len(os.sched_getaffinity(0)) // threads) if threads else 1


def say_text(table):
    """(bytes, whether packed) of text that isn't there, after saying so."""
    if table.declared_text:
        print(f"text: {table.declared_text.words()}")
        return table.declared_text.bytes, False
    print("text: yours to give, by --text PATH; what its token files take is not counted")
    return 0, False


def dry_run(table, program):
    """Says what would run. Text that would be downloaded isn't, and no tokenizer is trained."""
    data = None
    if table.options.text or (table.declared_text and table.declared_text.is_there()):
        text = table.text(program)
        data = table.data(program, text) if texts.was_prepared(table.folder) else None
        size, packed = text.bytes(), text.is_packed()
    else:
        size, packed = say_text(table)
    runs = table.runs(program, data)
    estimate.say(program, table.plan, runs, table.options.jobs or default_jobs(runs), size, packed, table.folder)


def run(table, program):
    table.reports.mkdir(parents=True, exist_ok=True)
    text = table.text(program)
    data = table.data(program, text)
    runs = table.runs(program, data)
    jobs = table.options.jobs or default_jobs(runs)
    estimate.say(program, table.plan, runs, jobs, text.bytes(), text.is_packed(), table.folder)
    about = table.notes(program)

    def on_done(done, left):
        result = done.result()
        found = f"diverged at step {result['step']}" if result["status"] == "diverged" else f"loss {result['loss']}"
        print(f"{done.name()}: {found}, {result['seconds']:.0f} s; {left} to go", flush=True)
        report.write(table.reports, table.plan, runs, data, about)

    execution.run_all(program, runs, data, jobs, on_done)
    report.write(table.reports, table.plan, runs, data, about)
    print(f"{table.reports / 'table.md'}, table.csv and runs.csv are written")


def main(description):
    options = arguments(description)
    table = Table(options)
    if not options.dry_run:
        table.require_text()
    if options.check:
        return
    if options.dry_run and not options.train_llm.is_file():
        if not options.text:
            say_text(table)
        estimate.say_unbuilt(table.plan, table.rows, table.columns, table.seeds)
        return
    program = programs.Program(options.train_llm)
    table.folder.mkdir(parents=True, exist_ok=True)
    (dry_run if options.dry_run else run)(table, program)


def run_as_program(description):
    """main, with an exit code and one line for what ends it."""
    try:
        main(description)
    except TableError as error:
        print(f"run_table: error: {error}", file=sys.stderr)
        sys.exit(error.code)
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("run_table: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
