"""What transformers reads in a config.json and what it reads over: the same loss with and without Fathom's import.

For each config: a random model, the loss of its tokens by transformers, by train-llm eval where it lies and after an
import, and the keys that the warning names. Dynamic RoPE below, at and above its context, also while a text grows. Then
what transformers saves of a model that came from Fathom.
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
sentencepiece = support.require("sentencepiece")
tokenizers = support.require("tokenizers")
transformers = support.require("transformers")
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
options = support.arguments(__doc__)
sys.path.insert(0, str(options.configs.parent / "scripts"))
import write_token_file  # noqa: E402

VOCABULARY, CONTEXT, LENGTH = 64, 128, 128
SIZES = dict(vocab_size=VOCABULARY, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=CONTEXT, bos_token_id=None, eos_token_id=1,
             pad_token_id=None)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
NEW = not transformers.__version__.startswith("4.")

# name: (architecture, keys of config.json, keys that are read over)
CONFIGS = {
    "attn_factor": ("Llama", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attn_factor": 3.0,
                                               "original_max_position_embeddings": 32}}, ["rope_scaling.attn_factor"]),
    "finetuned": ("Llama", {"rope_scaling": {"type": "linear", "factor": 2.0, "finetuned": True}},
                  ["rope_scaling.finetuned"]),
    "mrope": ("Qwen2", {"rope_scaling": {"type": "mrope", "rope_type": "default", "mrope_section": [2, 2, 2]}},
              ["rope_scaling.mrope_section"]),
    "factor_without_type": ("Llama", {"rope_scaling": {"factor": 2.0}}, ["rope_scaling.factor"]),
    "linear_original": ("Llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0,
                                                   "original_max_position_embeddings": 16}},
                        ["rope_scaling.original_max_position_embeddings"]),
    "dropout": ("Llama", {"attention_dropout": 0.3}, ["attention_dropout"]),
    "window_of_llama": ("Llama", {"sliding_window": 16, "layer_types": ["sliding_attention"] * 2},
                        ["sliding_window", "layer_types"]),
    "window_off": ("Qwen2", {"sliding_window": 16, "use_sliding_window": False}, ["sliding_window"]),
    "window_above_the_layers": ("Qwen3", {"head_dim": 12, "sliding_window": 16, "use_sliding_window": True,
                                          "max_window_layers": 2}, ["sliding_window"]),
    "window_of_no_layer": ("Qwen3", {"head_dim": 12, "sliding_window": 16, "use_sliding_window": True,
                                     "layer_types": ["full_attention"] * 2, "max_window_layers": 0},
                           ["sliding_window"]),
    "window_of_olmo": ("Olmo2", {"sliding_window": 16}, ["sliding_window"]),
    "fixed_biases": ("Qwen2", {"attention_bias": False, "mlp_bias": True}, ["mlp_bias", "attention_bias"]),
    "other_models_keys": ("Llama", {"logits_scaling": 8.0, "residual_multiplier": 0.2, "clip_qkv": 1.0},
                          ["logits_scaling", "residual_multiplier", "clip_qkv"]),
    "shrunk": ("Llama", {"rope_scaling": {"rope_type": "linear", "factor": 0.5}}, []),
    "swish": ("Llama", {"hidden_act": "swish", "pretraining_tp": 2, "use_cache": False, "temperature": 0.5}, []),
}
if NEW:  # transformers 4 took these from elsewhere, or not at all
    CONFIGS |= {
        "partial": ("Llama", {"partial_rotary_factor": 0.5}, ["partial_rotary_factor"]),
        "partial_of_qwen": ("Qwen3", {"head_dim": 12, "rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 500.0}},
                            ["rope_parameters.partial_rotary_factor"]),
        "partial_of_olmo": ("Olmo2", {"partial_rotary_factor": 0.25}, ["partial_rotary_factor"]),
        "partial_for_sections": ("Mistral", {"partial_rotary_factor": 0.5, "sliding_window": None, "rope_parameters": {
            "rope_type": "linear", "factor": 2.0, "rope_theta": 1e4, "partial_rotary_factor": 1.0}},
                                 ["partial_rotary_factor"]),
        "original_beside": ("Llama", {"rope_scaling": dict(LLAMA3), "original_max_position_embeddings": 32}, []),
        "original_twice": ("Llama", {"rope_scaling": dict(LLAMA3, original_max_position_embeddings=64),
                                     "original_max_position_embeddings": 32}, []),
        "yarn_by_context": ("Llama", {"rope_scaling": {"rope_type": "yarn", "factor": None,
                                                       "original_max_position_embeddings": 32}}, []),
        "dynamic_original": ("Llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0,
                                                        "original_max_position_embeddings": 16}},
                             ["rope_scaling.original_max_position_embeddings"]),
    }


def train_llm(*arguments):
    done = subprocess.run([str(a) for a in (options.train_llm, *arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{arguments}: {done.returncode}: {done.stderr[-2000:]}"
    return done


def make_tokenizer(directory):
    words = {f"w{i}": i for i in range(2, VOCABULARY)} | {"<unk>": 0, "<eos>": 1}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>",
                                         eos_token="<eos>").save_pretrained(directory)


def load(directory, **keywords):
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, **keywords).eval()


def make_model(architecture, keys, directory):
    """A random model whose config.json has `keys` as they are here."""
    config = getattr(transformers, f"{architecture}Config")(**SIZES, **{k: keys[k] for k in ("head_dim",) if k in keys})
    torch.manual_seed(3)
    model = getattr(transformers, f"{architecture}ForCausalLM")(config)
    for parameter in model.parameters():  # attention must matter
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.3)
    model.save_pretrained(directory)
    written = json.loads((directory / "config.json").read_text())
    for key in ("rope_parameters", "rope_scaling", "layer_types"):
        written.pop(key, None)
    (directory / "config.json").write_text(json.dumps({**written, **keys}))
    make_tokenizer(directory)


def stream(tokens):
    return torch.randint(2, VOCABULARY, (tokens,), generator=torch.Generator().manual_seed(5))


def their_loss(model, length, rows=3):
    ids = stream(rows * length + 1)
    with torch.no_grad():
        logits = model(ids[:-1].view(rows, length)).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), ids[1:]).item()


def our_loss(directory, length, rows=3):
    data = directory.parent / f"{length}.tokens"
    write_token_file.write(data, [stream(rows * length + 1).tolist()], VOCABULARY, directory / "tokenizer.json")
    scored = json.loads(train_llm("eval", directory, "--text", data, "--mode", "packed", "--sequence-length", length,
                                  "--json").stdout)
    assert scored["tokens"] == rows * length, scored
    return scored["val/loss"]


def expect_same(what, actual, expected):
    print(f"{what}: {actual:.6f}, transformers {expected:.6f}")
    assert abs(actual - expected) < 2e-5, what


def check_configs(scratch):
    plain = {}
    for name, (architecture, keys, read_over) in CONFIGS.items():
        source, imported = scratch / name / "source", scratch / name / "imported"
        make_model(architecture, keys, source)
        expected = their_loss(load(source), LENGTH)
        expect_same(name, our_loss(source, LENGTH), expected)
        warning = train_llm("import", source, "--output", imported).stderr
        named = [line.split(": ")[-1].split(", ") for line in warning.splitlines() if "read over" in line]
        assert named == ([read_over] if read_over else []), (name, warning)
        expect_same(f"{name}, imported", our_loss(imported, LENGTH), expected)
        expect_same(f"{name}, transformers on the import", their_loss(load(imported), LENGTH), expected)
        plain.setdefault(architecture, set()).add(round(expected, 4))
    assert len(plain["Llama"]) > 3, plain  # the scalings that are read change something


def check_dynamic(scratch):
    """A context of 128 and a factor of 2: lengths below, at and above, and raised by hand."""
    source = scratch / "dynamic" / "source"
    make_model("Llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, source)
    default = scratch / "dynamic" / "default"
    make_model("Llama", {"max_position_embeddings": 1024}, default)
    imported, raised = scratch / "dynamic" / "imported", scratch / "dynamic" / "raised"
    train_llm("import", source, "--output", imported)
    train_llm("import", source, "--output", raised, "model.max_position_embeddings=512")
    for length in (64, 128, 129, 200, 256):
        expected = their_loss(load(source), length)  # loaded again: transformers remembers the longest
        for directory in (source, imported, raised):
            expect_same(f"dynamic, {length} tokens, {directory.name}", our_loss(directory, length), expected)
        for directory in (imported, raised):
            expect_same(f"dynamic, transformers on {directory.name}", their_loss(load(directory), length), expected)
        unscaled = their_loss(load(default), length)
        assert (abs(unscaled - expected) > 1e-3) == (length > CONTEXT), (length, unscaled, expected)
    expect_same("dynamic, 400 tokens, raised", our_loss(raised, 400), their_loss(load(source), 400))


def check_generation(scratch):
    """A text that grows from 20 tokens over the context of 32: keys stay as they were rotated when they came."""
    directory = scratch / "generate"
    config = transformers.LlamaConfig(**{**SIZES, "vocab_size": 400, "max_position_embeddings": 32})
    torch.manual_seed(4)
    transformers.LlamaForCausalLM(config).save_pretrained(directory)
    written = json.loads((directory / "config.json").read_text())
    written.pop("rope_parameters", None)
    (directory / "config.json").write_text(json.dumps(
        {**written, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(pathlib.Path(os.__file__).read_text().splitlines()), vocab_size=400, minloglevel=2,
        model_prefix=str(directory / "tokenizer"), model_type="bpe", byte_fallback=True, num_threads=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    for parameters in ({"std": 0.3}, {"std": 0.6}):
        model = load(directory)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, 0.0, **parameters)
        model.save_pretrained(directory)
        (directory / "config.json").write_text(json.dumps(
            {**written, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}))
        prompt = "import sys and abc from os.path"
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        assert ids.shape[1] < 32, ids.shape
        model = load(directory)
        new = model.generate(ids, max_new_tokens=80, do_sample=False, pad_token_id=0)[0, ids.shape[1]:]
        expected = [token for token in new.tolist() if token != model.config.eos_token_id]
        ours = json.loads(train_llm("generate", directory, "--prompt", prompt, "--max-new-tokens", 80, "--temperature", 0,
                                    "--json").stdout)["new_tokens"]
        assert ours == expected and len(ours) > 40, (ours, expected)


def check_scaled_lengths(scratch):
    """Where RoPE is scaled, contexts up to the factor are legal."""
    for name, keys in {"linear": {"rope_type": "linear", "factor": 4.0}, "llama3": LLAMA3,
                       "yarn": {"rope_type": "yarn", "factor": 4.0}}.items():
        source = scratch / f"long_{name}" / "source"
        make_model("Llama", {"rope_scaling": keys}, source)
        for length in (100, 4 * CONTEXT):
            expect_same(f"{name}, {length} tokens", our_loss(source, length), their_loss(load(source), length))


def resaved(directory, target, change):
    """What transformers writes of a model after a step of training."""
    model = load(directory, trust_remote_code=True).train()
    change(model)
    ids = stream(65)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    logits = model(ids[None, :-1], use_cache=False).logits
    torch.nn.functional.cross_entropy(logits[0], ids[1:]).backward()
    optimizer.step()
    model.save_pretrained(target)
    make_tokenizer(target)
    return model.eval()


def check_resaved(scratch):
    """A Trainer sets use_cache to false; dtype, architectures and RoPE's keys are written anew."""

    def change(model):
        model.config.use_cache = False
        model.config.attention_dropout = 0.05
        model.config.initializer_range = 0.5
        model.generation_config.max_length = 77

    start = scratch / "dynamic" / "source"
    for name, keys in {"lns": ["model.norm.placement=lns"], "post": ["model.norm.placement=post"],
                       "yarn": ["model.norm.placement=lns", "model.rope_scaling.rope_type=yarn",
                                "model.rope_scaling.factor=4"],
                       "qwen": ["model.norm.placement=lns", "model.qk_norm=head"]}.items():
        out = scratch / f"run_{name}"
        data = scratch / "run.tokens"
        write_token_file.write(data, [stream(129).tolist()] * 8, VOCABULARY, start / "tokenizer.json")
        config = scratch / f"{name}.json"
        config.write_text(json.dumps({
            "model": dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
                          vocab_size=VOCABULARY, max_position_embeddings=CONTEXT),
            "train": {"max_steps": 2, "global_batch_size": 4, "threads": 1, "out_dir": str(out)},
            "data": {"train": [str(data)], "sequence_length": 64, "tokenizer": str(start / "tokenizer.json")},
            "optimizer": {"lr": 0.01}, "log": {"tensorboard": False}}))
        train_llm("train", config, *keys)
        checkpoint = out / "checkpoints" / "step-00000002"
        theirs, ours = scratch / name / "theirs", scratch / name / "ours"
        model = resaved(checkpoint, theirs, change)
        train_llm("import", theirs, "--output", ours)
        for directory in (theirs, ours):
            expect_same(f"{name}, saved by transformers, {directory.name}", our_loss(directory, LENGTH),
                        their_loss(model, LENGTH))
        trained = json.loads((ours / "config.json").read_text())
        assert trained["fathom"]["model"]["norm"]["placement"] == keys[0].split("=")[1], trained


with tempfile.TemporaryDirectory() as folder:
    check_configs(pathlib.Path(folder))
    check_dynamic(pathlib.Path(folder))
    check_generation(pathlib.Path(folder))
    check_scaled_lengths(pathlib.Path(folder))
    check_resaved(pathlib.Path(folder))
