"""Fathom against transformers with the same weights: logits, every gradient, and 50 steps of each optimizer; and what a
checkpoint of train-llm gives in transformers."""

import copy
import json
import math
import pathlib
import subprocess
import tempfile

import support

torch = support.require("torch")
transformers = support.require("transformers")
safetensors = support.require("safetensors.torch")

options = support.arguments(__doc__)
STEPS, ROWS, TIME, VOCAB = 50, 4, 33, 101
LR, WEIGHT_DECAY = 2e-3, 0.1
SIZES = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, vocab_size=VOCAB,
             max_position_embeddings=512, rms_norm_eps=1e-6, initializer_range=0.1, attn_implementation="eager")


def distance(value, expected):
    return ((value.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-30)).item()


def expect(what, measured, most):
    print(f"{what}: {measured:.3g} (at most {most:g})")
    assert measured <= most, what


def batches():
    """Rows of which some end in padding, which the loss ignores."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(VOCAB, (STEPS, ROWS, TIME + 1), generator=generator)
    target = tokens[..., 1:].clone()
    target[:, 0, TIME // 2 :] = -100
    return tokens[..., :-1].contiguous(), target.contiguous()


def mean_loss(model, tokens, target):
    logits = model(input_ids=tokens).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100)


class Muon:
    """As its author has it, in the weights' own precision, with the update as large as AdamW's (arXiv:2502.16982)."""

    def __init__(self, parameters):
        self.momenta = {p: torch.zeros_like(p) for p in parameters}

    @torch.no_grad()
    def step(self):
        for p, momentum in self.momenta.items():
            momentum.mul_(0.95).add_(0.05 * p.grad)
            x = 0.05 * p.grad + 0.95 * momentum  # Nesterov's
            if p.shape[0] > p.shape[1]:
                x = x.T
            x = x / x.norm()
            for _ in range(5):
                gram = x @ x.T
                x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
            if p.shape[0] > p.shape[1]:
                x = x.T
            p.mul_(1 - LR * WEIGHT_DECAY).sub_(LR * 0.2 * max(p.shape) ** 0.5 * x)


def reference_optimizers(model, name):
    named = dict(model.named_parameters())
    blocks = [p for key, p in named.items() if ".layers." in key and p.dim() == 2] if name == "muon" else []
    rest = [p for p in named.values() if all(p is not b for b in blocks)]
    groups = [{"params": [p for p in rest if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
              {"params": [p for p in rest if p.dim() == 1], "weight_decay": 0.0}]
    adam = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return [adam(groups, lr=LR, betas=(0.9, 0.95), eps=1e-8), *([Muon(blocks)] if blocks else [])]


def train_reference(model, name, tokens, target):
    optimizers = reference_optimizers(model, name)
    losses = []
    for step in range(STEPS):
        model.zero_grad()
        loss = mean_loss(model, tokens[step], target[step])
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1, "the reference didn't learn"
    return torch.tensor(losses, dtype=torch.float64)


def run_tool(scratch, directory, tokens, target, optimizer="adamw", dtype="float32"):
    safetensors.save_file({"input": tokens, "target": target}, scratch / "in.safetensors")
    subprocess.run([options.tool, directory, scratch / "in.safetensors", scratch / "out.safetensors", str(LR), str(WEIGHT_DECAY),
                    optimizer, dtype], check=True)
    return safetensors.load_file(scratch / "out.safetensors")


def compare_losses(what, ours, expected, most):
    expect(f"{what}, losses of {STEPS} steps", ((ours["losses"].double() - expected) / expected).abs().max().item(), most)


def compare_optimizers(model, directory, scratch):
    """In float64, as Muon makes small singular values, and so the rounding in them, 485 times as large in a step."""
    tokens, target = batches()
    for name in ("adam", "adamw", "muon"):
        losses = train_reference(copy.deepcopy(model).double(), name, tokens, target)
        compare_losses(name, run_tool(scratch, directory, tokens, target, name, "float64"), losses, 1e-6)


def compare_family(name, model, scratch):
    torch.manual_seed(1)
    for parameter in model.parameters():  # norms and biases must matter, too
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.1)
    directory = scratch / name
    model.save_pretrained(directory)
    tokens, target = batches()
    ours = run_tool(scratch, directory, tokens, target)
    exact = copy.deepcopy(model).double()  # in float32, the reference's own rounding is as large as ours
    with torch.no_grad():
        expect(f"{name}, logits", distance(ours["logits"], exact(input_ids=tokens[0]).logits), 1e-5)
    mean_loss(exact, tokens[0], target[0]).backward()
    gradients = {key: p.grad for key, p in exact.named_parameters()}
    assert {f"gradient.{key}" for key in gradients} == {key for key in ours if key.startswith("gradient.")}
    distances = {key: distance(ours[f"gradient.{key}"], gradient) for key, gradient in gradients.items()}
    # The bias of the keys hardly moves the softmax: its gradient is a difference of nearly equal sums.
    key_bias = max((distances.pop(key) for key in list(distances) if key.endswith("k_proj.bias")), default=0.0)
    expect(f"{name}, gradient of the key bias", key_bias, 1e-4)
    worst = max(distances, key=distances.get)
    expect(f"{name}, worst gradient ({worst})", distances[worst], 2e-5 if worst.endswith("bias") else 1e-5)
    compare_losses(f"{name}, adamw", ours, train_reference(copy.deepcopy(model), "adamw", tokens, target), 1e-4)
    if name == "grouped_tied_biased":
        compare_optimizers(model, directory, scratch)


def families():
    llama = lambda **keys: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, **keys))
    yield "llama", llama()
    yield "grouped_tied_biased", llama(num_key_value_heads=2, tie_word_embeddings=True, attention_bias=True, head_dim=10)
    yield "llama3_rope", llama(rope_theta=5000.0, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64})
    yield "linear_rope", llama(rope_scaling={"rope_type": "linear", "factor": 4.0})
    yield "qwen3", transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=12))


def train_small(scratch, placement):
    sentencepiece = support.require("sentencepiece")
    text = scratch / "text.txt"
    if not text.exists():
        words = "the quick brown fox jumps over a lazy dog while seven wizards mix black quartz and juggle vexed imps".split()
        text.write_text("\n".join(" ".join(words[(i * j + j) % len(words)] for j in range(1, 14)) for i in range(400)))
        sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(scratch / "tok"), vocab_size=100,
                                                 minloglevel=2, hard_vocab_limit=False)
    out = scratch / placement
    subprocess.run([options.train_llm, "train", "smoke", f"data.train={text}", f"data.tokenizer={scratch}/tok.model",
                    f"data.cache_dir={scratch}/cache", f"train.out_dir={out}", f"model.norm.placement={placement}",
                    "model.num_hidden_layers=4"], check=True, capture_output=True)
    return out / "checkpoints" / "step-00000020"


def check_checkpoint(scratch, placement):
    """A checkpoint gives in transformers what its unfolded gains give with 1/sqrt(layer) after each norm."""
    directory = train_small(scratch, placement)
    tokens = torch.arange(90).reshape(2, 45) % 64
    folded = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    assert type(folded).__name__ == "LlamaForCausalLM"
    scaled = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    resume = safetensors.load_file(directory / "optimizer.safetensors")
    for index, layer in enumerate(scaled.model.layers):
        for name in ("input_layernorm", "post_attention_layernorm"):
            gain = resume.get(f"unfolded.model.layers.{index}.{name}.weight")
            if placement == "pre" or index == 0:
                assert gain is None
                continue
            norm, factor = getattr(layer, name), 1 / math.sqrt(index + 1)
            with torch.no_grad():
                norm.weight.copy_(gain)
            norm.register_forward_hook(lambda module, inputs, output, factor=factor: output * factor)
    with torch.no_grad():
        expect(f"checkpoint of {placement}, logits", distance(folded(tokens).logits, scaled(tokens).logits), 1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    pieces = support.require("sentencepiece").SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    assert tokenizer("seven wizards mix")["input_ids"] == pieces.encode("seven wizards mix")


def check_loss_is_transformers_loss(scratch):
    """train-llm eval scores a checkpoint as transformers does, row by row."""
    directory = scratch / "lns" / "checkpoints" / "step-00000020"
    text = scratch / "text.txt"
    result = subprocess.run([options.train_llm, "eval", directory, "--text", text, "--sequence-length", "32", "--json",
                             "--cache-dir", scratch / "cache"], check=True, capture_output=True, text=True)
    pieces = support.require("sentencepiece").SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    ids = pieces.encode(text.read_text()) + [pieces.eos_id()]
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    total = 0.0
    for start in range(0, len(ids) - 1, 32):
        row = torch.tensor(ids[start : start + 33])
        with torch.no_grad():
            logits = model(row[None, :-1]).logits[0]
        total += torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum").item()
    ours = json.loads(result.stdout)
    assert ours["tokens"] == len(ids) - 1
    expect("eval's loss", abs(ours["val/loss"] - total / (len(ids) - 1)), 1e-4)


with tempfile.TemporaryDirectory() as scratch:
    for family, reference in families():
        compare_family(family, reference, pathlib.Path(scratch))
    for placement in ("pre", "lns"):
        check_checkpoint(pathlib.Path(scratch), placement)
    check_loss_is_transformers_loss(pathlib.Path(scratch))
