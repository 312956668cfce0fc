"""Makes PyPI's LibTorch importable in Python without NVIDIA's libraries, 2 GB that a CPU never calls.

    .venv/bin/python scripts/cpu_only_torch.py            scripts/setup.sh --cpu runs it
    .venv/bin/python scripts/cpu_only_torch.py --remove

The wheel's Python module links its CUDA half, and that links cuBLAS, cuDNN, NCCL and others. Where they are missing, this
makes small libraries of their names, whose functions say so and end the program, and has Python load them at its start.
Programs that link libtorch_cpu alone, as Fathom does, never see them: on such a machine a GPU can't be used at all.
"""

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sysconfig

SITE = pathlib.Path(sysconfig.get_paths()["purelib"])
PACKAGE = SITE / "fathom_without_cuda"
AT_START = SITE / "fathom_without_cuda.pth"
SYSTEM = re.compile(r"(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)|ld-linux[^.]*|libcuda)\.so")
LOADER = """import ctypes, pathlib
for library in pathlib.Path(__file__).parent.glob("*.so.*"):
    ctypes.CDLL(str(library))
"""


def output(*words):
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout


def missing_functions(library, present):
    """{missing library that `library` links: {function: version, "" where it has none}}"""
    linked = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-dW", library))
    missing = {name: {} for name in linked if name not in present and not SYSTEM.match(name)}
    versions, file = {}, None
    for line in output("readelf", "-VW", library).splitlines():
        file = next(iter(re.findall(r"File: (\S+)", line)), file)
        versions.update({version: file for version in re.findall(r"Name: (\S+)", line)})
    for line in output("nm", "-D", "--undefined-only", library).splitlines():
        function, _, version = line.split()[-1].partition("@")
        if versions.get(version) in missing:
            missing[versions[version]][function] = version
        elif not version and missing and re.match(r"(nccl|cu|nv)\w*[A-Z]", function):
            next(iter(missing.values()))[function] = ""  # any library may have it
    return missing


def write_library(name, functions):
    source = ["#include <stdio.h>", "#include <stdlib.h>", "static void missing(void) {",
              f'  fputs("{name} is not installed: this is a CPU-only set-up (scripts/setup.sh --cuda brings it)\\n", stderr);',
              "  abort();", "}", *(f'void {function}(void) __attribute__((alias("missing")));' for function in functions)]
    script = PACKAGE / "versions"
    versions = sorted({version for version in functions.values() if version})
    script.write_text("".join(f"{version} {{ {' '.join(f'{f};' for f, v in functions.items() if v == version)} }};\n"
                              for version in versions))
    options = [f"-Wl,--version-script={script}"] if versions else []
    subprocess.run(["g++", "-x", "c", "-w", "-shared", "-fPIC", "-", f"-Wl,-soname,{name}", *options, "-o", PACKAGE / name],
                   input="\n".join(source), text=True, check=True)
    script.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remove", action="store_true", help="take them away again")
    options = parser.parse_args()
    shutil.rmtree(PACKAGE, ignore_errors=True)
    AT_START.unlink(missing_ok=True)
    if options.remove:
        return
    torch = SITE / "torch" / "lib"
    present = {path.name for folder in (torch, *SITE.glob("nvidia/*/lib")) for path in folder.iterdir()}
    libraries = collections.defaultdict(dict)
    for library in sorted(torch.glob("*.so")):
        for name, functions in missing_functions(library, present).items():
            libraries[name].update(functions)
    PACKAGE.mkdir()
    for name, functions in libraries.items():
        write_library(name, functions)
    (PACKAGE / "__init__.py").write_text(LOADER)
    AT_START.write_text("import fathom_without_cuda\n")


if __name__ == "__main__":
    main()
