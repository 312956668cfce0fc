"""The default text of a table: what is downloaded, checked, gone on with, and said offline. A stand-in for apt brings
packages that this test made with dpkg-deb."""

import gzip
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import support

OPTIONS = support.arguments(__doc__)
support.require("yaml")
if not shutil.which("dpkg-deb"):
    support.skip("dpkg-deb is not there")
sys.path.insert(0, str(OPTIONS.configs.resolve().parent / "scripts"))
from fathom_tables import TableError, debian_text  # noqa: E402

# Brings $ARCHIVE/NAME.deb, and notes its words. A name that isn't there: as apt-get offline.
APT_GET = """#!/usr/bin/env bash
echo "apt-get $*" >> "$ARCHIVE/words"
[ "${*: -2:1}" = download ] || exit 0
name=${*: -1}; name=${name%%=*}
cp "$ARCHIVE/$name.deb" "./${name}_1%3a1_all.deb" 2> /dev/null ||
  { echo "W: a warning" >&2; echo "E: Failed to fetch it  Temporary failure resolving" >&2; exit 100; }
"""
# The lists of the system know nothing where there is a file "old"; fresh ones know everything.
APT_CACHE = """#!/usr/bin/env bash
echo "apt-cache $*" >> "$ARCHIVE/words"
[ ! -e "$ARCHIVE/old" ]
"""
FILES = {"alpha": {"usr/share/doc/alpha/one.md.gz": "one\n", "usr/share/doc/alpha/two.md.gz": "two\n",
                   "usr/bin/tool": "no text"},
         "beta": {"usr/share/beta/manual.en.txt": "manual\n"}}
PATTERNS = {"alpha": "usr/share/doc/alpha/*.md.gz", "beta": "usr/share/beta/*.txt"}
TEXT = {"alpha/one.txt": "one\n", "alpha/two.txt": "two\n", "beta/manual.txt": "manual\n"}


def make_package(folder, name):
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(f"Package: {name}\nVersion: 1:1\nArchitecture: all\nMaintainer: nobody\n"
                                             "Description: a test\n")
    for path, content in FILES[name].items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        data = content.encode()
        (tree / path).write_bytes(gzip.compress(data) if path.endswith(".gz") else data)
    subprocess.run(["dpkg-deb", "--build", tree, folder / f"{name}.deb"], check=True, capture_output=True)
    shutil.rmtree(tree)


class DefaultText(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.archive, programs = self.folder / "archive", self.folder / "bin"
        self.archive.mkdir()
        programs.mkdir()
        for name, text in (("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        variables = {"PATH": f"{programs}:{os.environ['PATH']}", "ARCHIVE": str(self.archive)}
        environment = mock.patch.dict(os.environ, variables)
        environment.start()
        self.addCleanup(environment.stop)
        for name in FILES:
            make_package(self.archive, name)
        self.text = debian_text.load("tiny", self.declared(), self.folder / "texts")

    def declared(self):
        """A folder of declarations, with the checksum as sha256sum's lines have it."""
        lines = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(TEXT.items()))
        words = [f"title: tiny text\nsha256: {hashlib.sha256(lines.encode()).hexdigest()}\nbytes: 15\npackages:"]
        for name in FILES:
            deb = (self.archive / f"{name}.deb").read_bytes()
            words.append(f"  - {{name: {name}, version: '1:1', sha256: {hashlib.sha256(deb).hexdigest()}, "
                         f"bytes: {len(deb)}, files: {PATTERNS[name]}}}")
        folder = self.folder / "declared"
        folder.mkdir()
        (folder / "tiny.yaml").write_text("\n".join(words) + "\n")
        return folder

    def words(self):
        """What apt was asked since the last call."""
        path = self.archive / "words"
        words = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return words

    def found(self):
        return {str(path.relative_to(self.text.text)): path.read_text() for path in self.text.text.rglob("*.txt")}

    def failure(self):
        with self.assertRaises(TableError) as caught:
            debian_text.fetch(self.text)
        self.assertNotIn("\n", str(caught.exception))
        return caught.exception

    def test_text_is_taken_from_packages_and_nothing_else_of_them(self):
        debian_text.fetch(self.text)
        self.assertEqual(self.found(), TEXT)
        self.assertEqual(sorted(path.name for path in self.text.folder.iterdir()), ["lock", "text"])

    def test_text_that_is_there_is_not_downloaded_again_and_damaged_text_is(self):
        debian_text.fetch(self.text)
        self.words()
        debian_text.fetch(self.text)
        self.assertEqual(self.words(), [])
        (self.text.text / "alpha" / "one.txt").write_text("other\n")
        debian_text.fetch(self.text)
        self.assertEqual(self.found(), TEXT)

    def test_a_download_goes_on_where_it_stopped(self):
        (self.archive / "beta.deb").rename(self.archive / "away")
        error = self.failure()
        self.assertEqual(error.code, 3)
        self.assertEqual(str(error), "beta 1:1 of Debian 12 can't be downloaded (Failed to fetch it  Temporary failure "
                                     "resolving): go online and give the same command again, or --text PATH")
        self.assertFalse(self.text.text.exists())
        (self.archive / "away").rename(self.archive / "beta.deb")
        self.words()
        debian_text.fetch(self.text)
        self.assertEqual([word for word in self.words() if "download" in word], ["apt-get -qq download beta=1:1"])
        self.assertEqual(self.found(), TEXT)

    def test_another_package_than_the_declared_one_is_refused(self):
        (self.archive / "alpha.deb").write_bytes(b"something else")
        self.assertIn("isn't the package that the plan names", str(self.failure()))

    def test_old_lists_of_the_system_are_left_alone_and_fresh_ones_made_beside_the_text(self):
        (self.archive / "old").touch()
        debian_text.fetch(self.text)
        updates = [word for word in self.words() if "update" in word]
        self.assertTrue(updates)
        for word in updates:
            self.assertIn(f"Dir::State::lists={self.text.folder / 'packages' / 'lists'}", word)

    def test_without_apt_the_error_says_what_to_do(self):
        with mock.patch.dict(os.environ, {"PATH": "/nowhere"}):
            self.assertIn("give --text PATH", str(self.failure()))

    def test_a_text_that_is_not_declared_is_named_with_those_that_are(self):
        with self.assertRaises(TableError) as caught:
            debian_text.load("tny", self.folder / "declared", self.folder)
        self.assertIn("allowed: tiny; did you mean 'tiny'?", str(caught.exception))

    def test_the_shipped_declaration_is_whole(self):
        shipped = debian_text.load("debian_12", OPTIONS.configs / "texts", self.folder)
        self.assertEqual(len(shipped.packages), 5)
        for package in shipped.packages:
            self.assertRegex(package.sha256, r"\A[0-9a-f]{64}\Z")
            self.assertIsInstance(package.version, str)
        self.assertNotIn("://", (OPTIONS.configs / "texts" / "debian_12.yaml").read_text())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
