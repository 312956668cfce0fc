"""Token ids of train-llm against PyPI's sentencepiece, for models of both libraries' making."""

import gzip
import json
import pathlib
import subprocess
import tempfile
import unittest

import support

OPTIONS = support.arguments(__doc__)
sentencepiece = support.require("sentencepiece")
MODEL = support.shared_file(OPTIONS, "data/llama2_tokenizer.model")
CORPUS = support.shared_file(OPTIONS, "data/corpus")
NUM_LINES = 10_000


def corpus_lines():
    """Lines of the corpus that aren't blank, evenly chosen."""
    lines = []
    for path in sorted(CORPUS.glob("*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for row in file:
                lines += [line for line in json.loads(row)["text"].split("\n") if line.strip()]
    return lines[:: len(lines) // NUM_LINES][:NUM_LINES]


LINES = corpus_lines()


def run(*words, text=""):
    done = subprocess.run([OPTIONS.train_llm, *words], input=text.encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


class TokenIds(unittest.TestCase):
    def compare(self, model, lines, ties=0.0):
        """ties: share of lines that may have another split of the same score. Versions of SentencePiece take different
        ones of two equally likely splits of a unigram model; BPE has no such choice."""
        oracle = sentencepiece.SentencePieceProcessor(model_file=str(model))
        printed = run("tokenizer", "encode", "--tokenizer", model, text="\n".join(lines) + "\n")
        ours = [[int(word) for word in line.split()] for line in printed.split("\n")[:-1]]
        self.assertEqual(len(ours), len(lines))
        tied = 0
        for line, ids in zip(lines, ours):
            expected = oracle.encode(line)
            if ids != expected and ties:
                score = lambda pieces: sum(oracle.get_score(piece) for piece in pieces)
                self.assertAlmostEqual(score(ids), score(expected), delta=1e-3, msg=line)
                self.assertEqual(oracle.decode(ids), oracle.decode(expected))
                tied += 1
            else:
                self.assertEqual(ids, expected, line)
        self.assertLessEqual(tied, ties * len(lines))
        return oracle, printed

    def test_llama_2_gives_the_same_ids_on_10000_lines_of_the_corpus(self):
        self.assertEqual(len(LINES), NUM_LINES)
        oracle, printed = self.compare(MODEL, LINES)
        decoded = run("tokenizer", "decode", "--tokenizer", MODEL, text=printed)
        self.assertEqual(decoded.split("\n")[:-1], [oracle.decode(oracle.encode(line)) for line in LINES])

    def test_odd_lines_give_the_same_ids(self):
        self.compare(MODEL, ["", " ", "   three  spaces ", "tab\there", "\u00e9\u4e2d\U0001f600", "\u2581a \u2581 b", "nul\0nul", "\r", "=" * 300])

    def test_a_model_that_pypi_trained_with_a_normalizer_gives_the_same_ids(self):
        with tempfile.TemporaryDirectory() as folder:
            prefix = pathlib.Path(folder) / "nfkc"
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(LINES[:3000]), model_prefix=str(prefix), vocab_size=4000, minloglevel=2)
            self.compare(f"{prefix}.model", LINES, ties=0.01)

    def test_models_that_we_trained_work_in_pypi_and_give_the_same_ids(self):
        with tempfile.TemporaryDirectory() as folder:
            text = pathlib.Path(folder) / "text.txt"
            text.write_text("\n".join(LINES[:3000]), encoding="utf-8")
            for kind in ("unigram", "bpe"):
                model = pathlib.Path(folder) / f"{kind}.model"
                run("tokenizer", "train", text, "--type", kind, "--vocab-size", "4000", "--output", model)
                oracle, _ = self.compare(model, LINES, ties=0.01 if kind == "unigram" else 0.0)
                self.assertEqual(oracle.get_piece_size(), 4000)
                self.assertEqual((oracle.unk_id(), oracle.bos_id(), oracle.eos_id(), oracle.pad_id()), (0, 1, 2, -1))

    def test_the_default_is_what_llama_cpp_takes_every_llamas_model_for(self):
        model_pb2 = support.require("sentencepiece.sentencepiece_model_pb2")
        with tempfile.TemporaryDirectory() as folder:
            text, model = pathlib.Path(folder) / "text.txt", pathlib.Path(folder) / "default.model"
            text.write_text("\n".join(LINES[:500]), encoding="utf-8")
            run("tokenizer", "train", text, "--vocab-size", "1000", "--output", model)
            made = model_pb2.ModelProto.FromString(model.read_bytes())
        self.assertEqual(made.trainer_spec.model_type, made.trainer_spec.BPE)
        self.assertTrue(made.trainer_spec.byte_fallback)
        self.assertEqual(made.normalizer_spec.precompiled_charsmap, b"")


if __name__ == "__main__":
    unittest.main(argv=[__file__])
