"""Narrow machines, many files, and names that a terminal would obey."""

import resource
import shutil

import engine

MANY = 10000
FEW_FILES = 20
ALLOWED = set(range(0x20, 0x7F)) | {ord("\n"), ord("\t")}


def limit(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


class Limits(engine.Case):
    """10,000 input files; 20 open files; a limit on memory (exit 9); a limit on the size of files (exit 6); control bytes
    in names, which no message prints as they are"""

    def attempt(self, number, generator):
        tries = (self.many_files, self.few_open_files, self.little_memory, self.small_files, self.control_bytes)
        return tries[number % len(tries)](generator)

    def train(self, out, *keys):
        shutil.rmtree(self.runs.folder / out, ignore_errors=True)
        return self.runs.train_arguments(out, "train.threads=2", *keys)

    def many_files(self, generator):
        folder = self.runs.folder / "many"
        folder.mkdir(exist_ok=True)
        for i in range(MANY):
            (folder / f"{i}.txt").write_text(f"number {i} of many\n")
        result = self.runs.check("prepare", folder, "--tokenizer", self.runs.tokenizer, "--output",
                                 self.runs.folder / "many.tokens")
        said = result.stdout + result.stderr
        assert f"{MANY} documents" in said or f"{MANY:,} documents" in said, said
        return 1

    def few_open_files(self, generator):
        """Not more than some files are ever open at once: also with 40 of them."""
        folder = self.runs.folder / "forty"
        folder.mkdir(exist_ok=True)
        for i in range(40):
            (folder / f"{i}.txt").write_text(self.runs.text.read_text()[:4000])
        result = self.runs.run(*self.train("few", f"data.train={folder}"),
                               preexec_fn=limit(resource.RLIMIT_NOFILE, FEW_FILES))
        assert result.returncode == 0, (result.returncode, result.stderr)
        return 1

    def little_memory(self, generator):
        megabytes = generator.randrange(256, 4096)
        result = self.runs.run(*self.train("little", "model.hidden_size=512", "model.intermediate_size=2048"),
                               preexec_fn=limit(resource.RLIMIT_AS, megabytes << 20))
        if result.returncode == 127 and "shared" in result.stderr:  # not even the libraries fit
            return 0
        assert result.returncode in (0, 9), (megabytes, result.returncode, result.stderr)
        return int(result.returncode != 0)

    def small_files(self, generator):
        size = generator.randrange(1, 600_000)
        result = self.runs.run(*self.train("small"), preexec_fn=limit(resource.RLIMIT_FSIZE, size))
        assert result.returncode in (0, 6), (size, result.returncode, result.stderr)
        assert result.returncode == 0 or any(words in result.stderr for words in ("File too large", "ulimit -f")), \
            (size, result.stderr)
        return int(result.returncode != 0)

    def control_bytes(self, generator):
        bad = "".join(chr(generator.choice((0x1B, 0x07, 0x08, 0x0D, 0x9B, 0x7F, 0x41, 0x202E))) for _ in range(8))
        name = self.runs.folder / f"a\x1b]0;title\x07{bad}.txt"
        made = generator.random() < 0.5
        if made:
            name.write_text("\x1b[31m text\n")
        commands = (["prepare", name, "--tokenizer", self.runs.tokenizer, "--output", f"{name}.tokens"],
                    ["prepare", self.runs.text, "--tokenizer", name, "--output", "x.tokens"],
                    ["train", name], self.train("named", f"data.train={name}"), self.train("named", f"{bad}=1"),
                    ["generate", name], ["import", name, "--output", f"{name}.out"], ["eval", name, "--text", name], [name])
        for arguments in commands:
            result = self.runs.run(*arguments)
            printed = set(result.stderr.encode(errors="surrogateescape"))  # what a pipe gets on stdout is data
            assert result.returncode not in (1, -6, -11) and printed <= ALLOWED, (arguments[0], result.returncode, result.stderr)
        name.unlink(missing_ok=True)
        return len(commands)
