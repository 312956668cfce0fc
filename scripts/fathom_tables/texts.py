"""The text of a table: where it is, what is for training and what for validation, its tokenizer and its token files."""

import dataclasses
import hashlib
import json

import held_out
from fathom_tables import TableError, debian_text


@dataclasses.dataclass
class Text:
    """Files as train-llm gets them."""

    train: list
    validation: list

    def bytes(self):
        return sum(file.stat().st_size for file in self.train)

    def is_packed(self):
        return any(file.suffix in (".gz", ".zst") for file in self.train)


def declared(plan, root):
    """The text that the plan names, of those in configs/texts; None where the user gives some."""
    name = plan.scale.get("text")
    return debian_text.load(name, root / "configs" / "texts", root / "out" / "texts") if name else None


def find(program, paths, validation, folder):
    """Files with "validation" in their names are held out; without any, one file of 20, or one line of 20 of a file."""
    endings = [ending for row in program.facts("list", "formats") for ending in row["extensions"]]
    list_files = lambda some: [file.resolve() for path in some for file in held_out.text_files(path, endings)[1]]
    try:
        files = list_files(paths)
        if validation:
            return Text(files, list_files(validation))
        named = [file for file in files if "validation" in file.name]
        if named and len(named) < len(files):
            return Text([file for file in files if file not in named], named)
        if len(files) > 1:
            kept = [held_out.is_held_out(index, len(files)) for index in range(len(files))]
            return Text([f for f, held in zip(files, kept) if not held], [f for f, held in zip(files, kept) if held])
        folders = [folder / "train", folder / "validation"]
        for part in folders:
            part.mkdir(parents=True, exist_ok=True)
        held_out.split_lines(files[0], folders)
        return Text(*([part.resolve() / files[0].name] for part in folders))
    except held_out.TextError as error:
        raise TableError(str(error)) from error


def checksum(files, *more):
    total = hashlib.sha256(json.dumps(more).encode())
    for path in files:
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def tokenizer(program, plan, given, text, folder):
    """The tokenizer that was given, or one trained on the training text, once."""
    options = plan.scale.get("tokenizer")
    if given:
        if not given.is_file():
            raise TableError(f"--tokenizer is '{given}', which is no file", 3)
        return given.resolve()
    if not options:
        raise TableError(f"--tokenizer is missing; scale {plan.scale_name} needs a SentencePiece .model of yours")
    path = folder / f"tokenizer-{checksum(text.train, options)[:10]}.model"
    if not path.exists():
        print(f"training a tokenizer of {options['vocab_size']} pieces", flush=True)
        program.run("tokenizer", "train", *text.train, "--type", options["type"], "--vocab-size", options["vocab_size"],
                    "--sample-bytes", options["sample_bytes"], "--output", path)
    return path.resolve()


@dataclasses.dataclass
class Data:
    """Prepared: the keys that runs get, the validation's token files, and what identifies and describes all of it."""

    keys: dict
    validation: list
    identity: list
    facts: dict


def was_prepared(folder):
    return (folder / "prepare.json").exists()


def prepare(program, config, text, model, folder):
    """Token files, made where they are missing. config: any run's, for its data keys."""
    keys = {"train": [str(f) for f in text.train], "validation": [str(f) for f in text.validation],
            "tokenizer": str(model), "cache_dir": str(folder.resolve() / "cache")}
    path = folder / "prepare.json"
    path.write_text(json.dumps({**config, "data": {**config.get("data", {}), **keys}}, indent=2))
    print("preparing token files", flush=True)
    files = program.facts("prepare", path)
    validation = [file["path"] for file in files if file["name"] == "data.validation"]
    identity = [file["content_sha256"] for file in files] + [checksum([model])]
    tokens = lambda name: sum(file["tokens"] for file in files if file["name"] == name)
    return Data(keys, validation, identity, {
        "files": len(text.train) + len(text.validation), "bytes": text.bytes(),
        "train_tokens": tokens("data.train"), "validation_tokens": tokens("data.validation")})
