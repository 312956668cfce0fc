"""A Fathom model for transformers, 4.56 or later: a Llama whose residual steps follow the plan in config.json.

    y = sum_gate(sum_norm(skip_scale skip_gain skip_gate(x) + output_scale branch_gain output_norm(F(h))) sum_scale)
    h = norm_scale base^-norm_exponent input_norm(input_scale x)

The plan has one object for each residual step; what it leaves out is not there, and its scales are 1.
"""

import torch
from torch import nn
from torch.nn import functional
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaForCausalLM, LlamaModel


class FathomConfig(LlamaConfig):
    model_type = "fathom"


class Norm(nn.Module):
    """rms, layer, group or dyt, over the last dimension."""

    def __init__(self, plan, width, eps):
        super().__init__()
        plan = plan if isinstance(plan, dict) else {"kind": plan}
        self.kind, self.groups, self.eps = plan["kind"], plan.get("groups", 1), eps
        self.weight = nn.Parameter(torch.ones(width))
        if self.kind == "layer":
            self.bias = nn.Parameter(torch.zeros(width))
        if self.kind == "dyt":
            self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x):
        if self.kind == "layer":
            return functional.layer_norm(x, self.weight.shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)
        if self.kind == "dyt":
            return self.weight.to(x.dtype) * torch.tanh(self.alpha.to(x.dtype) * x)
        wide = x.unflatten(-1, (self.groups, -1)).to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide.flatten(-2) * self.weight).to(x.dtype)


def make_norm(plan, width, eps):
    return nn.Identity() if plan in (None, "none") else Norm(plan, width, eps)


def make_gain(plan, width):
    if plan is None or plan["kind"] == "none":
        return None
    return nn.Parameter(torch.ones(width if plan["kind"] == "channel" else 1))


def gained(x, gain):
    return x if gain is None else x * gain.to(x.dtype)


def gated(x, gate):
    return x if gate is None else x - functional.silu(gate).to(x.dtype) * x.detach()


class FathomLayer(LlamaDecoderLayer):
    INPUT_NORM = {"attention": "input_layernorm", "feed_forward": "post_attention_layernorm"}

    def __init__(self, config, layer_idx):
        super().__init__(config, layer_idx)
        self.plan = config.fathom["plan"]["layers"][layer_idx]
        self.folded = config.fathom["norm_scale"] == "folded"
        width, eps = config.hidden_size, config.rms_norm_eps
        for step, plan in self.plan.items():
            setattr(self, self.INPUT_NORM[step], make_norm(plan.get("input_norm"), width, eps))
            setattr(self, f"{step}_output_norm", make_norm(plan.get("output_norm"), width, eps))
            setattr(self, f"{step}_sum_norm", make_norm(plan.get("sum_norm"), width, eps))
            for gain in ("skip_gain", "branch_gain"):
                self.register_parameter(f"{step}_{gain}", make_gain(plan.get(gain), width))
            for scalar in ("norm_exponent", "skip_gate", "sum_gate"):
                parameter = nn.Parameter(torch.zeros(1)) if plan.get(scalar) else None
                self.register_parameter(f"{step}_{scalar}", parameter)
        if config.attention_bias and not config.fathom["model"].get("attention_output_bias", True):
            self.self_attn.o_proj = nn.Linear(self.self_attn.o_proj.in_features, width, bias=False)
        for name in ("query", "key", "value"):
            self.add_head_norm(name, self.plan["attention"].get(f"{name}_norm", "none"), eps)

    def add_head_norm(self, name, kind, eps):
        """Query, key and value are normed as they come from their projections, each head alone or all together."""
        if kind == "none":
            return
        attention, head_dim = self.self_attn, self.self_attn.head_dim
        projection = getattr(attention, f"{name[0]}_proj")
        norm = Norm("rms", head_dim if kind == "head" else projection.out_features, eps)
        setattr(attention, f"{name[0]}_norm", norm)
        if kind == "full":
            projection.register_forward_hook(lambda module, inputs, y: norm(y))
        else:
            heads = (-1, head_dim)
            projection.register_forward_hook(lambda module, inputs, y: norm(y.unflatten(-1, heads)).flatten(-2))

    def residual_step(self, step, x, branch):
        plan = self.plan[step]
        norm_scale = 1.0 if self.folded else plan.get("norm_scale", 1.0)
        h = getattr(self, self.INPUT_NORM[step])(x * plan.get("input_scale", 1.0)) * norm_scale
        exponent = getattr(self, f"{step}_norm_exponent")
        if exponent is not None:
            h = gained(h, torch.as_tensor(plan["norm_exponent"]["base"], device=h.device) ** -exponent)
        update = getattr(self, f"{step}_output_norm")(branch(h)) * plan.get("output_scale", 1.0)
        update = gained(update, getattr(self, f"{step}_branch_gain"))
        skip = gated(x, getattr(self, f"{step}_skip_gate")) * plan.get("skip_scale", 1.0)
        total = gained(skip, getattr(self, f"{step}_skip_gain")) + update
        y = getattr(self, f"{step}_sum_norm")(total) * plan.get("sum_scale", 1.0)
        return gated(y, getattr(self, f"{step}_sum_gate"))

    def forward(self, hidden_states, *arguments, **keywords):
        x = self.residual_step("attention", hidden_states, lambda h: self.self_attn(h, *arguments, **keywords)[0])
        return self.residual_step("feed_forward", x, self.mlp)


class FathomModel(LlamaModel):
    config_class = FathomConfig

    def __init__(self, config):
        super().__init__(config)
        plan, width = config.fathom["plan"], config.hidden_size
        self.layers = nn.ModuleList(FathomLayer(config, index) for index in range(config.num_hidden_layers))
        self.norm = make_norm(plan["final_norm"], width, config.rms_norm_eps)
        self.embedding_norm = make_norm(plan.get("embedding_norm"), width, config.rms_norm_eps)
        self.register_parameter("embedding_gain", make_gain(plan.get("embedding_gain"), width))

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
                **keywords):
        """inputs_embeds: embeddings before the plan's gain and norm of them."""
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        x = self.embedding_norm(gained(x, self.embedding_gain))
        return super().forward(attention_mask=attention_mask, position_ids=position_ids,
                               past_key_values=past_key_values, inputs_embeds=x, **keywords)


class FathomForCausalLM(LlamaForCausalLM):
    config_class = FathomConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = FathomModel(config)
        self.post_init()
