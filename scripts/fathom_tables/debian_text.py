"""Text that any machine with Debian 12's packages can get: documentation, by version and checksum in configs/texts.

apt brings the packages from wherever it is configured to, and nothing is installed. What was downloaded is not
downloaded again; the text appears whole, and is known by its checksum.
"""

import contextlib
import dataclasses
import fcntl
import gzip
import hashlib
import pathlib
import shutil
import subprocess

from fathom_tables import TableError
from fathom_tables.plan import check_keys, choose, read_yaml

NO_DATA = 3  # exit code
TOP = {"title", "sha256", "bytes", "packages"}
PACKAGE = {"name", "version", "sha256", "bytes", "files"}


@dataclasses.dataclass(frozen=True)
class Package:
    """bytes, sha256: of the .deb. files: a pattern of paths in it"""

    name: str
    version: str
    sha256: str
    bytes: int
    files: str

    def words(self):
        return f"{self.name} {self.version}"


@dataclasses.dataclass(frozen=True)
class DebianText:
    """bytes, sha256: of the text, unpacked. folder: where it lies, or will"""

    title: str
    sha256: str
    bytes: int
    packages: list
    folder: pathlib.Path

    @property
    def text(self):
        return self.folder / "text"

    def is_there(self):
        return self.text.is_dir() and checksum_of_folder(self.text) == self.sha256

    def missing(self):
        """Packages to download."""
        return [package for package in self.packages if not is_downloaded(self.folder / "packages", package)]

    def words(self):
        size = sum(package.bytes for package in self.missing())
        return f"{self.title}: {size / 1e6:.1f} MB to download, {self.bytes / 1e6:.1f} MB of text in {self.text}"


def load(name, declared, texts):
    """The text `name` of the folder `declared`; it lies in a folder of `texts`. @raises TableError"""
    choose(name, sorted(path.stem for path in declared.glob("*.yaml")), "text")
    path = declared / f"{name}.yaml"
    found = read_yaml(path)
    check_keys(found, TOP, str(path))
    for package in found["packages"]:
        check_keys(package, PACKAGE, f"a package of {path}")
    packages = [Package(**package) for package in found.pop("packages")]
    return DebianText(packages=packages, folder=texts / name, **found)


def checksum_of_folder(folder):
    """SHA-256 of the names and contents of its files."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{content}  {path.relative_to(folder)}\n".encode())
    return total.hexdigest()


def deb_of(folder, package):
    return folder / f"{package.name}.deb"


def is_downloaded(folder, package):
    path = deb_of(folder, package)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256


def last_line(text):
    lines = [line for line in text.splitlines() if line.startswith("E:")] or text.splitlines() or ["no message"]
    return lines[-1].removeprefix("E: ")


def apt(command, *words, folder):
    """A finished apt-get or apt-cache. Without apt: TableError"""
    try:
        return subprocess.run([command, *words], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise TableError(f"{command} is not there, and the default text comes from Debian's packages: give --text PATH",
                         NO_DATA) from error


def own_lists(folder):
    """Options with which apt keeps its lists in a folder, which needs no root."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"]


def options_that_know(package, folder):
    """How apt finds a package: by the system's lists, or by fresh ones where those are missing or old."""
    version = f"{package.name}={package.version}"
    if apt("apt-cache", "show", version, folder=folder).returncode == 0:
        return []
    options = own_lists(folder)
    if apt("apt-cache", *options, "show", version, folder=folder).returncode != 0:
        print("  apt's lists don't have it: getting fresh ones", flush=True)
        apt("apt-get", *options, "-qq", "update", folder=folder)
    return options


def download(package, folder):
    """@raises TableError"""
    print(f"  {package.words()}, {package.bytes / 1e6:.1f} MB", flush=True)
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    options = options_that_know(package, folder)
    done = apt("apt-get", *options, "-qq", "download", f"{package.name}={package.version}", folder=part)
    debs = list(part.glob("*.deb"))
    if done.returncode != 0 or len(debs) != 1:
        raise TableError(f"{package.words()} of Debian 12 can't be downloaded ({last_line(done.stderr)}): go online and "
                         "give the same command again, or --text PATH", NO_DATA)
    debs[0].rename(deb_of(folder, package))
    if not is_downloaded(folder, package):
        raise TableError(f"{package.words()} was downloaded, but isn't the package that the plan names (its SHA-256 is "
                         f"not {package.sha256}): give the same command again, or --text PATH", NO_DATA)


def unpack(package, deb, folder):
    """Writes the files of a package that are text to folder/NAME.txt, without compression."""
    tree, target = folder / "tree", folder / "text" / package.name
    subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
    target.mkdir(parents=True)
    for path in sorted(tree.glob(package.files)):
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        (target / (path.name.split(".")[0] + ".txt")).write_bytes(content)
    shutil.rmtree(tree)


@contextlib.contextmanager
def locked(folder):
    """Other tables of this checkout wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(text):
    """The folder of the text, made where it isn't there. @raises TableError"""
    with locked(text.folder):
        if text.is_there():
            return text.text
        print(f"text: {text.words()}", flush=True)
        packages, part = text.folder / "packages", text.folder / "part"
        packages.mkdir(exist_ok=True)
        for package in text.missing():
            download(package, packages)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for package in text.packages:
            unpack(package, deb_of(packages, package), part)
        found = checksum_of_folder(part / "text")
        if found != text.sha256:
            raise TableError(f"the text of {text.title} has SHA-256 {found}, not {text.sha256}: a bug of this plan", 1)
        shutil.rmtree(text.text, ignore_errors=True)
        (part / "text").rename(text.text)
        part.rmdir()
        shutil.rmtree(packages)
    return text.text
