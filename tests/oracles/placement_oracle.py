"""Every row of the placement table, every scaling and their combinations against straightforward PyTorch, written here
from the papers' formulas: outputs and all gradients of a 4-layer model in float64."""

import json
import math
import pathlib
import subprocess
import tempfile

import support

torch = support.require("torch")
safetensors = support.require("safetensors.torch")
F = torch.nn.functional

options = support.arguments(__doc__)
LAYERS, HIDDEN, HEADS, KV_HEADS, INNER, VOCAB, EPS, THETA = 4, 48, 4, 2, 80, 61, 1e-6, 10000.0
HEAD = HIDDEN // HEADS
TOLERANCE = 1e-10


class Weights:
    """The model's parameters by name; asking for one that isn't there is an error, and so is one nobody asks for."""

    def __init__(self, tensors):
        self.tensors = {name: value.clone().requires_grad_() for name, value in tensors.items()}
        self.used = set()

    def __call__(self, name):
        self.used.add(name)
        return self.tensors[name]


def rms(x, gain):
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * gain


def rotate(x):
    """RoPE on [B, H, T, C], the halves of a head paired."""
    time, half = x.shape[2], x.shape[3] // 2
    angle = torch.outer(torch.arange(time, dtype=x.dtype), THETA ** (-torch.arange(half, dtype=x.dtype) / half))
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def split(x):
    return x.view(x.shape[0], x.shape[1], -1, HEAD).transpose(1, 2)


class Block:
    """Sub-layers and norms of one layer, by what the papers call them."""

    def __init__(self, weights, layer, choices):
        self.weights, self.layer, self.choices = weights, layer, choices
        self.prefix = f"model.layers.{layer - 1}."

    def parameter(self, name):
        return self.weights(self.prefix + name)

    def norm(self, name, x):
        if self.choices.get("kind") == "layer":
            return F.layer_norm(x, (HIDDEN,), self.parameter(name + ".weight"), self.parameter(name + ".bias"), EPS)
        return rms(x, self.parameter(name + ".weight"))

    def attention(self, x, heads=None, values=False):
        """heads: norm of query and key, "head" or "full"; values: a norm of each head of the values, too."""
        project = lambda name: x @ self.parameter(f"self_attn.{name}_proj.weight").T
        q, k, v = project("q"), project("k"), project("v")
        if heads == "full":
            q, k = rms(q, self.parameter("self_attn.q_norm.weight")), rms(k, self.parameter("self_attn.k_norm.weight"))
        q, k, v = split(q), split(k), split(v)
        if heads == "head":
            q, k = rms(q, self.parameter("self_attn.q_norm.weight")), rms(k, self.parameter("self_attn.k_norm.weight"))
        if values:
            v = rms(v, self.parameter("self_attn.v_norm.weight"))
        q, k = rotate(q), rotate(k)
        k, v = k.repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1)
        scores = q @ k.transpose(2, 3) / math.sqrt(HEAD)
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return y @ self.parameter("self_attn.o_proj.weight").T

    def feed_forward(self, x):
        gate, up = (x @ self.parameter(f"mlp.{name}_proj.weight").T for name in ("gate", "up"))
        return (F.silu(gate) * up) @ self.parameter("mlp.down_proj.weight").T


# What one residual step of each placement computes. b: the block; F: attention or feed-forward; names of its norms and
# learned factors in `site`, "attention" or "feed_forward".
INPUT_NORM = {"attention": "input_layernorm", "feed_forward": "post_attention_layernorm"}
STEPS, ENDS = {}, {}


def placement(name, **ends):
    def register(step):
        STEPS[name], ENDS[name] = step, ends
        return step
    return register


@placement("pre")
def pre(b, site, x, sub, c):
    return x + sub(b.norm(INPUT_NORM[site], x))


@placement("post", final=None)
def post(b, site, x, sub, c):
    return b.norm(f"{site}_sum_norm", x + sub(x))


@placement("mix")
def mix(b, site, x, sub, c):
    return (post if b.layer <= c.get("post_layers", LAYERS // 4) else pre)(b, site, x, sub, c)


@placement("deepnorm", final=None)
def deepnorm(b, site, x, sub, c):
    return b.norm(f"{site}_sum_norm", (2 * LAYERS) ** 0.25 * x + sub(x))


@placement("deepnorm_released", final=None)
def deepnorm_released(b, site, x, sub, c):
    return b.norm(f"{site}_sum_norm", 2.828 * x + sub(x))


@placement("lns")
def lns(b, site, x, sub, c):
    norm = lambda y: b.norm(INPUT_NORM[site], y)
    if c.get("sublayers", "both") not in ("both", site):
        return pre(b, site, x, sub, c)
    p = b.parameter(f"{site}_norm_exponent") if c.get("learn_exponent") else c.get("exponent", 0.5)
    factor = b.layer ** -p
    return {"after_norm": lambda: x + sub(norm(x) * factor),
            "before_norm": lambda: x + sub(norm(x * factor)),
            "after_branch": lambda: x + sub(norm(x)) * factor,
            "after_residual": lambda: (x + sub(norm(x))) * factor}[c.get("position", "after_norm")]()


@placement("sandwich")
def sandwich(b, site, x, sub, c):
    return x + b.norm(f"{site}_output_norm", sub(b.norm(INPUT_NORM[site], x)))


@placement("admin", final=None)
def admin(b, site, x, sub, c):
    return b.norm(f"{site}_sum_norm", b.parameter(f"{site}_skip_gain") * x + sub(x))


def group_norm(x, gain, groups):
    parts = x.view(*x.shape[:-1], groups, -1)
    return (parts / torch.sqrt(parts.pow(2).mean(-1, keepdim=True) + EPS)).view_as(x) * gain


@placement("group", final="group")
def group(b, site, x, sub, c):
    return x + sub(group_norm(x, b.parameter(INPUT_NORM[site] + ".weight"), c.get("groups", 8)))


@placement("layerscale")
@placement("skipinit")
def branch_gain(b, site, x, sub, c):
    return x + b.parameter(f"{site}_branch_gain") * sub(b.norm(INPUT_NORM[site], x))


@placement("peri", embedding="norm")
def peri(b, site, x, sub, c):
    return sandwich(b, site, x, sub, c)


@placement("reordered")
def reordered(b, site, x, sub, c):
    return x + b.norm(f"{site}_output_norm", sub(x))


@placement("hybrid")
def hybrid(b, site, x, sub, c):
    if c.get("first_block_pre") and b.layer == 1:
        return pre(b, site, x, sub, c)
    return b.norm("attention_sum_norm", x + sub(x)) if site == "attention" else x + sub(x)


def dynamic_tanh(x, gain, alpha):
    return gain * torch.tanh(alpha * x)


@placement("dyt", embedding="gain", final="dyt")
def dyt(b, site, x, sub, c):
    name = INPUT_NORM[site]
    return x + sub(dynamic_tanh(x, b.parameter(name + ".weight"), b.parameter(name + ".alpha")))


def gate(x, a):
    return x - F.silu(a) * x.detach()


@placement("gpas")
def gpas(b, site, x, sub, c):
    return gate(x + sub(b.norm(INPUT_NORM[site], x)), b.parameter(f"{site}_sum_gate"))


HEAD_NORMS = {"reordered": dict(heads="full"), "hybrid": dict(heads="head", values=True)}

# Scalings on other placements than Pre-LN: a function from the plain sub-layer to the scaled one, or the whole step.
SCALED = {
    ("sandwich", "lns"): lambda b, site, x, sub, c: x + b.norm(
        f"{site}_output_norm", sub(b.norm(INPUT_NORM[site], x) / math.sqrt(b.layer))),
    ("sandwich", "gpas"): lambda b, site, x, sub, c: gate(
        sandwich(b, site, x, sub, c), b.parameter(f"{site}_sum_gate")),
    ("deepnorm", "gpas"): lambda b, site, x, sub, c: b.norm(
        f"{site}_sum_norm", (2 * LAYERS) ** 0.25 * gate(x, b.parameter(f"{site}_skip_gate")) + sub(x)),
    ("lns", "gpas"): lambda b, site, x, sub, c: gate(lns(b, site, x, sub, c), b.parameter(f"{site}_sum_gate")),
    ("peri", "layerscale"): lambda b, site, x, sub, c: x + b.parameter(f"{site}_branch_gain") * b.norm(
        f"{site}_output_norm", sub(b.norm(INPUT_NORM[site], x))),
    ("post", "skipinit"): lambda b, site, x, sub, c: b.norm(
        f"{site}_sum_norm", x + b.parameter(f"{site}_branch_gain") * sub(x)),
}


def step_of(layer, c):
    """The placement's name and step at a layer; "post x1, lns x3" is a list."""
    names = []
    for part in c["placement"].split(","):
        name, *count = part.split()
        names += [name] * (int(count[0][1:]) if count else LAYERS)
    name = names[layer - 1]
    scaling = c.get("scaling", "none")
    return names, name, STEPS[name] if scaling == "none" else SCALED[name, scaling]


def reference(weights, tokens, c):
    names, _, _ = step_of(1, c)
    x = weights("model.embed_tokens.weight")[tokens]
    outer = Block(weights, 1, c)
    outer.prefix = "model."
    embedding = ENDS[names[0]].get("embedding")
    if embedding == "gain":
        x = x * weights("model.embedding_gain")
    elif embedding == "norm":
        x = outer.norm("embedding_norm", x)
    for layer in range(1, LAYERS + 1):
        _, name, step = step_of(layer, c)
        b = Block(weights, layer, c)
        heads = dict(HEAD_NORMS.get(name, {}))
        if c.get("qk_norm", "auto") != "auto":
            heads["heads"] = None if c["qk_norm"] == "none" else c["qk_norm"]
        x = step(b, "attention", x, lambda h: b.attention(h, **heads), c)
        x = step(b, "feed_forward", x, b.feed_forward, c)
    final = ENDS[names[-1]].get("final", "norm")
    if c.get("final") == "on" and final is None:
        final = "norm"
    if final == "norm":
        x = outer.norm("norm", x)
    elif final == "group":
        x = group_norm(x, weights("model.norm.weight"), c.get("groups", 8))
    elif final == "dyt":
        x = dynamic_tanh(x, weights("model.norm.weight"), weights("model.norm.alpha"))
    return x @ weights("lm_head.weight").T


def distance(value, expected, least=1e-30):
    """Relative L2; least: the smallest norm to be relative to."""
    return ((value - expected).norm() / expected.norm().clamp_min(least)).item()


def compare(c, scratch):
    overrides = [f"model.{'' if key == 'qk_norm' else 'norm.'}{key}={str(value).lower()}" for key, value in c.items()]
    sizes = dict(hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                 num_key_value_heads=KV_HEADS, vocab_size=VOCAB, rms_norm_eps=EPS, rope_theta=THETA)
    out = scratch / "out.safetensors"
    subprocess.run([options.tool, out, *(f"model.{key}={value}" for key, value in sizes.items()), *overrides], check=True)
    ours = safetensors.load_file(out)
    ours.update({name: ours[name].long() for name in ("input", "target")})
    weights = Weights({k.removeprefix("weight."): v for k, v in ours.items() if k.startswith("weight.")})
    logits = reference(weights, ours["input"], c)
    F.cross_entropy(logits.flatten(0, 1), ours["target"].flatten()).backward()
    assert weights.used == set(weights.tensors), f"{c}: {sorted(set(weights.tensors) - weights.used)} have no formula"
    far = {"logits": distance(ours["logits"], logits)}
    # Just before a norm, the sum of a gate's gradient cancels: the norm takes away what the gate does. So gates are compared
    # on the scale of the model's largest.
    gates = max((t.grad.norm().item() for name, t in weights.tensors.items() if name.endswith("_gate")), default=0.0)
    for name, tensor in weights.tensors.items():
        far[name] = distance(ours["gradient." + name], tensor.grad, gates if name.endswith("_gate") else 1e-30)
    worst = max(far, key=far.get)
    print(f"{json.dumps(c)}: {len(far) - 1} gradients, worst {far[worst]:.2g} ({worst})")
    assert far[worst] <= TOLERANCE, f"{c}: {worst} differs by {far[worst]:.3g}"
    return ours


def rows(table):
    return json.loads(subprocess.run([options.train_llm, "list", table, "--json"], check=True, capture_output=True,
                                     text=True).stdout)


def check_tables():
    for table in ("placements", "scalings"):
        for row in rows(table):
            assert row["summary"], f"{row['name']} has no formula"
            assert row["name"] == "none" or row["source"], f"{row['name']} has no source"
    missing = [row["name"] for row in rows("placements") if row["name"] not in STEPS]
    assert not missing, f"{missing} have no reference here: write one from the formula"
    unknown = [row["name"] for row in rows("scalings") if row["name"] not in {"none"} | set(STEPS)]
    assert not unknown, f"{unknown} have no reference here"


def combinations():
    for row in rows("placements"):
        yield {"placement": row["name"]}
    yield from ({"placement": "lns", "position": p} for p in ("before_norm", "after_branch", "after_residual"))
    yield from ({"placement": "lns", "sublayers": s} for s in ("attention", "feed_forward"))
    yield {"placement": "lns", "exponent": 0.25}
    yield {"placement": "lns", "exponent": 1.0, "learn_exponent": True}
    yield {"placement": "mix", "post_layers": 3}
    yield {"placement": "group", "groups": 3}
    yield {"placement": "hybrid", "first_block_pre": True}
    yield {"placement": "pre", "qk_norm": "head"}
    yield {"placement": "lns", "qk_norm": "full"}
    yield {"placement": "reordered", "qk_norm": "none"}
    yield {"placement": "sandwich", "kind": "layer"}
    yield {"placement": "peri", "kind": "layer"}
    yield {"placement": "post", "final": "on"}
    yield {"placement": "post x1, lns x3"}
    yield {"placement": "dyt x2, reordered x2"}
    yield from ({"placement": p, "scaling": s} for p, s in SCALED)


def admin_profile(ours, c):
    """sqrt(sum of Var[F] before), from a forward pass of the reference with every gain at 1."""
    weights = Weights({k.removeprefix("start."): v for k, v in ours.items() if k.startswith("start.")})
    gains = {name: value.detach().clone() for name, value in weights.tensors.items() if name.endswith("skip_gain")}
    x = weights("model.embed_tokens.weight")[ours["input"]]
    total = 0.0
    for layer in range(1, LAYERS + 1):
        b = Block(weights, layer, c)
        for site, sub in (("attention", b.attention), ("feed_forward", b.feed_forward)):
            branch = sub(x)
            expected = torch.full((HIDDEN,), math.sqrt(total) if total else 1.0, dtype=torch.float64)
            assert distance(gains[f"{b.prefix}{site}_skip_gain"], expected) < 1e-9, (layer, site)
            total += branch.var(unbiased=False).item()
            x = b.norm(f"{site}_sum_norm", x + branch)
    print(f"admin's gains as profiled, up to {math.sqrt(total):.4g}")


def main():
    check_tables()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        for c in combinations():
            ours = compare(c, scratch)
            if c == {"placement": "admin"}:
                admin_profile(ours, c)


main()
