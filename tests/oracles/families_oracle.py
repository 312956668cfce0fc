"""Models of transformers come in, compute the same, train on, and go out again as what they were.

For each family a tiny random model: the same logits (float32, relative L2 <= 1e-5, 300 tokens), the same tensors after
import and export, the loss of transformers where a run starts from it, and a checkpoint that transformers loads.
"""

import json
import math
import os
import pathlib
import shutil
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
torch.set_num_threads(1)  # the models are tiny; threads only wait for each other
os.environ["OMP_NUM_THREADS"] = "1"
options = support.arguments(__doc__)
sys.path.insert(0, str(options.configs.parent / "scripts"))
import write_token_file  # noqa: E402

OLD = transformers.__version__.startswith("4.")  # RoPE's keys were others
VOCABULARY, LENGTH = 128, 300
SIZES = dict(vocab_size=VOCABULARY, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
             max_position_embeddings=512, bos_token_id=None, eos_token_id=1, pad_token_id=None)
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}


def rope(theta=10000.0, **scaling):
    if OLD:
        return dict(rope_theta=theta, **({"rope_scaling": scaling} if scaling else {}))
    return {"rope_parameters": dict({"rope_type": "default"}, **scaling, rope_theta=theta)}


# name: (architecture, keys, stored type, shard size)
FAMILIES = {
    "llama_1": ("Llama", dict(), "F32", "1GB"),
    "llama_2_grouped": ("Llama", dict(num_key_value_heads=2, rms_norm_eps=1e-5), "F16", "40KB"),
    "llama_3": ("Llama", dict(num_key_value_heads=2, **rope(500000.0, **LLAMA3)), "BF16", "1GB"),
    "llama_biased": ("Llama", dict(attention_bias=True), "F32", "1GB"),
    "smollm": ("Llama", dict(num_key_value_heads=1, tie_word_embeddings=True), "BF16", "1GB"),
    "deepseek_llm": ("Llama", rope(rope_type="linear", factor=4.0), "F32", "1GB"),
    "dynamic_rope": ("Llama", dict(max_position_embeddings=256, **rope(rope_type="dynamic", factor=2.0)), "F32", "1GB"),
    "mistral": ("Mistral", dict(num_key_value_heads=2, head_dim=20, sliding_window=None), "F32", "30KB"),
    "mistral_window": ("Mistral", dict(num_key_value_heads=2, sliding_window=512), "F32", "1GB"),
    "qwen_2": ("Qwen2", dict(num_key_value_heads=2, tie_word_embeddings=True), "F32", "1GB"),
    "qwen_2_5_yarn": ("Qwen2", dict(num_key_value_heads=2, **rope(1e6, **YARN)), "BF16", "1GB"),
    "yarn_weighted": ("Llama", rope(**YARN, beta_fast=16.0, beta_slow=2.0, mscale=0.8, mscale_all_dim=0.5, truncate=False),
                      "F32", "1GB"),
    "olmo_2": ("Olmo2", dict(num_key_value_heads=2), "F32", "40KB"),
    "qwen_3": ("Qwen3", dict(num_key_value_heads=2, head_dim=20, tie_word_embeddings=True), "F32", "1GB"),
}


def run(*arguments, fails=False):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=120)
    assert (done.returncode != 0) == fails, f"{arguments}: {done.returncode}: {done.stderr[-2000:]}"
    return done.stderr if fails else done.stdout


def train_llm(*arguments, **keywords):
    return run(options.train_llm, *arguments, **keywords)


def make_tokenizer(directory):
    words = {f"w{i}": i for i in range(2, VOCABULARY)} | {"<unk>": 0, "<eos>": 1}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>",
                                         eos_token="<eos>").save_pretrained(directory)


def make_model(name, directory):
    """A random model as its release would be, and its exact twin in float64."""
    architecture, keys, stored, shard_size = FAMILIES[name]
    config = getattr(transformers, f"{architecture}Config")(**{**SIZES, **keys})
    torch.manual_seed(len(name))
    model = getattr(transformers, f"{architecture}ForCausalLM")(config).to(TYPES[stored])
    for parameter in model.parameters():  # norms and biases must matter, too
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.1)
    model.save_pretrained(directory, max_shard_size=shard_size)
    make_tokenizer(directory)
    # Read again: model.to rounds RoPE's frequencies, too.
    return type(model).from_pretrained(directory, dtype=torch.float32).double().eval()


def tensors_of(directory):
    tensors = {}
    for file in sorted(directory.glob("*.safetensors")):
        tensors |= safetensors.load_file(file)
    return tensors


def distance(actual, expected):
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


def expect(what, actual, most):
    print(f"{what}: {actual:.2e} (at most {most:g})")
    assert actual <= most, what


def logits_of(directory, tokens):
    safetensors.save_file({"input": tokens}, directory.parent / "in.safetensors")
    run(options.tool, directory, directory.parent / "in.safetensors", directory.parent / "out.safetensors")
    return safetensors.load_file(directory.parent / "out.safetensors")["logits"]


def same_files(actual, expected):
    assert actual.keys() == expected.keys(), actual.keys() ^ expected.keys()
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype and torch.equal(actual[name], tensor), name


def check_train_on(name, model, start, scratch):
    """The first evaluation is transformers' loss; training lowers it; the checkpoint is of the same architecture."""
    generator = torch.Generator().manual_seed(3)
    documents = [torch.randint(2, 20, (39,), generator=generator).tolist() + [1] for _ in range(60)]
    data = scratch / f"{name}.tokens"
    write_token_file.write(data, documents, VOCABULARY, start / "tokenizer.json")
    config = scratch / f"{name}.json"
    config.write_text(json.dumps({
        "train": {"max_steps": 8, "global_batch_size": 8, "threads": 1, "init_from": str(start),
                  "out_dir": str(scratch / f"{name}_run")},
        "data": {"train": [str(data)], "validation": [str(data)], "sequence_length": 40, "mode": "documents"},
        "optimizer": {"lr": 0.003}, "eval": {"interval": 8}, "log": {"interval": 4, "tensorboard": False}}))
    train_llm("train", config)
    records = [json.loads(line) for line in (scratch / f"{name}_run" / "metrics.jsonl").read_text().splitlines()]
    losses = [record["val/loss"] for record in records if record["event"] == "eval"]
    rows = torch.tensor(documents)
    with torch.no_grad():
        logits = model(rows[:, :-1]).logits
    exact = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()
    expect(f"{name}, loss at the start", abs(losses[0] - exact), 1e-4)
    assert losses[-1] < losses[0] - 0.1, losses
    checkpoint = scratch / f"{name}_run" / "checkpoints" / "step-00000008"
    trained = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    assert type(trained) is type(model), type(trained)
    with torch.no_grad():
        expect(f"{name}, logits of the checkpoint", distance(logits_of(checkpoint, rows), trained(rows).logits), 1e-5)


def check_eval_and_generate(scratch):
    """Ids prepared elsewhere are scored; text needs the tokenizer, and the message says what to do."""
    checkpoint, data = scratch / "llama_1_run" / "checkpoints" / "step-00000008", scratch / "llama_1.tokens"
    records = [json.loads(line) for line in (scratch / "llama_1_run" / "metrics.jsonl").read_text().splitlines()]
    last = [record["val/loss"] for record in records if record["event"] == "eval"][-1]
    scored = json.loads(train_llm("eval", checkpoint, "--text", data, "--mode", "documents", "--sequence-length", 40,
                                  "--json"))
    expect("eval of a checkpoint", abs(scored["val/loss"] - last), 1e-5)
    text = scratch / "some.txt"
    text.write_text("w7 w9\nw5\n")
    for command in (("generate", checkpoint, "--prompt", "w1"), ("eval", checkpoint, "--text", text)):
        assert "scripts/write_token_file.py" in train_llm(*command, fails=True)
    assert transformers.AutoTokenizer.from_pretrained(checkpoint)("w7 w9")["input_ids"] == [7, 9]
    made = scratch / "made.tokens"
    run(sys.executable, write_token_file.__file__, checkpoint, text, "--output", made)
    scored = json.loads(train_llm("eval", checkpoint, "--text", made, "--mode", "documents", "--json"))
    assert scored["tokens"] == 3, scored  # w9, <eos>; <eos>


def run_by_transformers(directory):
    load = transformers.AutoModelForCausalLM.from_pretrained
    return load(directory, dtype=torch.float32, trust_remote_code=True).eval()


def check_placements(scratch):
    """What no architecture of transformers computes runs there with the code that lies beside the weights."""
    tokens = torch.randint(2, VOCABULARY, (2, 50), generator=torch.Generator().manual_seed(1))
    kinds = {}
    (scratch / "placement.json").write_text(json.dumps({
        "model": dict(hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
                      num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=512),
        "train": {"max_steps": 3, "global_batch_size": 8, "threads": 1},
        "data": {"train": [str(scratch / "llama_1.tokens")], "sequence_length": 40,
                 "tokenizer": str(scratch / "llama_1_source" / "tokenizer.json")},
        "optimizer": {"lr": 0.05}, "log": {"tensorboard": False}}))
    placements = [row["name"] for row in json.loads(train_llm("list", "placements", "--json"))]
    extra = [("post x1, pre x2", "model.norm.scaling=gpas"), ("lns", "model.norm.learn_exponent=true"),
             ("sandwich", "model.norm.kind=layer", "model.attention_bias=true", "model.attention_output_bias=false")]
    for placement, *keys in [(name,) for name in placements if name != "custom"] + extra:
        out = scratch / "placements" / "-".join([placement.replace(" ", ""), *keys])
        train_llm("train", scratch / "placement.json", f"model.norm.placement={placement}", *keys,
                  f"train.out_dir={out}")
        checkpoint = out / "checkpoints" / "step-00000003"
        theirs = run_by_transformers(checkpoint)
        with torch.no_grad():
            expect(f"{type(theirs).__name__}, {out.name}, logits",
                   distance(logits_of(checkpoint, tokens), theirs(tokens).logits), 1e-5)
        kinds[type(theirs).__name__] = kinds.get(type(theirs).__name__, 0) + 1
    assert kinds["FathomForCausalLM"] > 10 and kinds["LlamaForCausalLM"] >= 2 and kinds["Olmo2ForCausalLM"] == 1, kinds
    check_generation(scratch / "placements" / "post" / "checkpoints" / "step-00000003")


def check_generation(directory):
    """The cache of transformers works with our layers: a continuation is that of the whole prefix each time."""
    model = run_by_transformers(directory)
    ids = torch.tensor([[5, 9, 11]])
    cached = model.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    for _ in range(8):
        with torch.no_grad():
            ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(cached, ids), (cached, ids)


def check_family(name, scratch):
    source, imported, exported = (scratch / f"{name}_{part}" for part in ("source", "imported", "exported"))
    model = make_model(name, source)
    _, _, stored, shard_size = FAMILIES[name]
    assert (source / "model.safetensors.index.json").exists() == (shard_size != "1GB")
    tokens = torch.randint(2, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        reference = model(tokens).logits
    train_llm("import", source, "--output", imported)
    train_llm("export", imported, "--to", "hf", "--output", exported, "--max-shard-size", "50KB")
    assert (exported / "model.safetensors.index.json").exists()
    if shard_size != "1GB":
        expect(f"{name} ({stored}), logits where it lies", distance(logits_of(source, tokens), reference), 1e-5)
    expect(f"{name} ({stored}), logits of the import", distance(logits_of(imported, tokens), reference), 1e-5)
    for directory in (imported, exported):
        same_files(tensors_of(directory), tensors_of(source))
        again = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).double()
        assert type(again) is type(model), type(again)
        with torch.no_grad():
            expect(f"{name}, transformers' logits of {directory.name}", distance(again(tokens).logits, reference), 1e-9)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (exported / file).read_bytes() == (source / file).read_bytes()
    check_train_on(name, model, imported, scratch)


def check_lns(scratch):
    """Weights that need 1/sqrt(l) after each norm, stored raw in a plain Llama, as the paper's authors did."""
    source, imported, exported = (scratch / f"lns_{part}" for part in ("source", "imported", "exported"))
    model = make_model("llama_3", source)
    for index, layer in enumerate(model.model.layers):
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.register_forward_hook(lambda module, inputs, output, l=index + 1: output / math.sqrt(l))
    tokens = torch.randint(2, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        reference = model(tokens).logits
    train_llm("import", source, "--output", imported, "model.norm.placement=lns")
    expect("raw LNS, logits of the import", distance(logits_of(imported, tokens), reference), 1e-5)
    train_llm("export", imported, "--to", "hf", "--output", exported, "--dtype", "bf16")
    tensors = tensors_of(exported)
    assert tensors["model.layers.1.input_layernorm.weight"].dtype == torch.float32
    assert tensors["model.layers.0.input_layernorm.weight"].dtype == torch.bfloat16
    assert json.loads((exported / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    folded = transformers.AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32)
    with torch.no_grad():
        expect("raw LNS, transformers' logits of the export", distance(folded(tokens).logits, reference), 1e-5)
    assert "has a block" in train_llm("import", imported, "--output", scratch / "twice", "model.norm.placement=lns",
                                      fails=True)
    # The gains are unfolded where a run starts: its plan still has the factors.
    check_train_on_lns(scratch, imported, model)


def check_train_on_lns(scratch, imported, model):
    documents = [[(7 * i + j) % 100 + 2 for j in range(29)] + [1] for i in range(20)]
    data = scratch / "lns.tokens"
    write_token_file.write(data, documents, VOCABULARY, imported / "tokenizer.json")
    config = scratch / "lns.json"
    config.write_text(json.dumps({
        "train": {"max_steps": 1, "global_batch_size": 4, "threads": 1, "init_from": str(imported),
                  "out_dir": str(scratch / "lns_run")},
        "data": {"train": [str(data)], "validation": [str(data)], "sequence_length": 30, "mode": "documents"},
        "optimizer": {"lr": 1e-4}, "log": {"tensorboard": False}}))
    train_llm("train", config)
    records = [json.loads(line) for line in (scratch / "lns_run" / "metrics.jsonl").read_text().splitlines()]
    rows = torch.tensor(documents)
    with torch.no_grad():
        logits = model(rows[:, :-1]).logits
    exact = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()
    expect("raw LNS, loss at the start of a run", abs(records[0]["val/loss"] - exact), 1e-4)


def check_refusals(scratch):
    source = scratch / "refused"
    make_model("llama_1", source)
    good = json.loads((source / "config.json").read_text())
    cases = [
        ({"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]}, 'model_type is "mixtral"'),
        ({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 128,
          "num_key_value_heads": 4}, "sliding_window is 128"),
        ({"mlp_bias": True}, "mlp_bias is true"),
        ({"hidden_act": "gelu"}, 'hidden_act is "gelu"'),
        ({"rope_parameters": {"rope_type": "longrope", "factor": 2.0}}, "longrope"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_hidden_layers": 4}, "'model.layers.3.input_layernorm.weight' is missing"),
        ({"hidden_size": 44}, "the config says"),
    ]
    for change, reason in cases:
        (source / "config.json").write_text(json.dumps({**good, **change}))
        for command in (("import", source, "--output", scratch / "never"), ("eval", source, "--text", "x")):
            message = train_llm(*command, fails=True)
            assert reason in message and message.count("\n") == 1, message
        assert not (scratch / "never").exists() and not list(scratch.glob("never.tmp*"))
    (source / "config.json").write_text(json.dumps(good))
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    assert "pytorch_model.bin: .bin files are pickled" in train_llm("import", source, "--output", scratch / "never",
                                                                    fails=True)
    assert "exists already" in train_llm("import", scratch / "llama_1_source", "--output", source, fails=True)
    conflict = train_llm("plan", "smoke", f"train.init_from={scratch / 'llama_1_imported'}", fails=True)
    assert "but the model of train.init_from" in conflict, conflict


def check_overrides(scratch):
    """A window that limits the context is taken once the context is limited to it."""
    source = scratch / "window"
    shutil.copytree(scratch / "mistral_window_source", source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "sliding_window": 128}))
    train_llm("import", source, "--output", scratch / "window_imported", "model.max_position_embeddings=128")


with tempfile.TemporaryDirectory() as folder:
    for family in FAMILIES:
        check_family(family, pathlib.Path(folder))
    check_eval_and_generate(pathlib.Path(folder))
    check_placements(pathlib.Path(folder))
    check_lns(pathlib.Path(folder))
    check_refusals(pathlib.Path(folder))
    check_overrides(pathlib.Path(folder))
