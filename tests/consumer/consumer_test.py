"""Builds the programs of this folder against an installed Fathom and against its sources, and runs them."""

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent


def run(*command):
    """stdout"""
    print("+", *command, flush=True)
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def check_trainer(trainer, train_llm, folder):
    """Ten steps of its own loop; what it saves loads in train-llm eval, with the loss that it measured itself."""
    text, tokenizer, out = folder / "text.txt", folder / "tokenizer.model", folder / "out"
    text.write_text("\n".join(" ".join(format(i * j % 997, "x") for j in range(40)) for i in range(300)))
    shutil.rmtree(out, ignore_errors=True)
    run(train_llm, "tokenizer", "train", text, "--vocab-size", 300, "--output", tokenizer)
    words = [line.split() for line in run(trainer, text, tokenizer, out).splitlines()]
    losses = [float(line[1]) for line in words if line[0] == "loss"]
    assert len(losses) == 10 and losses[-1] < losses[0] - 0.3, losses
    (own,) = [float(line[1]) for line in words if line[0] == "validation"]
    scored = json.loads(run(train_llm, "eval", out, "--text", text, "--sequence-length", 32, "--cache-dir", out / "cache",
                            "--json"))
    assert abs(scored["val/loss"] - own) < 1e-4, (scored, own)


def check_whole_run(program, folder):
    """A run that is stopped and goes on is the run that wasn't, and its observer's state comes along."""
    def train(out, steps):
        words = {"data.train": folder / "text.txt", "data.tokenizer": folder / "tokenizer.model", "train.out_dir": folder / out,
                 "data.cache_dir": folder / "cache"}
        return run(program, steps, "smoke", *(word for entry in words.items() for word in entry))

    straight = train("straight", 20)
    train("halves", 8)
    assert train("halves", 20) == straight and straight.startswith("lowest loss up to step 20: "), straight
    for name in ("model", "optimizer"):
        ours, theirs = (folder / out / "checkpoints" / "step-00000020" / f"{name}.safetensors"
                        for out in ("halves", "straight"))
        assert ours.read_bytes() == theirs.read_bytes(), name
    shutil.rmtree(folder / "straight")
    shutil.rmtree(folder / "halves")


def link(ninja, build, archives, target):
    """Links a program by the build's own command, with libraries that were compiled before."""
    for archive in archives:
        shutil.copy(archive, build / "fathom" / "src")
    command = run(ninja, "-C", build, "-t", "commands", target).splitlines()[-1]
    subprocess.run(command, shell=True, check=True, cwd=build)


def check_prefix(prefix):
    """Only include/fathom is installed, without what is internal; LibTorch alone is named by the folder of the build."""
    wanted = sorted(path.relative_to(SOURCE) for path in (SOURCE / "include" / "fathom").rglob("*.h")
                    if path.parent.name != "internal")
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
        check_trainer(installed / "trainer", prefix / "bin" / "train-llm", folder)
        check_whole_run(installed / "whole_run", folder)

        shutil.rmtree(prefix)
        sources = folder / "sources"
        run(arguments.cmake, "-B", sources, f"-DFATHOM_SOURCE={SOURCE}", *options)
        # All of Fathom was compiled before this test: only the programs are.
        for program in ("errors", "trainer", "whole_run"):
            run(arguments.ninja, "-C", sources, f"CMakeFiles/{program}.dir/{program}.cc.o")
            link(arguments.ninja, sources, sorted((arguments.build / "src").glob("*.a")), program)
        run(sources / "errors")
        check_trainer(sources / "trainer", arguments.build / "train-llm", folder)
        check_whole_run(sources / "whole_run", folder)


if __name__ == "__main__":
    main()
