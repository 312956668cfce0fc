"""Runs a table of the paper: every row, size and seed of a plan, beside the paper's numbers.

What has run is not run again: a run is known by its config and the checksum of its data. Stop it at any time; the same
command goes on. A run whose loss stops being finite is a result, too. Writes table.md, table.csv and runs.csv.
"""

import argparse
import os
import pathlib
import sys

from tables import TableError, estimate, plan as plans, program as programs, report, runs as table_runs, text as texts

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     prog="run_table", allow_abbrev=False)
    path, words = pathlib.Path, lambda text: text.split(",")
    parser.add_argument("plan", type=path, help="a YAML of configs/tables")
    parser.add_argument("--scale", required=True, help="a scale of the plan: nano, small, paper")
    parser.add_argument("--text", type=path, nargs="+", metavar="PATH", help="text files or folders to train on")
    parser.add_argument("--validation", type=path, nargs="+", metavar="PATH", default=[],
                        help="held-out text (default: files with 'validation' in their names, or a twentieth)")
    parser.add_argument("--tokenizer", type=path, metavar="FILE", help="SentencePiece .model (default: as the plan says)")
    parser.add_argument("--out", type=path, metavar="DIR",
                        help="default: out/PLAN/SCALE; the table of --embedding-std X goes to its folder embedding-X")
    parser.add_argument("--embedding-std", type=float, metavar="X", help="start of the embeddings (default: the config's)")
    parser.add_argument("--rows", type=words, metavar="A,B", help="only these rows")
    parser.add_argument("--columns", type=words, metavar="A,B", help="only these sizes")
    parser.add_argument("--seeds", type=int, metavar="N", help="only the first so many seeds, or more: 1, 2, 3, ...")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at once (default: cores over train.threads, else 1)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and take, and stop")
    parser.add_argument("--check", action="store_true", help="say what is wrong with the command line, and stop")
    parser.add_argument("--train-llm", type=path, default=ROOT / "build" / "release" / "train-llm", metavar="FILE")
    options = parser.parse_args()
    for name in ("seeds", "jobs"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; it must be at least 1")
    return options


def chosen(names, allowed, what):
    return [plans.choose(name, allowed, what) for name in names] if names else list(allowed)


def default_jobs(plan):
    threads = plan.scale.get("config", {}).get("train", {}).get("threads")
    return max(1, len(os.sched_getaffinity(0)) // threads) if threads else 1


def text_paths(options, plan):
    if options.text:
        return options.text
    if not plan.scale.get("text"):
        raise TableError(f"--text is missing; scale {plan.scale_name} needs text of yours")
    path = ROOT / plan.scale["text"]
    if not path.exists():
        raise TableError(f"{plan.scale['text']} is not there; give --text PATH", 3)
    return [path]


def report_folder(options, folder):
    """Tables of another start lie beside each other: text, tokenizer and runs are shared."""
    return folder if options.embedding_std is None else folder / f"embedding-{options.embedding_std:g}"


def notes(options, plan, program):
    """What the table says of how it was made."""
    start = "the config's" if options.embedding_std is None else f"{options.embedding_std:g}"
    config = plan.config(next(iter(plan.scale["columns"])), next(iter(plan.rows)), 1)
    train = config.get("train", {})
    words = {"standard deviation of the embeddings at the start": start, "machine": report.machine(program)}
    if "max_steps" in train and "sequence_length" in config.get("data", {}):
        words["each run"] = (f"{train['max_steps']:,} steps of {train['global_batch_size']} rows of "
                             f"{config['data']['sequence_length']} tokens, peak learning rate {config['optimizer']['lr']:g}")
    return words


def main():
    options = arguments()
    plan = plans.load(options.plan, options.scale)
    rows = chosen(options.rows, plan.rows, "--rows")
    columns = chosen(options.columns, plan.scale["columns"], "--columns")
    planned = plan.scale["seeds"]
    seeds = planned[:options.seeds] + list(range(len(planned) + 1, (options.seeds or 0) + 1))
    jobs = options.jobs or default_jobs(plan)
    if options.check:
        text_paths(options, plan)
        return
    if options.dry_run and not options.train_llm.is_file():
        estimate.say_unbuilt(plan, rows, columns, seeds, ROOT / "configs")
        return
    program = programs.Program(options.train_llm)
    folder = options.out or ROOT / "out" / options.plan.stem / options.scale
    reports = report_folder(options, folder)
    reports.mkdir(parents=True, exist_ok=True)
    extra = {} if options.embedding_std is None else {"model": {"init": {"embedding_std": options.embedding_std}}}
    text = texts.find(program, text_paths(options, plan), options.validation, folder / "text")
    free = table_runs.free_bytes(folder)
    data = None
    if not options.dry_run or texts.was_prepared(folder):
        model = texts.tokenizer(program, plan, options.tokenizer, text, folder)
        first = plans.merge(plan.config(columns[0], rows[0], seeds[0]), extra)
        data = texts.prepare(program, first, text, model, folder)
    all_runs = table_runs.plan_runs(program, plan, rows, columns, seeds, extra, data, folder)
    estimate.say(program, plan, all_runs, jobs, text, folder, free)
    if options.dry_run:
        return
    about = notes(options, plan, program)

    def on_done(run, left):
        result = run.result()
        found = f"diverged at step {result['step']}" if result["status"] == "diverged" else f"loss {result['loss']}"
        print(f"{run.name()}: {found}, {result['seconds']:.0f} s; {left} to go", flush=True)
        report.write(reports, plan, all_runs, data, about)

    table_runs.run_all(program, all_runs, data, jobs, on_done)
    report.write(reports, plan, all_runs, data, about)
    print(f"{reports / 'table.md'}, table.csv and runs.csv are written")


if __name__ == "__main__":
    try:
        main()
    except TableError as error:
        print(f"run_table: error: {error}", file=sys.stderr)
        sys.exit(error.code)
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("run_table: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
