#!/usr/bin/env bash
# Gets a checkout ready to build: Debian packages (with root or sudo), and .venv with LibTorch, CMake, Ninja and the
# tests' oracles. Does only what is missing, so it may be run any time.
#
#     scripts/setup.sh                   the LibTorch that .venv has, or the pinned one
#     scripts/setup.sh --torch 2.15.0    another one: 2.11 to 2.15
#     scripts/setup.sh --cpu             for CPUs alone: a quarter of the download, without NVIDIA's libraries and Triton
#     scripts/setup.sh --cuda            with them again
#     scripts/setup.sh --nvcc            also NVIDIA's compiler of that LibTorch's CUDA (330 MB), from PyPI
#
# What was chosen stays chosen: later calls, those of the other scripts too, keep to it.
set -euo pipefail
cd "$(dirname "$0")/.."

pinned_torch=2.11.0
packages=(g++ pkg-config python3-venv libsentencepiece-dev nlohmann-json3-dev libspdlog-dev libyaml-cpp-dev
  libgtest-dev libgmock-dev libbenchmark-dev zlib1g-dev libzstd-dev libssl-dev libxxhash-dev libpcre2-dev
  libutf8proc-dev libgloo-dev make strace iproute2)
stamp=.venv/fathom-setup
log=.venv/fathom-setup.log

say() { echo "setup: $*"; }
die() { echo "setup: error: $*" >&2; exit 1; }
usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

exec 9< "$0"
flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }
torch=$(sed -n 's/^torch //p' "$stamp" 2> /dev/null || true)
torch=${torch:-$pinned_torch}
nvcc=$(sed -n 's/^nvcc //p' "$stamp" 2> /dev/null || true)
nvcc=${nvcc:-no}
cpu=$(sed -n 's/^cpu //p' "$stamp" 2> /dev/null || true)
cpu=${cpu:-no}
while [ $# -gt 0 ]; do
  case $1 in
    --torch) torch=${2:-}; shift ;;
    --torch=*) torch=${1#*=} ;;
    --cpu) cpu=yes ;;
    --cuda) cpu=no ;;
    --nvcc) nvcc=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup: error: unknown argument '$1'; see scripts/setup.sh --help" >&2; exit 2 ;;
  esac
  [ $# -eq 0 ] || shift
done
[[ $torch =~ ^2\.1[1-5]\.[0-9]+$ ]] ||
  die "--torch is '$torch'; allowed: a release from 2.11.0 to 2.15.x, e.g. --torch $pinned_torch"

if [ "$cpu" = yes ] && [ "$nvcc" = yes ]; then
  die "--cpu leaves out all of NVIDIA's, and --nvcc asks for its compiler: choose --cuda --nvcc, or remove .venv and its choices"
fi

# Prints which of the Debian packages are missing.
missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2> /dev/null || true) # 1: some unknown
  for package in "${packages[@]}"; do
    grep -qxF "$package installed" <<< "$installed" || echo "$package"
  done
}

install_packages() {
  local missing run=() apt_log
  if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    say "this system has no apt-get; the build needs what Debian calls: ${packages[*]}"
    return
  fi
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2> /dev/null; then
      run=(sudo -n)
    else
      die "Debian packages are missing and sudo would ask for a password. Run this line, then this script again:
sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    fi
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  apt_log=$(mktemp)
  # Another package manager may hold dpkg's lock for a while: a fresh machine updates itself.
  if ! "${run[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update > "$apt_log" 2>&1 ||
    ! "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}" \
      >> "$apt_log" 2>&1; then
    tail -n 5 "$apt_log" >&2
    die "apt-get failed; its output is in $apt_log"
  fi
  rm -f "$apt_log"
}

# Prints a Python that can make a virtual environment.
find_python() {
  local python
  for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      echo "$python"
      return
    fi
  done
  die "no Python 3.11 or later with venv was found; Debian's package is python3-venv"
}

# Names the big downloads of a running pip, so that minutes of silence don't look like a hang.
show_downloads() {
  sed -unE 's|^ *Downloading (.*/)?([A-Za-z0-9_.]+)-[0-9][^ /]*\.whl \(([0-9]{3,}\.?[0-9]* MB)\).*|setup:   \2, \3|p
            s|^Installing collected packages.*|setup:   unpacking|p'
}

# The parts of NVIDIA's toolkit that no wheel of LibTorch brings, as its metapackage pins them: headers that those of its
# runtime include, and the compiler.
install_toolkit_parts() {
  local version parts=crt,cccl
  [ "$nvcc" = no ] || parts=crt,cccl,nvcc,nvvm
  version=$(.venv/bin/python -c 'import importlib.metadata as m; print(m.version("cuda-toolkit"))' 2> /dev/null) ||
    { say "this LibTorch has no CUDA, and needs no parts of its toolkit"; return 0; }
  .venv/bin/python -m pip install --disable-pip-version-check --no-input --no-compile --progress-bar off \
    "cuda-toolkit[$parts]==$version" >> "$log" 2>&1
}

pip_install() {
  .venv/bin/python -u -m pip install --disable-pip-version-check --no-input --no-compile --progress-bar off "$@" 2>&1 |
    tee -a "$log" | show_downloads
}

# LibTorch's own wheel, the two small libraries of NVIDIA's that its CPU half links, and stand-ins for the rest, which only
# Python's `import torch` asks for. The requirements are pinned with all that they need.
install_without_cuda() {
  local toolkit others
  mapfile -t others < <(.venv/bin/python -m pip list --format freeze | sed -nE 's/^((nvidia-|cuda-|triton).*)==.*/\1/p')
  [ ${#others[@]} = 0 ] || .venv/bin/python -m pip uninstall -qy "${others[@]}" >> "$log" 2>&1
  pip_install --no-deps "torch==$torch" -r scripts/requirements.txt || return 1
  toolkit=$(.venv/bin/python -c "import importlib.metadata as m, re
print(*re.findall(r'^cuda-toolkit.*==([0-9.]+)', '\n'.join(m.requires('torch')), re.M))")
  [ -z "$toolkit" ] || pip_install "cuda-toolkit[cudart,cupti]==$toolkit" || return 1
  .venv/bin/python scripts/cpu_only_torch.py >> "$log" 2>&1 && .venv/bin/python -c 'import torch' >> "$log" 2>&1 ||
    say "Python can't import this LibTorch without NVIDIA's libraries ($log): tests that compare with it are skipped"
}

install_with_cuda() {
  .venv/bin/python scripts/cpu_only_torch.py --remove
  pip_install "torch==$torch" -r scripts/requirements.txt && install_toolkit_parts
}

install_python_packages() {
  local python start=$SECONDS kind=with_cuda size="3 GB, 4 minutes"
  [ "$cpu" = no ] || { kind=without_cuda; size="0.8 GB, 2 minutes"; }
  if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
    python=$(find_python)
    rm -rf .venv
    "$python" -m venv .venv || die "$python -m venv .venv failed"
  fi
  say "installing LibTorch $torch, CMake, Ninja and the tests' oracles into .venv (about $size)"
  printf 'torch %s\ncpu %s\nnvcc %s\nincomplete\n' "$torch" "$cpu" "$nvcc" > "$stamp" # what was asked for, should this fail
  : > "$log"
  "install_$kind" ||
    { grep -a '^ERROR' "$log" | tail -n 5 >&2; die "pip failed; its output is in $log. Once mended, run this script again"; }
  printf '%s\n' "$wanted" > "$stamp"
  say "done in $((SECONDS - start)) s"
}

install_packages
wanted=$(printf 'torch %s\ncpu %s\nnvcc %s\n' "$torch" "$cpu" "$nvcc"
  sha256sum scripts/requirements.txt scripts/setup.sh scripts/cpu_only_torch.py)
if [ "$(cat "$stamp" 2> /dev/null)" != "$wanted" ] || ! .venv/bin/python -c '' 2> /dev/null; then
  install_python_packages
fi
[ "$torch" = "$pinned_torch" ] || say "LibTorch $torch, not the pinned one: scripts/setup.sh --torch $pinned_torch goes back"
[ "$cpu" = no ] && kind="with CUDA" || kind="for CPUs alone (scripts/setup.sh --cuda: with CUDA)"
say "ready: LibTorch $torch in .venv, $kind"
