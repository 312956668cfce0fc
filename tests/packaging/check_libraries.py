"""Checks what a program loads at start: one OpenMP runtime and it is LibTorch's, LibTorch's CPU library and not the CUDA
one (it is loaded when a run asks for a GPU), and no protobuf (sentencepiece exports symbols of its own copy).

libfathom_cuda.so, which is loaded then, gets NVIDIA's libraries from LibTorch's wheels: a system's are often older.

    check_libraries.py TORCH_ROOT PROGRAM... [libfathom_cuda.so]
"""

import pathlib
import re
import subprocess
import sys


def loaded(program):
    """name -> path of each library in the program's start-up."""
    listing = subprocess.run(["ldd", program], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "not found" not in listing, listing
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", listing, re.MULTILINE))


def check(torch_root, program):
    libraries = loaded(program)
    torch_folder = (torch_root / "lib").resolve()
    openmp = {name: path for name, path in libraries.items() if re.match(r"lib(g|i)?omp[0-9]*[.-]", name)}
    assert len(openmp) == 1, f"{program} loads {len(openmp)} OpenMP runtimes: {openmp}"
    for name in [*openmp, "libtorch_cpu.so", "libc10.so"]:
        folder = pathlib.Path(libraries[name]).resolve().parent
        assert folder == torch_folder, f"{program} loads {name} from {folder}, not {torch_folder}"
    for name in libraries:
        assert not re.match(r"lib(torch_cuda|c10_cuda|cudnn|nccl|protobuf)", name), f"{program} loads {name}"


def check_cuda(torch_root, library):
    wheels = torch_root.resolve().parent
    for name, path in loaded(library).items():
        if re.match(r"lib(torch|c10|cud|cublas|nccl|nv)", name):
            assert pathlib.Path(path).resolve().is_relative_to(wheels), f"{library} loads {name} from {path}, not {wheels}"


def main():
    torch_root, *files = map(pathlib.Path, sys.argv[1:])
    for file in files:
        if file.suffix == ".so":
            check_cuda(torch_root, file)
        else:
            check(torch_root, file)


if __name__ == "__main__":
    main()
