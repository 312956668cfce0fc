"""Models whose only tokenizer is a tokenizer.json, as Qwen, Llama 3, OLMo 2 and SmolLM bring it: what import, generate, eval,
tokenizer, prepare and train make of a tiny one, against transformers."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import support

OPTIONS = support.arguments(__doc__)
torch = support.require("torch")
transformers = support.require("transformers")
tokenizers = support.require("tokenizers")
import tokenizer_families as families  # noqa: E402

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
SCRATCH = tempfile.TemporaryDirectory()
TEXT = "\n".join(families.lines(150, seed=5)).replace("\r", "")
LENGTH = 64
# architecture, family of the tokenizer, tokenizer_config.json
MODELS = {
    "qwen": ("Qwen2", "qwen_2", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
    "llama_3": ("Llama", "llama_3", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
                                     "eos_token": "<|end_of_text|>"}),
    "olmo_2": ("Olmo2", "olmo_2", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>",
                                   "pad_token": "<|pad|>"}),
    "smollm": ("Llama", "smollm", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>",
                                   "eos_token": "<|endoftext|>"}),
}


def train_llm(*words, text="", fails=False):
    done = subprocess.run([OPTIONS.train_llm, *map(str, words)], input=text.encode(), capture_output=True, timeout=300,
                          env=ENVIRONMENT)
    assert (done.returncode != 0) == fails, f"{words}: {done.returncode}: {done.stderr.decode()[-2000:]}"
    return (done.stderr if fails else done.stdout).decode()


def make(name):
    """A random model as its release would be."""
    architecture, family, config = MODELS[name]
    folder = pathlib.Path(SCRATCH.name) / f"{name}_source"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(families.make(family, TEXT.splitlines(), vocab_size=600), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(len(name))
    sizes = dict(vocab_size=len(tokenizer) + 40, hidden_size=48, intermediate_size=96, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
                 bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=None)
    model = getattr(transformers, f"{architecture}ForCausalLM")(getattr(transformers, f"{architecture}Config")(**sizes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.3)
    with torch.no_grad():  # ids without a token aren't drawn
        model.lm_head.weight[len(tokenizer):] = 0
    model.save_pretrained(folder)
    return folder, model.eval(), tokenizer


class Models(unittest.TestCase):
    def check(self, name):
        source, model, tokenizer = make(name)
        imported = source.with_name(f"{name}_imported")
        train_llm("import", source, "--output", imported)
        self.check_lines(source, tokenizer)
        self.check_generate(imported, model, tokenizer)
        text = source.with_name(f"{name}.txt")
        text.write_text(TEXT, encoding="utf-8")
        loss = self.check_eval(imported, model, tokenizer, text)
        self.check_train(imported, loss, text)

    def check_lines(self, source, tokenizer):
        printed = train_llm("tokenizer", "encode", "--tokenizer", source / "tokenizer.json", text=TEXT + "\n")
        ids = [[int(word) for word in line.split()] for line in printed.split("\n")[:-1]]
        self.assertEqual(ids, [tokenizer(line, add_special_tokens=False)["input_ids"] for line in TEXT.split("\n")])
        decoded = train_llm("tokenizer", "decode", "--tokenizer", source / "tokenizer.json", text=printed)
        self.assertEqual(decoded, "".join(tokenizer.decode(line, skip_special_tokens=True) + "\n" for line in ids))

    def check_generate(self, imported, model, tokenizer):
        """Greedy text is transformers', and no half of a character is printed on the way."""
        for prompt in ("The quick brown fox", "\u4f60\u597d\uff0c", "caf\u00e9 123<|im_end|>\n"):
            ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
            theirs = model.generate(ids, max_new_tokens=40, do_sample=False, pad_token_id=0,
                                    suppress_tokens=list(range(len(tokenizer), model.config.vocab_size)))
            start, whole = (tokenizer.decode(text[0], skip_special_tokens=True) for text in (ids, theirs))
            expected = prompt + whole[len(start):]
            options = ("--prompt", prompt, "--temperature", "0", "--max-new-tokens", "40")
            self.assertEqual(json.loads(train_llm("generate", imported, *options, "--json"))["text"], expected)
            self.assertEqual(train_llm("generate", imported, *options), expected + "\n")

    def check_eval(self, imported, model, tokenizer, text):
        """The loss of packed rows that one pass of the text gives: one document, ended by EOS."""
        scored = json.loads(train_llm("eval", imported, "--text", text, "--mode", "packed", "--sequence-length", LENGTH, "--json"))
        adds_bos = tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
        ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        ids = torch.tensor([tokenizer.bos_token_id] * adds_bos + ids)
        total, targets = 0.0, 0
        for begin in range(0, len(ids) - 1, LENGTH):
            row = ids[begin:begin + LENGTH + 1]
            if targets + len(row) - 1 > scored["tokens"]:
                break
            with torch.no_grad():
                logits = model(row[None, :-1]).logits[0]
            total += torch.nn.functional.cross_entropy(logits.float(), row[1:], reduction="sum").item()
            targets += len(row) - 1
        self.assertEqual(targets, scored["tokens"])
        self.assertAlmostEqual(total / targets, scored["val/loss"], delta=1e-4)
        return scored["val/loss"]

    def check_train(self, imported, loss, text):
        """A run from it, on text, begins with its loss; its checkpoints bring its tokenizer along."""
        out = imported.with_name(imported.name + "_run")
        config = imported.with_name(imported.name + ".json")
        config.write_text(json.dumps({
            "train": {"max_steps": 4, "global_batch_size": 8, "threads": 1, "init_from": str(imported), "out_dir": str(out)},
            "data": {"train": [str(text)], "validation": [str(text)], "sequence_length": LENGTH, "mode": "packed",
                     "cache_dir": str(out) + "_cache"},
            "optimizer": {"lr": 0.003}, "eval": {"interval": 4}, "log": {"tensorboard": False}}))
        train_llm("train", config)
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses = [record["val/loss"] for record in records if record["event"] == "eval"]
        self.assertAlmostEqual(losses[0], loss, delta=0.02)  # the run's validation may end a row earlier
        self.assertLess(losses[-1], losses[0])
        checkpoint = out / "checkpoints" / "step-00000004"
        self.assertEqual((checkpoint / "tokenizer.json").read_bytes(), (imported / "tokenizer.json").read_bytes())
        train_llm("generate", out, "--prompt", "The", "--max-new-tokens", "4")
        train_llm("diagnose", out, "--text", text, "--probe", "variance", "--max-tokens", "512")
        train_llm("prepare", text, "--tokenizer", checkpoint / "tokenizer.json", "--output", str(out) + "_prepared")


for model_name in MODELS:
    def test(self, name=model_name):
        self.check(name)
    setattr(Models, f"test_{model_name}_does_with_text_what_transformers_does", test)


class Directories(unittest.TestCase):
    def test_a_tiktoken_file_makes_way_for_a_tokenizer_json_and_else_says_what_to_do(self):
        folder = pathlib.Path(SCRATCH.name) / "tiktoken"
        shutil.copytree(make("qwen")[0], folder)
        (folder / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
        train_llm("generate", folder, "--prompt", "The", "--max-new-tokens", "2")
        (folder / "tokenizer.json").unlink()
        message = train_llm("generate", folder, "--prompt", "The", fails=True)
        self.assertIn("tiktoken", message)
        self.assertIn(f"scripts/write_token_file.py {folder} TEXT... --output F.tokens", message)
        alone = folder / "ranks.tiktoken"
        shutil.copy(folder / "tokenizer.model", alone)
        (folder / "text.txt").write_text(TEXT)
        message = train_llm("prepare", folder / "text.txt", "--tokenizer", alone, "--output", folder / "never", fails=True)
        self.assertIn("a tiktoken file", message)

    def test_a_name_on_the_hub_comes_with_the_command_that_downloads_it(self):
        for command in (("import", "Qwen/Qwen2.5-0.5B", "--output", pathlib.Path(SCRATCH.name) / "never"),
                        ("generate", "Qwen/Qwen2.5-0.5B", "--prompt", "x"), ("eval", "Qwen/Qwen2.5-0.5B", "--text", "x"),
                        ("diagnose", "Qwen/Qwen2.5-0.5B", "--text", "x"), ("export", "Qwen/Qwen2.5-0.5B", "--to", "hf", "--output", "x"),
                        ("plan", "smoke", "train.init_from=Qwen/Qwen2.5-0.5B")):
            message = train_llm(*command, fails=True)
            self.assertIn("hf download Qwen/Qwen2.5-0.5B --local-dir Qwen2.5-0.5B", message)


if __name__ == "__main__":
    unittest.main(argv=["json_models_oracle"], verbosity=2)
