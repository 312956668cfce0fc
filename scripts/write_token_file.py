"""Writes a token file of ids that another program's tokenizer made, for models whose tokenizer Fathom can't run:

    .venv/bin/python scripts/write_token_file.py MODEL_DIR TEXT... --output F.tokens

TEXT is read as train-llm reads it: a .jsonl, .ndjson or .json file holds documents as objects, whose text is in the field
--text-field; any other file is one document; .gz and .zst are unpacked. Documents without text are left out. Each document
starts with BOS where the tokenizer puts it there (--add-bos decides otherwise) and ends with EOS.

Needs transformers, numpy and train-llm; `write` alone, for ids from elsewhere, needs numpy. include/fathom/data/token_file.h
describes the format. The file fits the tokenizer that it names by checksum, which is the one that train-llm takes:
MODEL_DIR/tokenizer.model or else MODEL_DIR/tokenizer.json, which comes first beside a tokenizer.model of tiktoken's.
"""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import zlib


def write(path, documents, vocab_size, tokenizer_file, checksum=None):
    """documents: lists of ids below vocab_size, each ended by EOS; none is empty.

    checksum: what `train-llm tokenizer checksum` prints; by default that of a file with nothing of effect beside it.
    """
    import numpy

    checksum = bytes.fromhex(checksum) if checksum else hashlib.sha256(pathlib.Path(tokenizer_file).read_bytes()).digest()
    width = 2 if vocab_size <= 65536 else 4
    starts = numpy.cumsum([0] + [len(ids) for ids in documents], dtype="<u8")
    tokens = numpy.concatenate([numpy.asarray(ids, dtype="<i8") for ids in documents])
    if numpy.any(numpy.diff(starts.astype("<i8")) == 0) or tokens.min() < 0 or tokens.max() >= vocab_size:
        raise ValueError(f"a document is empty, or an id isn't below {vocab_size}")
    content = tokens.astype(f"<u{width}").tobytes()
    content += bytes(-len(content) % 8)
    index_offset = 256 + len(content)
    content += starts.tobytes()
    header = struct.pack("<8s2I7Q2I", b"FATHOMTK", 1, width, len(tokens), len(documents), index_offset,
                         256 + len(content), 0, 0, 0, vocab_size, int(tokens.max()))
    header += checksum + hashlib.sha256(content).digest()
    header += hashlib.sha256(header).digest()
    temporary = pathlib.Path(f"{path}.tmp-{os.getpid()}")
    temporary.write_bytes(header.ljust(256, b"\0") + content)
    temporary.replace(path)


def tokenizer_file(directory):
    model, other = directory / "tokenizer.model", directory / "tokenizer.json"
    if not model.exists():
        return other
    tiktoken = re.match(rb"[A-Za-z0-9+/=]+ \d+\r?\n", model.read_bytes()[:4096])
    return other if tiktoken and other.exists() else model


def checksum_of(file, train_llm):
    """What beside the file decides its ids counts as well, and only train-llm knows it."""
    built = pathlib.Path(__file__).resolve().parent.parent / "build/release/train-llm"
    program = train_llm.resolve() if train_llm else built if built.exists() else shutil.which("train-llm")
    if program is None:
        raise SystemExit(f"train-llm isn't there: {built}; build it (scripts/build.sh), or name it with --train-llm")
    done = subprocess.run([program, "tokenizer", "checksum", "--tokenizer", file], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip())
    return done.stdout.strip()


def unpacked(path):
    """The text of a file, and its name without .gz or .zst."""
    content, name = path.read_bytes(), path.name.lower()
    if name.endswith(".gz"):
        try:
            content, name = gzip.decompress(content), name[:-3]
        except (OSError, EOFError, zlib.error) as error:
            raise SystemExit(f"{path} isn't whole gzip data ({error}); download it again")
    elif name.endswith(".zst"):
        if shutil.which("zstd") is None:
            raise SystemExit(f"{path} needs the program zstd, which isn't there; install it, or pack the text with gzip")
        done = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise SystemExit(f"{path} isn't whole zstd data; download it again")
        content, name = done.stdout, name[:-4]
    try:
        return content.decode("utf-8-sig"), name
    except UnicodeDecodeError as error:
        raise SystemExit(f"{path} isn't text in UTF-8 (byte {error.start}); repair it: iconv -c -f UTF-8 -t UTF-8 {path} > FIXED")


def documents_of(path, field):
    """Texts as train-llm reads them."""
    text, name = unpacked(path)
    if not name.endswith((".jsonl", ".ndjson", ".json")):
        yield text.replace("\r\n", "\n")
        return
    is_array = text.lstrip().startswith("[")
    try:
        rows = json.loads(text) if is_array else [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError as error:
        raise SystemExit(f"{path} is neither an object a line nor an array of objects ({error}); jq -c . FILE writes lines")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get(field), str):
            raise SystemExit(f"{path}: document {number} has no text in the field '{field}'; name another with --text-field")
        yield row[field]


def first_ids(tokenizer):
    """What the tokenizer puts before a text: BOS, or nothing."""
    plain, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    return whole[:1] if whole[:1] != plain[:1] else []


def main():
    import transformers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", nargs="+", type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--text-field", default="text", help="of JSON documents (text)")
    parser.add_argument("--add-bos", choices=("true", "false"), help="each document starts with BOS (default: as the tokenizer does)")
    parser.add_argument("--train-llm", type=pathlib.Path, help="the program (default: build/release/train-llm, or on the PATH)")
    options = parser.parse_args()
    file = tokenizer_file(options.model)
    checksum = checksum_of(file, options.train_llm)
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    if tokenizer.eos_token_id is None:
        raise SystemExit(f"the tokenizer of {options.model} has no EOS, which ends each document")
    start = first_ids(tokenizer)
    if options.add_bos == "true" and not start:
        if tokenizer.bos_token_id is None:
            raise SystemExit(f"the tokenizer of {options.model} has no BOS; leave out --add-bos true")
        start = [tokenizer.bos_token_id]
    start = [] if options.add_bos == "false" else start
    texts = (text for path in options.text for text in documents_of(path, options.text_field))
    encoded = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
    documents = [start + ids + [tokenizer.eos_token_id] for ids in encoded if ids]
    if not documents:
        raise SystemExit("none of the documents has text")
    write(options.output, documents, len(tokenizer), file, checksum)


if __name__ == "__main__":
    main()
