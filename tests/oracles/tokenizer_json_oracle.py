"""Ids and texts of tokenizer.json files against PyPI's tokenizers, for files configured as those of real models."""

import json
import pathlib
import random
import subprocess
import tempfile
import unittest

import support

OPTIONS = support.arguments(__doc__, only="", count=10_000)
tokenizers = support.require("tokenizers")
import tokenizer_families as families  # noqa: E402

SCRATCH = tempfile.TemporaryDirectory()
TRAINING = families.lines(3000, seed=1)
LINES = families.lines(OPTIONS.count, seed=2)


def tool(mode, path, inputs):
    text = "".join(json.dumps(line) + "\n" for line in inputs)
    done = subprocess.run([OPTIONS.tool, mode, path], input=text.encode(), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def write(name, text):
    path = pathlib.Path(SCRATCH.name) / name / "tokenizer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def cut_ids(ids, rng):
    """A part of them, which may start and end within a character."""
    begin = rng.randrange(len(ids) + 1)
    return ids[begin:rng.randrange(begin, len(ids) + 1)]


class Ids(unittest.TestCase):
    def check(self, name):
        path = write(name, families.make(name, TRAINING))
        oracle = tokenizers.Tokenizer.from_file(str(path))
        rng = random.Random(3)
        texts = LINES + list(map("".join, zip(LINES[:200], LINES[200:400])))
        ours = tool("encode", path, texts)
        theirs = [oracle.encode(text, add_special_tokens=False).ids for text in texts]
        for text, mine, expected in zip(texts, ours, theirs, strict=True):
            self.assertEqual(mine, expected, ascii(text))
        size = oracle.get_vocab_size()
        lists = theirs + [cut_ids(ids, rng) for ids in theirs]
        lists += [[rng.randrange(size) for _ in range(rng.randrange(12))] for _ in range(1000)]
        for ids, mine in zip(lists, tool("decode", path, lists), strict=True):
            self.assertEqual(ascii(mine), ascii(oracle.decode(ids)), ids)

    def check_long(self, name):
        """Texts of more than is encoded at once, also cut as a file is that is read part by part."""
        path = pathlib.Path(SCRATCH.name) / name / "tokenizer.json"
        oracle = tokenizers.Tokenizer.from_file(str(path))
        rng = random.Random(4)
        chinese = "".join(chr(rng.randint(0x4e00, 0x9fff)) + "\u3002" * (i % 50 == 0) for i in range(80_000))
        long = ["".join(rng.choices(LINES, k=4000)), "".join(rng.choice("abc 1\n") for _ in range(200_000)), chinese]
        if "pieces" not in families.FAMILIES[name]:  # those are one word, which is cut where nothing tells
            long.append("1234567890" * 20_000)
        whole = [" " * 150_000 + "a", "\n" * 150_000, "ab" * 70_000]
        theirs = {text: oracle.encode(text, add_special_tokens=False).ids for text in long + whole}
        for mode, texts in (("encode", long + whole), ("cut", long), ("encode", [(text * 6) for text in long[:1]])):
            for text, mine in zip(texts, tool(mode, path, texts), strict=True):
                expected = theirs.get(text) or oracle.encode(text, add_special_tokens=False).ids
                first = next((i for i, pair in enumerate(zip(mine, expected)) if pair[0] != pair[1]), None)
                self.assertIsNone(first, f"{mode} {ascii(text[:60])}")
                self.assertEqual(len(mine), len(expected), f"{mode} {ascii(text[:60])}")


for family in families.FAMILIES:
    if OPTIONS.only in family:
        def test(self, name=family):
            self.check(name)
            self.check_long(name)
        setattr(Ids, f"test_{family}_gives_the_same_ids_and_texts", test)

if __name__ == "__main__":
    unittest.main(argv=["tokenizer_json_oracle"], verbosity=2)
