"""The files beside a model's weights: what transformers reads of a directory, it reads of its import, its export and of a
checkpoint that started from it; where there is no tokenizer that train-llm runs, the advice that it gives makes one."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import support
from runs import Runs

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
tokenizers = support.require("tokenizers")
transformers = support.require("transformers")
transformers.utils.logging.disable_progress_bar()
options = support.arguments(__doc__)
TEMPLATES = {"default": "{{ messages[0].content }}", "tool_use": "tools: {{ messages[0].content }}", "rag": "{{ documents }}"}


def load(directory):
    return transformers.AutoTokenizer.from_pretrained(directory)


def chat_templates(runs, model):
    source = runs.folder / "chat"
    shutil.copytree(model, source)
    (source / "manifest.json").unlink()
    tokenizer = load(source)
    tokenizer.chat_template = TEMPLATES
    tokenizer.save_pretrained(source)
    assert load(source).chat_template == TEMPLATES
    (source / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATES["default"]}))  # of a processor
    runs.check("import", source, "--output", "chat_imported")
    runs.check("export", source, "--to", "hf", "--output", "chat_exported")
    start = runs.train_arguments("chat_run", "train.max_steps=4", "checkpoint.interval=2", f"train.init_from={source}")
    runs.check(*[word for word in start if "data.tokenizer" not in word])
    for directory in (runs.folder / "chat_imported", runs.folder / "chat_exported", runs.checkpoint("chat_run", 4)):
        assert load(directory).chat_template == TEMPLATES, directory
        assert (directory / "chat_template.json").exists(), directory
    shutil.rmtree(runs.checkpoint("chat_run", 4))
    again = runs.check(*[word for word in start if "data.tokenizer" not in word], "--resume", "auto")
    assert "step-00000002" in again.stderr and load(runs.checkpoint("chat_run", 4)).chat_template == TEMPLATES
    (runs.checkpoint("chat_run", 4) / "additional_chat_templates/rag.jinja").write_text("edited")
    assert "rag.jinja was changed" in runs.check("import", "chat_run", "--output", "chat_edited").stderr


def repaired(runs, directory):
    """What generate and an import say, and what a tokenizer that the advice makes gives for a text."""
    refused = runs.run("generate", directory, "--prompt", "the")
    warned = runs.check("import", directory, "--output", f"{directory.name}_imported").stderr
    assert refused.returncode == 4 and "holds neither tokenizer.model nor tokenizer.json" in refused.stderr, refused.stderr
    imported = runs.folder / f"{directory.name}_imported"
    for said in (refused.stderr, warned):
        command = re.search(r"(cp \S+ \S+|python -c .*)$", said, re.MULTILINE)
        assert command, said
        done = subprocess.run(command.group(1).replace("python", sys.executable, 1), shell=True, cwd=runs.folder,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return [json.loads(runs.check("generate", name, "--prompt", "the fox", "--max-new-tokens", 4, "--temperature", 0,
                                  "--json").stdout)["new_tokens"] for name in (directory, imported)]


def bare(runs, model, name):
    """The model without a tokenizer."""
    directory = runs.folder / name
    shutil.copytree(model, directory)
    for file in ("manifest.json", "tokenizer.model", "tokenizer.json"):
        (directory / file).unlink()
    return directory


def other_names(runs, model):
    by_hand = bare(runs, model, "by_hand")
    shutil.copy(model / "tokenizer.model", by_hand)
    expected = json.loads(runs.check("generate", by_hand, "--prompt", "the fox", "--max-new-tokens", 4, "--temperature", 0,
                                     "--json").stdout)["new_tokens"]
    directory = bare(runs, model, "spiece")
    shutil.copy(model / "tokenizer.model", directory / "spiece.model")
    assert repaired(runs, directory) == [expected] * 2


def vocabulary_and_merges(runs, model):
    directory = bare(runs, model, "merges")
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(runs.text.read_text().splitlines(), vocab_size=290, special_tokens=["<|endoftext|>"])
    trained.save_model(str(directory))
    (directory / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}))
    theirs = load(directory)("the fox").input_ids
    repaired(runs, directory)
    ours = runs.run("tokenizer", "encode", "--tokenizer", directory / "tokenizer.json", input="the fox\n").stdout.split()
    assert len(theirs) > 1 and [int(token) for token in ours] == theirs, (ours, theirs)


def generation_keys(runs, model):
    directory = runs.folder / "generation"
    shutil.copytree(model, directory)
    (directory / "manifest.json").unlink()
    generate = ["generate", directory, "--prompt", "the", "--max-new-tokens", 2]
    assert "not followed" not in runs.check(*generate).stderr
    written = json.loads((directory / "generation_config.json").read_text())
    (directory / "generation_config.json").write_text(json.dumps({**written, "repetition_penalty": 1.3, "suppress_tokens": [5]}))
    assert "not followed: repetition_penalty, suppress_tokens\n" in runs.check(*generate).stderr


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    small.check(*small.train_arguments("run", "train.max_steps=3"))
    for check in (chat_templates, other_names, vocabulary_and_merges, generation_keys):
        check(small, small.checkpoint("run", 3))
        print(check.__name__, "ok")
