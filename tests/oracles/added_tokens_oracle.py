"""How text is split by added tokens, against PyPI's tokenizers: random tokens with random flags in random texts."""

import json
import os
import random
import subprocess
import unittest

import support

OPTIONS = support.arguments(__doc__, seed=20)
os.environ["RUST_BACKTRACE"] = "0"  # the library panics on a few texts
tokenizers = support.require("tokenizers")

# What decides where a token stands: white space of all kinds, letters, marks, digits, joiners, and overlapping contents.
ATOMS = ["a", "b", "<", "|", ">", "_", "1", " ", "  ", "\n", "\t", "\u3000", "\u00a0", "\u200b", "\u200c", "\u00e9", "\u0301",
         "\u2460", "\u24b6", "\u2160", "\u4e2d", "\U0001f600", "\U0001f130", "\u0661", "-"]


def random_text(rng, contents, length):
    return "".join(rng.choice(ATOMS + contents) for _ in range(rng.randrange(length)))


def random_tokens(rng):
    contents = sorted({random_text(rng, [], 5) for _ in range(rng.randrange(1, 8))} - {""})
    flag = lambda: rng.random() < 0.4
    return [{"id": 10 + i, "content": content, "single_word": flag(), "lstrip": flag(), "rstrip": flag(), "normalized": False,
             "special": flag()} for i, content in enumerate(contents)]


def library(tokens):
    """The library's tokenizer with these added tokens; what lies between them is one unknown word."""
    oracle = tokenizers.Tokenizer(tokenizers.models.WordLevel({f"\x00{i}": i for i in range(10)}, unk_token="\x000"))
    oracle.add_tokens([tokenizers.AddedToken(**{key: value for key, value in token.items() if key != "id"}) for token in tokens])
    return oracle


def encode(oracle, text):
    """None where the library itself panics: a token that lies in white space which the one before it swallowed."""
    try:
        return oracle.encode(text)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None


class Splitting(unittest.TestCase):
    def test_random_texts_are_split_as_the_library_splits_them(self):
        rng = random.Random(OPTIONS.seed)
        asked = []
        for _ in range(400):
            tokens = random_tokens(rng)
            contents = [token["content"] for token in tokens]
            asked.append({"tokens": tokens, "texts": [random_text(rng, contents * 4, 12) for _ in range(25)]})
        lines = "".join(json.dumps(row) + "\n" for row in asked)
        done = subprocess.run([OPTIONS.tool], input=lines.encode(), capture_output=True, check=True, timeout=60)
        answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
        self.assertEqual(len(answers), len(asked))
        found = panics = 0
        for row, answer in zip(asked, answers):
            oracle = library(row["tokens"])
            for text, stretches in zip(row["texts"], answer):
                encoding = encode(oracle, text)
                if encoding is None:
                    panics += 1
                    continue
                ids = [id if id >= 10 else -1 for id in encoding.ids]
                texts = [text[begin:end] for begin, end in encoding.offsets]
                self.assertEqual([list(pair) for pair in zip(ids, texts)], stretches, (row["tokens"], text))
                found += sum(id >= 10 for id in ids)
        self.assertGreater(found, 10_000)
        self.assertLess(panics, 100)


if __name__ == "__main__":
    unittest.main(argv=[__file__])
