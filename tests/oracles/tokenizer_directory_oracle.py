"""The tokenizer of a model directory, tokenizer.model with Hugging Face's files beside it, gives transformers' ids."""

import gzip
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["RUST_BACKTRACE"] = "0"
OPTIONS = support.arguments(__doc__, seed=7)
sentencepiece = support.require("sentencepiece")
transformers = support.require("transformers")
torch = support.require("torch")
if transformers.__version__.startswith("4."):
    support.skip("transformers 4 builds tokenizers otherwise; these rules are those of 5")

PIECES = 700
START, END = "<|im_start|>", "<|im_end|>"
LLAMA = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
         "clean_up_tokenization_spaces": False}


def token(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True,
            **flags}


TYPED = {"__type": "AddedToken"}
CHATML = {"0": token("<unk>"), "1": token("<s>"), "2": token("</s>"), str(PIECES): token(START), str(PIECES + 1): token(END)}
FLAGS = {str(PIECES): token(START, lstrip=True), str(PIECES + 1): token(END, rstrip=True, special=False),
         str(PIECES + 2): token("word", single_word=True, special=False),
         str(PIECES + 3): token("tool", normalized=True, special=False), str(PIECES + 4): token(" two parts", special=False)}
# What lies beside tokenizer.model, by file.
DIRECTORIES = {
    "chatml": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": CHATML, "legacy": False}},
    "legacy": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": CHATML, "legacy": True}},
    "flags": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": FLAGS}},
    "flags_legacy": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": FLAGS, "legacy": True}},
    "no_prefix": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": CHATML, "add_prefix_space": False}},
    "split": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": FLAGS, "split_special_tokens": True}},
    "older": {"tokenizer_config.json": LLAMA, "added_tokens.json": {START: PIECES, END: PIECES + 1, "tool": PIECES + 2},
              "special_tokens_map.json": {"bos_token": "<s>", "eos_token": token(END), "pad_token": "<unk>",
                                          "additional_special_tokens": [START]}},
    "additional": {"tokenizer_config.json": {**LLAMA, "additional_special_tokens": [START, TYPED | token(END, lstrip=True)]}},
    "extra": {"tokenizer_config.json": {**LLAMA, "extra_special_tokens": {"image_token": START}, "audio_token": END}},
    "gap": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": {"900": token(START), "950": token(END)}}},
    "order": {"tokenizer_config.json": {**LLAMA, "video_token": START, "image_token": END, "audio_token": "tool"}},
    "eos": {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": CHATML, "eos_token": TYPED | token(END)}},
}
# tokenizer.json as others wrote it: transformers 4 for a Llama, with and without `legacy`, and for an added space everywhere.
PREPEND = {"normalizer": {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "\u2581"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}, "pre_tokenizer": None}
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "split": False}
FORMS = {
    "prepend": PREPEND,
    "first": {"normalizer": None, "pre_tokenizer": {**METASPACE, "prepend_scheme": "first"}},
    "always": {"normalizer": None, "pre_tokenizer": {**METASPACE, "prepend_scheme": "always"}},
    "never": {"normalizer": None, "pre_tokenizer": {**METASPACE, "prepend_scheme": "never"}},
}


# Which class AutoTokenizer takes, and so what it obeys of a tokenizer.model: tokenizer_config.json, model_type of config.json.
CLASSES = {
    "llama": (LLAMA, "llama"),
    "llama_legacy": ({**LLAMA, "legacy": True}, "llama"),
    "fast": ({**LLAMA, "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": END}, "llama"),
    "no_class": ({"bos_token": "<s>", "eos_token": "</s>"}, "llama"),
    "gemma": ({"tokenizer_class": "GemmaTokenizer", "bos_token": "<s>"}, "llama"),
    "gemma_by_model": ({"bos_token": "<s>"}, "gemma"),
    "mistral": (LLAMA, "mistral"),
    "olmo2": (LLAMA, "olmo2"),
    "map": (None, "llama"),
    "config": (None, "llama"),
}
# Models of other kinds than Llama's, by what SentencePiece's trainer is told.
KINDS = {
    "default": {"remove_extra_whitespaces": True, "normalization_rule_name": "nmt_nfkc"},
    "unigram": {"model_type": "unigram", "remove_extra_whitespaces": True, "normalization_rule_name": "nmt_nfkc"},
    "suffix": {"treat_whitespace_as_suffix": True},
    "no_prefix": {"add_dummy_prefix": False, "user_defined_symbols": ["\u2581\u2581", START]},
}


def train_model(path, **options):
    lines = pathlib.Path(os.__file__).parent.joinpath("argparse.py").read_text(encoding="utf-8").splitlines()
    settings = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
                "remove_extra_whitespaces": False, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")),
                                             vocab_size=PIECES, minloglevel=2, num_threads=1, **settings)


def prompts(seed, count=400):
    """Lines of words, spaces and names of tokens in any order."""
    rng = random.Random(seed)
    atoms = [START, END, "<s>", "</s>", "<unk>", "word", "words", "tool", "toolbox", " two parts", " ", "  ", "\t", "user",
             "Hello", "parser", ".", "\u00e9", "\u4e2d", "\u00a0", "\u2581", "<sep>", "<|", "x"]
    return [START + "user hello" + END, " leading", ""] + [
        "".join(rng.choice(atoms) for _ in range(rng.randrange(1, 9))) for _ in range(count)]


def run(*words, text="", warnings=None):
    """warnings gets what is said."""
    done = subprocess.run([OPTIONS.train_llm, *map(str, words)], input=text.encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    if warnings is not None:
        warnings.append(done.stderr.decode())
    return done.stdout.decode()


class TokenizerOfADirectory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = pathlib.Path(holder.name)
        train_model(cls.folder / "plain.model")
        train_model(cls.folder / "symbols.model", user_defined_symbols=["<sep>", START], control_symbols=["[CLS]"])
        for kind, options in KINDS.items():
            train_model(cls.folder / f"{kind}.model", **options)

    def directory(self, name, files, model="plain", model_type="llama"):
        path = self.folder / name
        path.mkdir()
        if model:
            shutil.copy(self.folder / f"{model}.model", path / "tokenizer.model")
        (path / "config.json").write_text(json.dumps({"model_type": model_type}))
        for file, content in files.items():
            (path / file).write_text(json.dumps(content))
        return path

    def compare(self, path, file="tokenizer.model", warnings=None):
        theirs = transformers.AutoTokenizer.from_pretrained(path)
        lines = prompts(OPTIONS.seed)
        printed = run("tokenizer", "encode", "--tokenizer", path / file, text="\n".join(lines) + "\n", warnings=warnings)
        ours = [[int(word) for word in line.split()] for line in printed.split("\n")[:-1]]
        self.assertEqual(len(ours), len(lines))
        for line, ids in zip(lines, ours):
            self.assertEqual(theirs(line, add_special_tokens=False)["input_ids"], ids, (path.name, line))
        self.compare_decoded(path / file, theirs, ours)
        return theirs, ours

    def compare_decoded(self, file, theirs, ours):
        """Of the texts' ids and of any, whose bytes are no text."""
        rng = random.Random(OPTIONS.seed)
        expected = {tuple(ids): theirs.decode(ids, skip_special_tokens=True) for ids in
                    ours + [[rng.randrange(len(theirs)) for _ in range(6)] for _ in range(200)]}
        expected = {ids: text for ids, text in expected.items() if "\n" not in text}
        self.assertGreater(len(expected), 300)
        printed = run("tokenizer", "decode", "--tokenizer", file, text="".join(" ".join(map(str, ids)) + "\n" for ids in expected))
        for (ids, text), decoded in zip(expected.items(), printed.split("\n")[:-1], strict=True):
            self.assertEqual(text, decoded, (file, ids))

    def test_files_beside_a_sentencepiece_model_are_read_as_transformers_reads_them(self):
        for name, files in DIRECTORIES.items():
            with self.subTest(name):
                theirs, ours = self.compare(self.directory(name, files))
                if name != "split":  # the first prompt: <|im_start|> is one id
                    self.assertEqual(ours[0][0], theirs.convert_tokens_to_ids(START))

    def test_symbols_that_the_model_marks_are_found_as_transformers_finds_them(self):
        self.compare(self.directory("marked", {"tokenizer_config.json": LLAMA}, model="symbols"))

    def test_each_class_of_tokenizer_obeys_of_a_model_what_it_obeys_in_transformers(self):
        for kind in ("plain", *KINDS):
            for name, (config, model_type) in CLASSES.items():
                with self.subTest(kind, name=name):
                    files = {"tokenizer_config.json": config} if config else {}
                    if name == "map":
                        files = {"special_tokens_map.json": {"eos_token": "</s>", "additional_special_tokens": [END]}}
                    said = []
                    self.compare(self.directory(f"{kind}-{name}", files, model=kind, model_type=model_type), warnings=said)
                    # Llama's own kind of model is what transformers takes all for.
                    self.assertEqual("AutoTokenizer" in said[0], (kind, name) not in [
                        ("plain", "llama"), ("plain", "llama_legacy")] and not (kind == "no_prefix" and "llama" not in name), said)

    def test_tokens_of_a_bare_model_get_the_ids_that_they_get_in_transformers(self):
        placeholder = {"3": token("<|tool|>"), "4": token("<sep>", special=False), str(PIECES): token(END)}
        for name, decoder in {"chatml": CHATML, "flags": FLAGS, "placeholder": placeholder}.items():
            with self.subTest(name):
                config = {**LLAMA, "added_tokens_decoder": decoder}
                self.compare(self.directory(f"bare-{name}", {"tokenizer_config.json": config}, "symbols", "mistral"))

    def test_a_class_that_isnt_followed_is_named(self):
        said = []
        path = self.directory("t5", {"tokenizer_config.json": {"tokenizer_class": "T5Tokenizer"}})
        run("tokenizer", "encode", "--tokenizer", path / "tokenizer.model", text="a\n", warnings=said)
        self.assertIn("T5Tokenizer", said[0])
        self.assertIn("save_pretrained", said[0])

    def test_a_tokenizer_json_of_others_decides_where_it_decides_in_transformers(self):
        made = transformers.AutoTokenizer.from_pretrained(self.directory("made", DIRECTORIES["flags"]))
        made.save_pretrained(self.folder / "saved")
        content = json.loads((self.folder / "saved/tokenizer.json").read_text())
        for name, parts in FORMS.items():
            for kind in ("LlamaTokenizer", "GemmaTokenizer", "PreTrainedTokenizerFast"):
                with self.subTest(name, kind=kind):
                    config = {**LLAMA, "tokenizer_class": kind, "add_bos_token": True}
                    files = {"tokenizer.json": {**content, **parts}, "tokenizer_config.json": config}
                    self.compare(self.directory(f"{name}-{kind}", files))
                    said = []
                    self.compare(self.directory(f"{name}-{kind}-alone", files, model=None), "tokenizer.json", said)
                    built_anew = kind != "PreTrainedTokenizerFast" and (kind, name) != ("LlamaTokenizer", "first")
                    self.assertEqual("AutoTokenizer" in said[0], built_anew, said)
        with self.subTest("mistral"):
            self.compare(self.directory("mistral", {"tokenizer.json": {**content, **PREPEND}, "tokenizer_config.json": LLAMA},
                                        model_type="mistral"))

    def test_token_files_of_transformers_are_those_that_prepare_makes(self):
        config = {**LLAMA, "add_bos_token": True, "added_tokens_decoder": CHATML}
        path = self.directory("token_file", {"tokenizer_config.json": config})
        rows = [{"body": text} for text in ("first\u2028line", "", "second " + START, "  third")]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "a.txt").write_bytes("\ufeffone\r\n\n two\x0b three\x0c\u2028four\n".encode())
        (self.folder / "b.jsonl").write_text(lines + "\n")
        (self.folder / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
        (self.folder / "d.json").write_text(json.dumps(rows))
        texts = [self.folder / name for name in ("a.txt", "b.jsonl", "c.jsonl.gz", "d.json")]
        run("prepare", *texts, "--tokenizer", path / "tokenizer.model", "--add-bos", "--text-field", "body",
            "--output", self.folder / "prepared")
        script = pathlib.Path(__file__).parents[2] / "scripts/write_token_file.py"
        written = self.folder / "written.tokens"
        subprocess.run([sys.executable, script, path, *texts, "--output", written, "--text-field", "body",
                        "--train-llm", OPTIONS.train_llm], check=True, capture_output=True, timeout=300)
        prepared, = (self.folder / "prepared").glob("*.tokens")
        ours, theirs = prepared.read_bytes(), written.read_bytes()
        self.assertEqual(ours[256:], theirs[256:])  # tokens and documents
        checksum = slice(80, 112)
        self.assertEqual(ours[checksum], theirs[checksum])


if __name__ == "__main__":
    unittest.main(argv=[__file__])
