"""Writes a token file of ids that another program's tokenizer made, for models whose tokenizer is a tokenizer.json:

    .venv/bin/python scripts/write_token_file.py MODEL_DIR TEXT... --output F.tokens    # each line of TEXT is a document

needs transformers and numpy; `write` alone, for ids from elsewhere, needs numpy. include/fathom/data/token_file.h
describes the format. The file fits the tokenizer that it names by checksum, which is the one that train-llm takes:
MODEL_DIR/tokenizer.model or else MODEL_DIR/tokenizer.json, which comes first beside a tokenizer.model of tiktoken's.
"""

import argparse
import hashlib
import os
import pathlib
import re
import struct


def write(path, documents, vocab_size, tokenizer_file):
    """documents: lists of ids below vocab_size, each ended by EOS; none is empty."""
    import numpy

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
    header += hashlib.sha256(pathlib.Path(tokenizer_file).read_bytes()).digest() + hashlib.sha256(content).digest()
    header += hashlib.sha256(header).digest()
    temporary = pathlib.Path(f"{path}.tmp-{os.getpid()}")
    temporary.write_bytes(header.ljust(256, b"\0") + content)
    temporary.replace(path)


def tokenizer_file(directory):
    model, json = directory / "tokenizer.model", directory / "tokenizer.json"
    if not model.exists():
        return json
    tiktoken = re.match(rb"[A-Za-z0-9+/=]+ \d+\r?\n", model.read_bytes()[:4096])
    return json if tiktoken and json.exists() else model


def main():
    import transformers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", nargs="+", type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    options = parser.parse_args()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    if tokenizer.eos_token_id is None:
        raise SystemExit(f"the tokenizer of {options.model} has no EOS, which ends each document")
    lines = [line for file in options.text for line in file.read_text().splitlines() if line.strip()]
    documents = [tokenizer(line, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] for line in lines]
    write(options.output, documents, len(tokenizer), tokenizer_file(options.model))


if __name__ == "__main__":
    main()
