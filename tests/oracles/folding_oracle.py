"""Exports of every placement: what an architecture of transformers computes is one, with the same logits.

The truth is the checkpoint run by transformers with the modelling code beside it, which families_oracle.py compares with
Fathom for every placement; the export has to be loaded without that code. Which placements become which architecture is
written down here.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import support

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
torch = support.require("torch")
safetensors = support.require("safetensors.torch")
tokenizers = support.require("tokenizers")
transformers = support.require("transformers")
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
options = support.arguments(__doc__)
sys.path.insert(0, str(options.configs.parent / "scripts"))
import write_token_file  # noqa: E402

VOCABULARY = 64
PLACEMENTS = {"pre": "Llama", "lns": "Llama", "layerscale": "Llama", "skipinit": "Llama", "reordered": "Olmo2"}
HEADS = ["model.qk_norm=head"]
SCALED = [  # placement, other keys, architecture
    ("lns", ["model.norm.position=after_branch"], "Llama"),
    ("lns", ["model.norm.position=before_norm"], None),  # it would change eps
    ("lns", ["model.norm.position=after_residual"], None),
    ("lns", ["model.norm.learn_exponent=true"], "Llama"),
    ("lns", ["model.norm.sublayers=attention", "model.norm.exponent=1.5"], "Llama"),
    ("lns", ["model.norm.scaling=layerscale"], "Llama"),
    ("lns", ["model.norm.learn_exponent=true", "model.norm.scaling=skipinit"], "Llama"),
    ("lns x2, skipinit x2", [], "Llama"),
    ("layerscale", HEADS, "Qwen3"),
    ("lns", [*HEADS, "model.norm.position=after_branch"], "Qwen3"),
    ("skipinit", [*HEADS, "model.norm.scaling=lns"], "Qwen3"),
    ("layerscale", ["model.attention_bias=true", "model.tie_word_embeddings=true"], "Llama"),
    ("skipinit", ["model.attention_bias=true", "model.attention_output_bias=false"], "Qwen2"),
    ("reordered", ["model.norm.scaling=layerscale"], "Olmo2"),
    ("reordered", ["model.norm.scaling=skipinit"], "Olmo2"),
    ("reordered", ["model.norm.scaling=lns", "model.norm.position=after_branch"], "Olmo2"),
    ("reordered", ["model.norm.scaling=lns", "model.norm.position=before_norm"], "Olmo2"),
    ("pre", ["model.norm.scaling=gpas"], None),
    ("layerscale", ["model.norm.kind=layer"], None),
    ("skipinit", ["model.qk_norm=full"], None),
]


def train_llm(*arguments, fails=False):
    done = subprocess.run([str(a) for a in (options.train_llm, *arguments)], capture_output=True, text=True, timeout=120)
    assert (done.returncode != 0) == fails, f"{arguments}: {done.returncode}: {done.stderr[-2000:]}"
    return done.stderr if fails else done.stdout


def load(directory, **keywords):
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, **keywords).double().eval()


def logits_of(model):
    tokens = torch.randint(2, VOCABULARY, (2, 50), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(tokens).logits


def distance(actual, expected):
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


def expect(what, actual, most):
    print(f"{what}: {actual:.2e} (at most {most:g})")
    assert actual <= most, what


def prepare(scratch):
    words = {f"w{i}": i for i in range(2, VOCABULARY)} | {"<unk>": 0, "<eos>": 1}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>",
                                         eos_token="<eos>").save_pretrained(scratch / "tokenizer")
    generator = torch.Generator().manual_seed(3)
    documents = [torch.randint(2, VOCABULARY, (39,), generator=generator).tolist() + [1] for _ in range(40)]
    write_token_file.write(scratch / "d.tokens", documents, VOCABULARY, scratch / "tokenizer" / "tokenizer.json")
    (scratch / "run.json").write_text(json.dumps({
        "model": dict(hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=4,
                      vocab_size=VOCABULARY, max_position_embeddings=128),
        "train": {"max_steps": 3, "global_batch_size": 8, "threads": 1},
        "data": {"train": [str(scratch / "d.tokens")], "validation": [str(scratch / "d.tokens")], "mode": "documents",
                 "sequence_length": 40, "tokenizer": str(scratch / "tokenizer" / "tokenizer.json")},
        "optimizer": {"lr": 0.05}, "log": {"tensorboard": False}}))


def loss_of(scratch, directory):
    scored = train_llm("eval", directory, "--text", scratch / "d.tokens", "--mode", "documents", "--sequence-length", 40,
                       "--json")
    return json.loads(scored)["val/loss"]


def check_export(scratch, placement, keys, architecture):
    out = scratch / "runs" / "-".join([placement.replace(" ", ""), *keys])
    exported, again = out / "exported", out / "imported"
    train_llm("train", scratch / "run.json", f"model.norm.placement={placement}", *keys, f"train.out_dir={out}")
    checkpoint = out / "checkpoints" / "step-00000003"
    shown = json.loads(train_llm("export", out, "--to", "hf", "--output", exported, "--json"))
    assert shown["architecture"] == f"{architecture or 'Fathom'}ForCausalLM", (out.name, shown)
    assert shown["placement"] == placement, shown
    trained, theirs = load(checkpoint, trust_remote_code=True), load(exported, trust_remote_code=architecture is None)
    expect(f"{out.name}, {type(theirs).__name__}, logits", distance(logits_of(theirs), logits_of(trained)), 1e-6)
    train_llm("import", exported, "--output", again)
    for directory in (exported, again):
        expect(f"{out.name}, loss of {directory.name}", abs(loss_of(scratch, directory) - loss_of(scratch, checkpoint)), 1e-5)
    return checkpoint, exported


def check_placements(scratch):
    rows = [row["name"] for row in json.loads(train_llm("list", "placements", "--json"))]
    assert set(PLACEMENTS) < set(rows), rows
    for placement in rows:
        if placement != "custom":
            check_export(scratch, placement, [], PLACEMENTS.get(placement))
    for placement, keys, architecture in SCALED:
        check_export(scratch, placement, keys, architecture)


def check_start(scratch):
    """A run can start from what was folded, as the architecture that it is now."""
    run = scratch / "runs" / "layerscale"
    config = json.loads((scratch / "run.json").read_text())
    config["train"].update(init_from=str(run / "exported"), max_steps=1, out_dir=str(scratch / "again"))
    del config["model"], config["data"]["tokenizer"]
    (scratch / "again.json").write_text(json.dumps(config))
    train_llm("train", scratch / "again.json", "optimizer.lr=1e-9")
    records = [json.loads(line) for line in (scratch / "again" / "metrics.jsonl").read_text().splitlines()]
    expect("loss at the start of a run from an export", abs(records[0]["val/loss"] - loss_of(scratch, run)), 1e-5)
    message = train_llm("train", scratch / "again.json", "model.norm.placement=layerscale", fails=True)
    assert "model.norm.placement is layerscale, but the model of train.init_from" in message, message


def check_bf16(scratch):
    """Folded matrices in bf16 are rounded once: the same distance as of the trained ones in bf16."""
    run = scratch / "runs" / "layerscale"
    train_llm("export", run, "--to", "hf", "--output", scratch / "bf16", "--dtype", "bf16")
    stored = safetensors.load_file(scratch / "bf16" / "model.safetensors")
    assert stored["model.layers.1.self_attn.o_proj.weight"].dtype == torch.bfloat16
    model = load(run / "checkpoints" / "step-00000003", trust_remote_code=True)
    exact = logits_of(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(parameter.bfloat16())
    rounded = distance(logits_of(model), exact)
    expect("layerscale in bf16, logits", distance(logits_of(load(scratch / "bf16")), exact), 1.5 * rounded)


with tempfile.TemporaryDirectory() as folder:
    prepare(pathlib.Path(folder))
    check_placements(pathlib.Path(folder))
    check_start(pathlib.Path(folder))
    check_bf16(pathlib.Path(folder))
