"""The run of scripts/quickstart.sh: text, tokenizer, training, and what came out."""

import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import held_out

TRAIN_LLM = "build/release/train-llm"
CONFIG = "configs/quickstart.yaml"
VOCAB_SIZE = 4096
TOKENIZER_SAMPLE = 8 << 20  # bytes: a tokenizer from all 40 MB of LibTorch's sources takes minutes and is hardly better
PROMPT = "def forward(self"


def fail(message):
    print(f"quickstart: error: {message}", file=sys.stderr)
    sys.exit(2)


def say(message):
    print(f"\nquickstart: {message}", flush=True)


def train_llm(*words, capture=False):
    """Runs train-llm; its errors and exit codes are ours."""
    command = [TRAIN_LLM, *map(str, words)]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE if capture else None)
    try:
        output, _ = process.communicate()
    except KeyboardInterrupt:  # train-llm got it, too, and saves
        process.wait()
        say("stopped. scripts/quickstart.sh goes on from here")
        sys.exit(130)
    if process.returncode != 0:
        sys.exit(process.returncode)
    return output


def text_files(text):
    """(folder, paths below it) of the training text."""
    if text is None:
        root = next(pathlib.Path(".venv/lib").glob("python3*/site-packages/torch"))
        return root, sorted(root.rglob("*.py"))
    formats = json.loads(train_llm("list", "formats", "--json", capture=True))
    return held_out.text_files(text.expanduser(), [ending for row in formats for ending in row["extensions"]])


def checksum(files):
    """Of the config and the text: runs on other text go to another folder."""
    total = hashlib.sha256(pathlib.Path(CONFIG).read_bytes())
    for path in files:
        total.update(f"{path}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:8]


def copy_text(root, files, target):
    """Writes target/train and target/validation, whole or not at all."""
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    folders = [part / "train", part / "validation"]
    for folder in folders:
        folder.mkdir(parents=True)
    if len(files) == 1:
        held_out.split_lines(files[0], folders)
    else:
        for index, path in enumerate(files):
            copy = folders[held_out.is_held_out(index, len(files))] / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    part.rename(target)


def results(run):
    """The records of metrics.jsonl by event."""
    events = {}
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        events.setdefault(record["event"], []).append(record)
    return events


def show(folder, overrides):
    run = folder / "run"
    events = results(run)
    evaluations, steps = events["eval"], events["train"]
    speeds = sorted(record["perf/tokens_per_second"] for record in steps)
    say(f"a sample, from the prompt {PROMPT!r}:\n")
    train_llm("generate", run, "--prompt", PROMPT, "--max-new-tokens", 100)
    first, last = evaluations[0], evaluations[-1]
    say("done")
    print(f"""
  validation perplexity   {first["val/ppl"]:,.1f} at step {first["step"]}, {last["val/ppl"]:,.1f} at step {last["step"]}
  speed                   {speeds[len(speeds) // 2]:,.0f} tokens/s
  text                    {folder}/text
  tokenizer               {folder}/tokenizer.model
  run                     {run}: config.yaml, metrics.jsonl, tb/ for TensorBoard
  model                   {run}/checkpoints: each step-* is a Hugging Face model directory

Worth trying next:
  {TRAIN_LLM} train {CONFIG} {" ".join(f"'{word}'" for word in overrides)} \\
      model.norm.placement=pre train.out_dir={folder}/pre      # the same run with Pre-LN
  {TRAIN_LLM} eval {run} --text README.md      # perplexity of any text
  {TRAIN_LLM} plan configs/llama_130m.yaml     # what a run of the paper takes, before it runs""")


def main():
    parser = argparse.ArgumentParser(prog="scripts/quickstart.sh", description=__doc__)
    parser.add_argument("--text", type=pathlib.Path, metavar="PATH",
                        help="a file or folder (default: the Python sources of LibTorch's wheel)")
    root, files = text_files(parser.parse_args().text)
    folder = pathlib.Path("out/quickstart") / checksum(files)
    folder.mkdir(parents=True, exist_ok=True)
    text, tokenizer = folder / "text", folder / "tokenizer.model"

    if not text.exists():
        say(f"copying {len(files)} files of text from {root} to {text}")
        copy_text(root, files, text)
    if tokenizer.exists():
        say(f"{tokenizer} is there")
    else:
        say(f"training a tokenizer of {VOCAB_SIZE} pieces")
        train_llm("tokenizer", "train", text / "train", "--vocab-size", VOCAB_SIZE,
                  "--sample-bytes", TOKENIZER_SAMPLE, "--output", tokenizer)
    overrides = [f'data.train=["{text}/train"]', f'data.validation=["{text}/validation"]',
                 f"data.tokenizer={tokenizer}", f"data.cache_dir={folder}/cache"]
    say(f"training on {text}/train; Ctrl-C saves, and running this again goes on")
    train_llm("train", CONFIG, *overrides, f"train.out_dir={folder}/run", "--resume", "auto")
    show(folder, overrides)


if __name__ == "__main__":
    try:
        main()
    except held_out.TextError as error:
        fail(error)
