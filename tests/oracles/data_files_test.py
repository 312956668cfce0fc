"""Data as gzip, zstd, Python's json, pandas and datasets write it: the tokens are those of the text that the writer's own reader
gives, or the refusal names a command that makes such a file."""

import gzip
import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)
TEXTS = ["one two three", "a \" quote, a \\ backslash and a\nline", "na\u00efve \u4e2d\u6587 \U0001F600", "[1, {x}]"]


class Prepared:
    """Token files by what was prepared, compared by the checksum of their ids."""

    def __init__(self, runs):
        self.runs = runs
        self.files = 0

    def run(self, *arguments, **keywords):
        self.files += 1
        return self.runs.run("prepare", *arguments, "--tokenizer", self.runs.tokenizer, "--output", f"o{self.files}", "--json",
                             **keywords)

    def facts(self, *arguments, **keywords):
        result = self.run(*arguments, **keywords)
        assert result.returncode == 0, (arguments, result.stderr)
        return json.loads(result.stdout)[0]

    def ids(self, *arguments):
        return self.facts(*arguments)["content_sha256"]


def write(runs, name, content):
    path = runs.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def jsonl(texts):
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


def compressed(runs, prepared):
    text = runs.text.read_bytes()
    expected = prepared.ids(runs.text)
    half = len(text) // 2
    members = gzip.compress(text[:half]) + gzip.compress(text[half:])
    named = runs.folder / "named.txt"
    named.write_bytes(text)
    subprocess.run(["gzip", "-k", "-f", named], check=True)  # with the name and the time in its header
    kinds = {"members.txt.gz": members, "padded.txt.gz": members + bytes(1024),
             "with_name.txt.gz": (runs.folder / "named.txt.gz").read_bytes()}
    for name, content in kinds.items():
        path = write(runs, name, content)
        assert gzip.decompress(content) == text
        assert prepared.ids(path) == expected, name
    if not shutil.which("zstd"):
        return
    for flags in (["-19"], ["--ultra", "-22", "--long=28"], ["--long=31"], ["--no-check"], ["--format=gzip"]):
        packed = runs.folder / f"zstd{'_'.join(flags)}.txt{'.gz' if 'gzip' in flags[0] else '.zst'}"
        stream = subprocess.run(["zstd", "-q", *flags, "-c"], input=text, capture_output=True, check=True).stdout
        packed.write_bytes(stream)
        assert prepared.ids(packed) == expected, flags
    frames = [subprocess.run(["zstd", "-q", "-c"], input=part, capture_output=True, check=True).stdout
              for part in (text[:half], text[half:])]
    skippable = bytes.fromhex("502a4d1803000000") + b"xyz"
    assert prepared.ids(write(runs, "frames.txt.zst", skippable + frames[0] + skippable + frames[1] + skippable)) == expected


def json_files(runs, prepared):
    expected = prepared.ids(write(runs, "plain.jsonl", jsonl(TEXTS)))
    rows = [{"id": 2 ** 80 + i, "score": float("nan"), "x": [float("inf"), -1e300], "text": text} for i, text in enumerate(TEXTS)]
    deep = json.loads("[" * 900 + "]" * 900)
    variants = {
        "ascii.json": "\n".join(json.dumps(row) for row in rows),
        "unicode.ndjson": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n",
        "crlf.jsonl": b"\xef\xbb\xbf" + jsonl(TEXTS).replace("\n", "  \r\n\r\n").encode(),
        "array.json": json.dumps(rows),
        "indented.json": "\n" + json.dumps(rows, indent=2, sort_keys=True) + "\n",
        "deep.jsonl": "\n".join(json.dumps({"deep": deep, "text": text}) for text in TEXTS),
    }
    for name, content in variants.items():
        assert prepared.ids(write(runs, name, content)) == expected, name
    try:
        import pandas
    except ImportError:
        return print("pandas isn't installed: its files are not tried")
    frame = pandas.DataFrame({"text": TEXTS, "n": [1.5, None, 2, 3]})
    for name, keywords in {"lines.jsonl": {"orient": "records", "lines": True}, "records.json": {"orient": "records"},
                           "records.jsonl.gz": {"orient": "records", "lines": True},
                           "indent.json": {"orient": "records", "indent": 2}}.items():
        frame.to_json(runs.folder / name, **keywords)
        assert prepared.ids(runs.folder / name) == expected, name
    frame.to_json(runs.folder / "columns.json")
    refused = prepared.run(runs.folder / "columns.json")
    assert refused.returncode == 3 and "orient='records', lines=True" in refused.stderr, refused.stderr


def datasets_files(runs, prepared):
    """What Hugging Face's datasets writes; its Arrow and Parquet files by the commands that the refusals name."""
    try:
        import datasets
        import pyarrow.feather
        import pyarrow.ipc
    except ImportError:
        return print("datasets isn't installed: its files are not tried")
    datasets.disable_progress_bars()
    expected = prepared.ids(write(runs, "rows.jsonl", jsonl(TEXTS)))
    rows = datasets.Dataset.from_dict({"text": TEXTS, "id": list(range(4))})
    for name, keywords in {"d.jsonl": {}, "d_array.json": {"lines": False}, "d.jsonl.gz": {"compression": "gzip"}}.items():
        rows.to_json(runs.folder / name, **keywords)
        assert prepared.ids(runs.folder / name) == expected, name
    rows.save_to_disk(runs.folder / "saved")
    rows.to_parquet(runs.folder / "rows.parquet")
    (stream,) = (runs.folder / "saved").glob("*.arrow")
    shutil.copy(stream, runs.folder / "stream.txt")
    table = rows.data.table
    with pyarrow.ipc.new_file(runs.folder / "file.arrow", table.schema) as file:
        file.write_table(table)
    pyarrow.feather.write_feather(table, runs.folder / "rows.feather")
    for refused in (prepared.run(runs.folder / "saved"), prepared.run(runs.folder / "rows.parquet"),
                    prepared.run(runs.folder / "stream.txt"), prepared.run(runs.folder / "file.arrow"),
                    prepared.run(runs.folder / "rows.feather")):
        command = re.search(r"repair it: python (.*)", refused.stderr)
        assert refused.returncode == 3 and command, refused.stderr
        subprocess.run(f"{sys.executable} {command.group(1)}", shell=True, check=True, capture_output=True)
    assert prepared.ids(runs.folder / "saved") == expected
    for made in ("rows.jsonl", "stream.txt.jsonl", "file.jsonl"):
        assert prepared.ids(runs.folder / made) == expected, made


def missing_texts(runs, prepared):
    rows = [{"text": "a"}, {"text": None}, {"id": 1}, {"text": ["x"]}, {"text": ""}, {"text": "b"}]
    path = write(runs, "missing.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    refused = prepared.run(path)
    assert refused.returncode == 3 and "missing.jsonl:2" in refused.stderr and "--on-missing-text skip" in refused.stderr
    result = prepared.run(path, "--on-missing-text", "skip")
    facts = json.loads(result.stdout)[0]
    assert (facts["documents"], facts["empty_documents"]) == (2, 4), facts
    assert "left out 4 documents without text" in result.stderr, result.stderr
    assert facts["content_sha256"] == prepared.ids(write(runs, "ab.jsonl", jsonl(["a", "b"])))
    out = runs.check(*runs.train_arguments("missing", f"data.train={path}", "data.on_missing_text=skip", "train.max_steps=1",
                                           "lr_scheduler.warmup_steps=0"))
    assert "left out 4 documents without text" in out.stderr, out.stderr


def repaired_by_their_own_advice(runs, prepared):
    """The command that a refusal names is run as it stands, whatever the folder is called."""
    expected = prepared.ids(runs.text)
    text = runs.text.read_text()
    folder = runs.folder / "it's & more"
    folder.mkdir()

    def repair(name, content, made):
        path = write(runs, f"{folder.name}/{name}", content)
        refused = prepared.run(path)
        command = re.search(r"repair it: (.*)", refused.stderr)
        assert refused.returncode == 3 and command, refused.stderr
        subprocess.run(command.group(1), shell=True, check=True, cwd=runs.folder)
        assert prepared.ids(folder / made) == expected, name

    repair("utf16.txt", text.encode("utf-16"), "utf16.txt")
    repair("utf16le.txt", text.encode("utf-16-le"), "utf16le.txt")
    repair("utf32.txt", text.encode("utf-32"), "utf32.txt")
    repair("unpacked.txt.gz", text, "unpacked.txt")
    repair("packed.txt", gzip.compress(text.encode()), "packed.txt.gz")
    repair("twice.txt.gz", gzip.compress(gzip.compress(text.encode())), "twice.txt.gz")
    repair("twice2.txt.gz.gz", gzip.compress(gzip.compress(text.encode())), "twice2.txt.gz")
    repair("packed16.txt.gz", gzip.compress(text.encode("utf-16")), "packed16.txt")
    for name, mode in (("tar.txt", "w"), ("packed_tar.txt.gz", "w:gz")):
        archive = runs.folder / "archive"
        with tarfile.open(archive, mode) as tar:
            tar.add(runs.text, "inner.txt")
        repair(name, archive.read_bytes(), name.removesuffix(".gz") + ".folder")
    if shutil.which("xz"):
        import lzma
        repair("a.txt.xz", lzma.compress(text.encode()), "a.txt.gz")
    import bz2
    repair("b.txt.bz2", bz2.compress(text.encode()), "b.txt.gz")


def token_files(runs, prepared):
    """What prepare wrote is no text, alone or in a folder."""
    folder = runs.folder / "mixed"
    folder.mkdir()
    shutil.copy(runs.text, folder / "a.txt")
    prepared.facts(runs.text)
    shutil.copy(runs.folder / f"o{prepared.files}" / "data.tokens", folder / "data.tokens")
    for inputs in ([folder / "data.tokens"], [runs.text, folder / "data.tokens"], [folder]):
        refused = prepared.run(*inputs)
        assert refused.returncode == 3 and "data.tokens is a token file" in refused.stderr, refused
    pointer = write(runs, "pointer.tokens", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused = prepared.run(pointer)
    assert refused.returncode == 3 and "git lfs pull" in refused.stderr, refused


def texts_of_nothing(runs, prepared):
    """An empty .gz is an empty text, as Python's gzip has it; Latin, Cyrillic and Hebrew letters in 16 bits are no UTF-8."""
    assert gzip.decompress(b"") == b""
    folder = runs.folder / "with_nothing"
    folder.mkdir()
    (folder / "a.txt").write_text("kern")
    (folder / "b.jsonl.gz").write_bytes(b"")
    assert prepared.facts(folder)["documents"] == 1
    for text in ("Latin letters", "\u041a\u0438\u0440\u0438\u043b\u043b\u0438\u0446\u0430", "\u05d0\u05d1\u05d2\u05d3\u05d4\u05d5\u05d6\u05d7"):
        for encoding in ("utf-16-le", "utf-16-be"):
            refused = prepared.run(write(runs, "sixteen.txt", (text * 2).encode(encoding)))
            assert refused.returncode == 3 and f"iconv -f {encoding.replace('-', '').replace('utf', 'UTF-').upper()}" in refused.stderr


def many_files(runs, prepared):
    """Files are opened one after the other, and token files only for as long as they are read where there are many."""
    folder = runs.folder / "many"
    folder.mkdir()
    for i in range(300):
        (folder / f"{i:03}.txt").write_text(f"document number {i} of many\n")

    def few_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    facts = prepared.facts(folder, preexec_fn=few_descriptors)
    assert facts["documents"] == 300
    arguments = runs.train_arguments("few", f"data.train={folder}", f"data.validation={folder}", "train.max_steps=2",
                                     "lr_scheduler.warmup_steps=0")
    runs.check(*arguments, preexec_fn=few_descriptors)
    tokens = runs.folder / "token_files"
    tokens.mkdir()
    for i in range(40):
        shutil.copy(runs.folder / f"o{prepared.files}" / "data.tokens", tokens / f"{i}.tokens")
    runs.check(*runs.train_arguments("few_tokens", f"data.train={tokens}", "train.max_steps=2", "lr_scheduler.warmup_steps=0"),
               preexec_fn=few_descriptors)
    runs.check("eval", "few", "--text", tokens, preexec_fn=few_descriptors)


with tempfile.TemporaryDirectory() as scratch:
    our_runs = Runs(options.train_llm, pathlib.Path(scratch))
    our_prepared = Prepared(our_runs)
    for check in (compressed, json_files, datasets_files, missing_texts, repaired_by_their_own_advice, token_files, texts_of_nothing,
                  many_files):
        check(our_runs, our_prepared)
        print(check.__name__, "ok")
