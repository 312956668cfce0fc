"""`train-llm diagnose` against transformers: the variance of each block's output over the hidden dimension."""

import json
import pathlib
import subprocess
import tempfile

import support

torch = support.require("torch")
transformers = support.require("transformers")
sentencepiece = support.require("sentencepiece")
options = support.arguments(__doc__)
LENGTH = 24


def make_model(scratch):
    """A Llama whose blocks differ, with a tokenizer, and a text."""
    words = "the quick brown fox jumps over a lazy dog while seven wizards mix black quartz and juggle vexed imps".split()
    text = scratch / "text.txt"
    text.write_text("\n".join(" ".join(words[(i * j + j) % len(words)] for j in range(1, 14)) for i in range(60)))
    sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(scratch / "tok"), vocab_size=100,
                                             minloglevel=2, hard_vocab_limit=False)
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, vocab_size=100,
        max_position_embeddings=512, rms_norm_eps=1e-6, attn_implementation="eager"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.2)
    directory = scratch / "model"
    model.save_pretrained(directory)
    (directory / "tokenizer.model").write_bytes((scratch / "tok.model").read_bytes())
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    ids = tokenizer(text.read_text(), add_special_tokens=False)["input_ids"]
    return model.double(), directory, text, ids + [model.config.eos_token_id]


def reference(model, ids, positions):
    """Of each block, mean over the first so many positions that have a next token. hidden_states would show the last
    block's output after the final norm, so hooks look at the blocks themselves."""
    variances = [[] for _ in model.model.layers]
    for layer, found in zip(model.model.layers, variances):
        layer.register_forward_hook(lambda module, inputs, output, found=found: found.append(
            (output[0] if isinstance(output, tuple) else output)[0].var(dim=-1, unbiased=False)))
    for start in range(0, len(ids) - 1, LENGTH):
        with torch.no_grad():
            model(torch.tensor(ids[start : start + LENGTH + 1])[None, :-1])
    return [torch.cat(found)[:positions].mean().item() for found in variances]


def diagnose(*words):
    done = subprocess.run([options.train_llm, "diagnose", *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    model, directory, text, ids = make_model(scratch)
    common = ["--sequence-length", LENGTH, "--cache-dir", scratch / "cache", "--json"]
    for most in (len(ids) - 1, 100):  # all, with a last row that is shorter; and an end within a row
        code, output, errors = diagnose(directory, "--text", text, "--max-tokens", most, *common)
        assert code == 0, errors
        (probe,) = json.loads(output)["probes"]
        assert (probe["name"], probe["tokens"]) == ("variance", most), probe
        expected = reference(model, ids, most)
        worst = max(abs(ours / theirs - 1) for ours, theirs in zip(probe["values"], expected, strict=True))
        print(f"variance on {most} tokens: {expected}, worst relative difference {worst:.2g} (at most 1e-5)")
        assert worst < 1e-5
    (tokens,) = (scratch / "cache").glob("*.tokens")
    code, again, errors = diagnose(directory, "--tokens", tokens, "--probe", "variance", "--max-tokens", 100, *common)
    assert code == 0 and json.loads(again) == json.loads(output), errors
    for words, message in [(["--probe", "varience", "--text", text], "did you mean 'variance'"),
                           ([], "--text and --tokens are missing"),
                           (["--tokens", text], "no .tokens file")]:
        code, _, errors = diagnose(directory, *words)
        assert code == 2 and message in errors, (words, code, errors)
