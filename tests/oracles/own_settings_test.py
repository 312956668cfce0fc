"""What a run's directory says of text, everything keeps to: eval scores as the run did, generate starts and ends as
transformers would, and a run that starts from a model carries its tokenizer's files along."""

import json
import os
import pathlib
import shutil
import tempfile
import unittest

import runs
import support

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
OPTIONS = support.arguments(__doc__)
transformers = support.require("transformers")
torch = support.require("torch")

FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


class OwnSettings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.runs = runs.Runs(OPTIONS.train_llm, pathlib.Path(holder.name))
        cls.folder = cls.runs.folder
        lines = cls.runs.text.read_text().split("\n")[:120]
        cls.documents = cls.folder / "documents.jsonl"
        cls.documents.write_text("".join(json.dumps({"body": " ".join(lines[i:i + 1 + i % 3])}) + "\n" for i in range(100)))

    def train(self, out, *overrides):
        self.runs.check("train", "smoke", f"data.train={self.documents}", f"data.validation={self.documents}",
                        f"data.tokenizer={self.runs.tokenizer}", "data.text_field=body", "train.max_steps=12",
                        "data.validation_tokens=1000000", f"train.out_dir={out}", *overrides)
        return [record for record in self.runs.metrics(out) if "val/loss" in record][-1]

    def eval(self, directory, *flags):
        return json.loads(self.runs.check("eval", directory, "--text", self.documents, "--json", *flags).stdout)

    def test_eval_scores_a_run_as_the_run_did(self):
        for name, keys in {
            "documents": ["data.mode=documents"],
            "packed": ["data.mode=packed", "data.sequence_length=24"],
            "apart": ["data.mode=packed", "data.document_attention=true"],
            "bos": ["data.mode=packed", "data.add_bos=true"],
            "bos_documents": ["data.mode=documents", "data.add_bos=true", "data.sequence_length=20"],
        }.items():
            with self.subTest(name):
                own = self.train(name, *keys)
                elsewhere = self.folder / f"{name}-copied"  # a checkpoint says it itself
                shutil.copytree(self.runs.checkpoint(name, 12), elsewhere)
                for directory in (name, elsewhere):
                    scored = self.eval(directory)
                    self.assertAlmostEqual(scored["val/loss"], own["val/loss"], delta=1e-5)
                    self.assertEqual(scored["tokens"], own["val/tokens"])
                for key in keys:
                    path, value = key.split("=")
                    self.assertEqual(str(scored["data"][path.removeprefix("data.")]).lower(), value)
                self.assertEqual(scored["data"]["text_field"], "body")

    def test_flags_win_over_what_the_run_had_and_what_was_used_is_printed(self):
        self.train("flags", "data.mode=packed", "data.document_attention=true", "data.add_bos=true")
        across = self.eval("flags", "--document-attention", "false", "--add-bos", "false", "--sequence-length", "16")
        self.assertEqual((across["data"]["document_attention"], across["data"]["add_bos"], across["data"]["sequence_length"]),
                         (False, False, 16))
        self.assertNotEqual(across["val/loss"], self.eval("flags")["val/loss"])
        printed = self.runs.check("eval", "flags", "--text", self.documents, "--mode", "documents").stdout
        self.assertIn("mode=documents", printed)
        self.assertIn("document_attention=false add_bos=true text_field=body", printed)
        other = self.runs.run("eval", "flags", "--text", self.documents, "--text-field", "text")
        self.assertEqual(other.returncode, 3)
        self.assertIn("'text'", other.stderr)
        probes = json.loads(self.runs.check("diagnose", "flags", "--text", self.documents, "--probe", "variance", "--json").stdout)
        self.assertTrue(probes["data"]["document_attention"] and probes["data"]["add_bos"])

    def test_texts_that_start_with_bos_do_so_for_transformers_too(self):
        for name, adds in (("with", True), ("without", False)):
            self.train(name, f"data.add_bos={str(adds).lower()}")
            directory = self.runs.checkpoint(name, 12)
            config = json.loads((directory / "tokenizer_config.json").read_text())
            self.assertEqual(config["add_bos_token"], adds)
            theirs = transformers.AutoTokenizer.from_pretrained(directory)
            ids = theirs("the quick fox")["input_ids"]
            self.assertEqual(ids[0] == theirs.bos_token_id, adds)
            self.assertEqual(ids[1:] if adds else ids, theirs("the quick fox", add_special_tokens=False)["input_ids"])
            model = transformers.AutoModelForCausalLM.from_pretrained(directory, torch_dtype=torch.float32)
            expected = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids):].tolist()
            ours = json.loads(self.runs.check("generate", name, "--prompt", "the quick fox", "--temperature", "0",
                                              "--max-new-tokens", "12", "--json").stdout)
            self.assertEqual(ours["new_tokens"], [id for id in expected if id != theirs.eos_token_id])

    def chat_model(self, name, vocab_size=320, **config):
        """A model of transformers with random weights and two added tokens; ids from 302 on have no piece."""
        directory = self.folder / name
        torch.manual_seed(3)
        transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=vocab_size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=64, initializer_range=0.5, bos_token_id=1, eos_token_id=2)).save_pretrained(directory)
        (directory / "generation_config.json").unlink()
        shutil.copy(self.runs.tokenizer, directory / "tokenizer.model")
        token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        contents = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
        added = {str(id): {**token, "content": content} for id, content in zip((0, 1, 2, 300, 301), contents)}
        (directory / "tokenizer_config.json").write_text(json.dumps(
            {"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": added, "bos_token": "<s>", "eos_token": "<|im_end|>",
             "unk_token": "<unk>", "chat_template": "{{ messages[0]['content'] }}", **config}))
        (directory / "added_tokens.json").write_text(json.dumps({"<|im_start|>": 300, "<|im_end|>": 301}))
        (directory / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
        return directory

    def generate(self, directory, *flags):
        return json.loads(self.runs.check("generate", directory, "--prompt", "<|im_start|>the fox", "--max-new-tokens", "40",
                                          "--json", *flags).stdout)

    def test_ids_without_a_piece_are_never_sampled(self):
        directory = self.chat_model("padded", vocab_size=1088)
        for flags in (["--temperature", "0"], ["--temperature", "5", "--top-p", "1"], ["--temperature", "100"]):
            made = self.generate(directory, *flags)
            self.assertTrue(made["new_tokens"])
            self.assertLess(max(made["new_tokens"]), 302)
            self.assertTrue(made["text"].startswith("<|im_start|>the fox"))

    def test_generation_ends_at_the_ids_at_which_transformers_ends(self):
        directory = self.chat_model("ends")
        long = self.generate(directory, "--temperature", "0")["new_tokens"]
        self.assertEqual(len(long), 40)
        for config in ({"eos_token_id": [long[30], long[7]]}, {"eos_token_id": long[3]}):
            (directory / "generation_config.json").write_text(json.dumps(config))
            theirs = transformers.AutoModelForCausalLM.from_pretrained(directory)
            ids = transformers.AutoTokenizer.from_pretrained(directory)("<|im_start|>the fox", return_tensors="pt")
            expected = theirs.generate(**ids, max_new_tokens=40, do_sample=False)[0, ids["input_ids"].shape[1]:].tolist()
            self.assertEqual(self.generate(directory, "--temperature", "0")["new_tokens"], expected[:-1])

    def continue_from(self, start, out, *overrides):
        config = self.folder / "continue.yaml"
        config.write_text("data: {mode: packed, sequence_length: 32}\ntrain: {max_steps: 2, global_batch_size: 4}\n")
        self.runs.check("train", config, f"train.init_from={start}", f"data.train={self.documents}", "data.text_field=body",
                        f"train.out_dir={out}", *overrides)
        return self.runs.checkpoint(out, 2)

    def test_a_run_that_starts_from_a_model_keeps_its_tokenizer(self):
        start = self.chat_model("start", add_bos_token=True)
        directory = self.continue_from(start, "continued")
        for file in FILES:
            self.assertEqual((directory / file).read_bytes(), (start / file).read_bytes(), file)
        before, after = (transformers.AutoTokenizer.from_pretrained(path) for path in (start, directory))
        for text in ("<|im_start|>the fox<|im_end|>", "</s> the"):
            self.assertEqual(after(text)["input_ids"], before(text)["input_ids"])
        self.assertEqual((after.bos_token_id, after.eos_token_id, after.chat_template), (1, 301, before.chat_template))
        self.assertEqual(after("the")["input_ids"][0], 1)
        self.assertTrue(self.eval("continued")["data"]["add_bos"])
        self.assertTrue(self.eval(start, "--text-field", "body")["data"]["add_bos"])

    def test_a_run_that_says_otherwise_of_bos_writes_that(self):
        start = self.chat_model("disagrees", add_bos_token=True)
        theirs = transformers.AutoTokenizer.from_pretrained(self.continue_from(start, "other", "data.add_bos=false"))
        self.assertEqual(theirs("the")["input_ids"], theirs("the", add_special_tokens=False)["input_ids"])

    def test_a_tokenizer_without_eos_is_refused_with_the_way_out(self):
        sentencepiece = support.require("sentencepiece")
        folder = self.folder / "no_eos"
        folder.mkdir()
        sentencepiece.SentencePieceTrainer.train(
            input=str(self.runs.text), model_prefix=str(folder / "tokenizer"), vocab_size=300, model_type="bpe",
            byte_fallback=True, eos_id=-1, user_defined_symbols=["<|end|>"], minloglevel=2)
        words = ("prepare", self.documents, "--text-field", "body", "--tokenizer", folder / "tokenizer.model", "--output")
        refused = self.runs.run(*words, self.folder / "refused")
        self.assertEqual(refused.returncode, 3)
        self.assertIn("name one of its tokens as eos_token in tokenizer_config.json", refused.stderr)
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))
        self.runs.check(*words, self.folder / "mended")


if __name__ == "__main__":
    unittest.main(argv=[__file__])
