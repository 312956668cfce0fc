"""Checks the layers: which folder may include which, where torch may be, types of one name, sizes of files and functions.

    check_layers.py ROOT        prints file:line for each break, and exits 1 if there is one
    check_layers.py --self-test
"""

import pathlib
import re
import sys
import tempfile

CORE = {"base", "config"}
TRAIN = CORE | {"tokenizer", "data", "kernels", "runtime", "model", "train"}
RUN = TRAIN | {"diagnose", "eval", "io", "hugging_face"}
ALLOWED = {
    "base": set(),
    "config": {"base"},
    "tokenizer": CORE,
    "data": CORE | {"tokenizer"},
    "io": {"base"},
    "kernels": {"base"},
    "cuda": {"base", "kernels"},
    "runtime": CORE | {"kernels"},
    "model": CORE | {"kernels"},
    "train": CORE | {"data", "kernels", "runtime", "model"},
    "diagnose": TRAIN,
    "eval": TRAIN,
    "hugging_face": CORE | {"tokenizer", "io", "model"},
    "run": RUN,
    "apps": RUN | {"run"},
}
TORCH_FREE = {"base", "config", "tokenizer", "data", "io"}
TORCH_ANYWAY = {"base/shape"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50

INCLUDE = re.compile(r'\s*#\s*include\s+(["<])([^">]+)[">]')
TORCH = re.compile(r"(torch|ATen|c10)/")


NAMESPACE = re.compile(r"namespace( [\w:]+)? \{")
TYPE = re.compile(r"(?:template <.*> )?(?:class|struct|enum class) (\w+)(?: final)?(?: :[^:].*)?(?: \{.*)?$")


def external_types(path):
    """(qualified name, line number) of the types that a file defines outside of unnamed namespaces and other types."""
    spaces = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        namespace, defined = NAMESPACE.match(line), TYPE.match(line)
        if namespace:
            spaces.append((namespace.group(1) or "").strip())
        elif line.startswith("}  // namespace"):
            spaces.pop()
        elif defined and not line.endswith(";") and all(spaces):
            yield "::".join([*spaces, defined.group(1)]), number


def included_layer(path, target, quoted, root):
    """(folder, is_private) that an include reaches, or None for a library's header."""
    if target.startswith("fathom/"):
        parts = target.split("/")
        return (parts[1], False) if len(parts) > 2 else None  # fathom/version.h belongs to no folder
    if not quoted:
        return None
    for base in (path.parent, root / "src"):
        found = (base / target).resolve()
        if found.is_file() and found.is_relative_to(root / "src"):
            return found.relative_to(root / "src").parts[0], True
    return None


def check_include(path, layer, line, root):
    """What is wrong with one line, or None."""
    match = INCLUDE.match(line)
    if not match:
        return None
    target = match.group(2)
    if target == "torch/torch.h":
        return "includes all of torch, 9 s longer to compile; <torch/types.h> and <torch/nn/module.h> do"
    name = "/".join([layer, path.stem])
    if layer in TORCH_FREE and TORCH.match(target) and name not in TORCH_ANYWAY:
        return f"{layer} is torch-free, but includes {target}"
    reached = included_layer(path, target, match.group(1) == '"', root)
    if "/internal/" in target and path.is_relative_to(root / "include") and path.parent.name != "internal":
        return f"a header that is installed includes one that isn't: {target}"
    if reached is None or reached[0] == layer:
        return None
    folder, private = reached
    if folder not in ALLOWED:
        return f"{folder} is not a folder of Fathom: {target}"
    if private:
        return f"{layer} includes a private header of {folder}: {target}"
    if folder not in ALLOWED[layer]:
        return f"{layer} may include {', '.join(sorted(ALLOWED[layer])) or 'nothing'}; not {target}"
    return None


def long_functions(lines):
    """(line number, length) of functions over the limit, by the braces of clang-formatted code: a body opens at the end
    of a line that is no namespace, class or table, and closes at a brace in the column where its head began."""
    heads = re.compile(r"^( *)(?!namespace|class |struct |enum |union |extern |using |\}|//|#|:)\S.*\) ?.*\{$|^( *)(\}|.*\)) .*\{$")
    start, indent = None, None
    for number, line in enumerate(lines, 1):
        if start is None:
            if heads.match(line) and "= {" not in line:
                start = number
                indent = len(line) - len(line.lstrip(" "))
                while start > 1 and continues(lines[start - 2], indent):
                    start -= 1
                indent = min(indent, len(lines[start - 1]) - len(lines[start - 1].lstrip(" ")))
        elif line.startswith(" " * indent + "}"):
            if number - start + 1 > MAX_FUNCTION_LINES:
                yield start, number - start + 1
            start = None


def continues(line, indent):
    """Whether a head goes on after this line: it ends in a comma, an open parenthesis or an initializer."""
    return bool(line.strip()) and line.rstrip().endswith((",", "(", ")")) and not line.strip().startswith("//")


def check_file(path, layer, root):
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        wrong = check_include(path, layer, line, root)
        if wrong:
            yield number, wrong
        if not line.isascii():
            yield number, "not ASCII"
    if len(lines) > MAX_FILE_LINES:
        yield len(lines), f"{len(lines)} lines; at most {MAX_FILE_LINES}"
    for number, length in long_functions(lines):
        yield number, f"a function of {length} lines; at most {MAX_FUNCTION_LINES}"


def check(root):
    """All breaks as "file:line: what"."""
    defined = {}
    for top in (root / "include" / "fathom", root / "src"):
        for path in sorted(top.rglob("*")):
            if path.suffix not in (".h", ".cc", ".cu", ".cuh"):
                continue
            layer = path.relative_to(top).parts[0]
            name = path.relative_to(root)
            if layer == path.name:
                continue  # include/fathom/*.h: version.h, fathom.h
            if layer not in ALLOWED:
                yield f"{name}:1: {layer} is not a folder of Fathom"
                continue
            for number, wrong in check_file(path, layer, root):
                yield f"{name}:{number}: {wrong}"
            for qualified, number in external_types(path):
                if qualified in defined:
                    yield f"{name}:{number}: {qualified} is defined in {defined[qualified]}, too: undefined behaviour"
                defined[qualified] = f"{name}:{number}"


def self_test():
    """A tree with one break of each kind: each must be found, and nothing else."""
    def function(lines):
        return "void f(int x,\n       int y) {\n" + "  ++x;\n" * (lines - 3) + "}\n"

    files = {
        "include/fathom/base/a.h": ("#pragma once\n#include <torch/types.h>\n", [2]),
        "include/fathom/base/shape.h": ("#include <torch/types.h>\n", []),
        "include/fathom/config/a.h": ('#include "fathom/base/a.h"\n#include "fathom/data/a.h"\n', [2]),
        "include/fathom/data/a.h": ('#include <ATen/Tensor.h>\n#include "fathom/config/a.h"\n', [1]),
        "include/fathom/io/a.h": ('#include "fathom/train/a.h"\n#include "fathom/eval/a.h"\n', [1, 2]),
        "include/fathom/train/a.h": ('#include "fathom/io/a.h"\n', [1]),
        "src/eval/a.cc": ('#include "a.h"\n#include "model/private.h"\n#include "fathom/io/a.h"\n', [2, 3]),
        "src/eval/a.h": ("#include <torch/torch.h>\n", [1]),
        "src/model/private.h": ('#include "fathom/apps/cli.h"\n', [1]),
        "src/model/b.cc": ("// x\n" * (MAX_FILE_LINES + 1), [MAX_FILE_LINES + 1]),
        "src/model/c.cc": ("namespace fathom {\n" + function(MAX_FUNCTION_LINES + 1) + "}\n", [2]),
        "src/model/d.cc": (function(MAX_FUNCTION_LINES), []),
        "src/model/e.cc": ("// \u00e9\n", [1]),
        "src/apps/a.cc": ('#include "fathom/io/a.h"\n#include "fathom/eval/a.h"\n', []),
        "src/kernels/cuda/a.cu": ('#include "fathom/model/a.h"\n' + function(MAX_FUNCTION_LINES + 1), [1, 2]),
        "src/kernels/cuda/a.cuh": ("// x\n" * (MAX_FILE_LINES + 1), [MAX_FILE_LINES + 1]),
        "src/elsewhere/a.cc": ("\n", [1]),
        "include/fathom/base/internal/b.h": ("namespace fathom {\nstruct B {\n};\n}  // namespace fathom\n", []),
        "include/fathom/base/c.h": ('#include "fathom/base/internal/b.h"\n#include "fathom/base/a.h"\n', [1]),
        "src/base/b.cc": ('#include "fathom/base/internal/b.h"\nnamespace fathom {\nnamespace {\nstruct B {\n};\n'
                          "}  // namespace\nclass C : public B {\n};\nstruct B;\n}  // namespace fathom\n", []),
        "src/config/b.cc": ("namespace fathom {\nclass C {\n};\n}  // namespace fathom\n", [2]),
    }
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name).resolve()
        for file, (text, _) in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text, encoding="utf-8")
        found = sorted(":".join(line.split(":")[:2]) for line in check(root))
    expected = sorted(f"{file}:{number}" for file, (_, numbers) in files.items() for number in numbers)
    assert found == expected, f"found {set(found) - set(expected)}, missed {set(expected) - set(found)}"


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    breaks = list(check(pathlib.Path(sys.argv[1]).resolve()))
    for line in breaks:
        print(line)
    sys.exit(1 if breaks else 0)


if __name__ == "__main__":
    main()
