"""Builds the programs of this folder against an installed Fathom, and configures them with its sources."""

import argparse
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent


def run(*command):
    print("+", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True)


def check_prefix(prefix):
    """Only include/fathom is installed, and no file names the folder it was built in but for LibTorch."""
    wanted = sorted(path.relative_to(SOURCE) for path in (SOURCE / "include" / "fathom").rglob("*.h"))
    found = sorted(path.relative_to(prefix) for path in (prefix / "include").rglob("*") if path.is_file())
    assert found == wanted, f"installed headers: {found}"
    for file in prefix.rglob("*.cmake"):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert str(SOURCE) not in line or ".venv" in line, f"{file}:{number}: {line}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--ninja", required=True)
    parser.add_argument("--build", required=True, type=pathlib.Path, help="Fathom's build folder, built")
    arguments = parser.parse_args()
    options = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={arguments.ninja}", "-S", HERE, "-DCMAKE_BUILD_TYPE=Debug"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prefix = folder / "prefix"
        run(arguments.cmake, "--install", arguments.build, "--prefix", prefix)
        check_prefix(prefix)

        installed = folder / "installed"
        run(arguments.cmake, "-B", installed, f"-Dfathom_ROOT={prefix}", *options)
        run(arguments.cmake, "--build", installed)
        run(installed / "errors")
        run(installed / "placement")

        shutil.rmtree(prefix)
        sources = folder / "sources"
        run(arguments.cmake, "-B", sources, f"-DFATHOM_SOURCE={SOURCE}", *options)
        # One file only: all of Fathom was compiled before this test.
        run(arguments.ninja, "-C", sources, "CMakeFiles/errors.dir/errors.cc.o")


if __name__ == "__main__":
    main()
