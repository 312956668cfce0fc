"""Text for training and for validation, from the files and folders that a user names."""

HELD_OUT = 20  # one file of 20, or one line of 20, is for validation


class TextError(Exception):
    """What is wrong with a path, in one line."""


def text_files(path, endings):
    """(folder, files of known formats below it, sorted and without hidden ones); a file is its own."""
    if path.is_file():
        return path.parent, [path]
    if not path.is_dir():
        raise TextError(f"--text is '{path}', which is neither a file nor a folder")
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(tuple(endings)) and
                   not any(part.startswith(".") for part in file.relative_to(path).parts))
    if not files:
        raise TextError(f"--text is '{path}', which has no file that ends in {', '.join(endings)}")
    return path, files


def is_held_out(index, count):
    """Whether file `index` (from 0) of `count` is for validation: one of 20, of fewer files the last."""
    return (index + 1) % HELD_OUT == 0 or (index == count - 1 and count < HELD_OUT)


def split_lines(path, folders):
    """Copies a file's lines to folders (train, validation): the last twentieth is for validation."""
    if path.suffix in (".gz", ".zst"):
        raise TextError(f"--text is '{path}', a compressed file, which can't be split: give two files or more")
    lines = path.read_bytes().splitlines(keepends=True)
    cut = len(lines) - max(1, len(lines) // HELD_OUT)
    if cut < 1:
        raise TextError(f"--text is '{path}', which has only {len(lines)} lines")
    for folder, part in zip(folders, (lines[:cut], lines[cut:])):
        (folder / path.name).write_bytes(b"".join(part))
