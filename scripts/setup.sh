#!/usr/bin/env bash
# Gets a checkout ready to build: Debian packages (with root or sudo), and .venv with LibTorch, CMake, Ninja and the
# tests' oracles. Does only what is missing, so it may be run any time.
#
#     scripts/setup.sh                   the LibTorch that .venv has, or the pinned one
#     scripts/setup.sh --torch 2.15.0    another one: 2.11 to 2.15
#     scripts/setup.sh --nvcc            also NVIDIA's compiler of that LibTorch's CUDA (330 MB), from PyPI
set -euo pipefail
cd "$(dirname "$0")/.."

pinned_torch=2.11.0
packages=(g++ pkg-config python3-venv libsentencepiece-dev nlohmann-json3-dev libspdlog-dev libyaml-cpp-dev
  libgtest-dev libgmock-dev libbenchmark-dev zlib1g-dev libzstd-dev libssl-dev libutf8proc-dev libgloo-dev make strace iproute2)
stamp=.venv/fathom-setup
log=.venv/fathom-setup.log

say() { echo "setup: $*"; }
die() { echo "setup: error: $*" >&2; exit 1; }
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

exec 9< "$0"
flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }
torch=$(sed -n 's/^torch //p' "$stamp" 2> /dev/null || true)
torch=${torch:-$pinned_torch}
nvcc=$(sed -n 's/^nvcc //p' "$stamp" 2> /dev/null || true)
nvcc=${nvcc:-no}
while [ $# -gt 0 ]; do
  case $1 in
    --torch) torch=${2:-}; shift ;;
    --torch=*) torch=${1#*=} ;;
    --nvcc) nvcc=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown argument '$1'" ;;
  esac
  [ $# -eq 0 ] || shift
done
[[ $torch =~ ^2\.1[1-5]\.[0-9]+$ ]] ||
  die "--torch is '$torch'; allowed: a release from 2.11.0 to 2.15.x, e.g. --torch $pinned_torch"

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

install_python_packages() {
  local python start=$SECONDS
  if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
    python=$(find_python)
    rm -rf .venv
    "$python" -m venv .venv || die "$python -m venv .venv failed"
  fi
  say "installing LibTorch $torch, CMake, Ninja and the tests' oracles into .venv (about 3 GB, 4 minutes)"
  printf 'torch %s\nnvcc %s\nincomplete\n' "$torch" "$nvcc" > "$stamp" # what was asked for, should this fail
  .venv/bin/python -u -m pip install --disable-pip-version-check --no-input --no-compile --progress-bar off \
    "torch==$torch" -r scripts/requirements.txt 2>&1 | tee "$log" | show_downloads && install_toolkit_parts ||
    { grep -a '^ERROR' "$log" | tail -n 5 >&2; die "pip failed; its output is in $log. Once mended, run this script again"; }
  printf '%s\n' "$wanted" > "$stamp"
  say "done in $((SECONDS - start)) s"
}

install_packages
wanted="torch $torch"$'\n'"nvcc $nvcc"$'\n'$(sha256sum scripts/requirements.txt scripts/setup.sh)
if [ "$(cat "$stamp" 2> /dev/null)" != "$wanted" ] || ! .venv/bin/python -c '' 2> /dev/null; then
  install_python_packages
fi
[ "$torch" = "$pinned_torch" ] || say "LibTorch $torch, not the pinned one: scripts/setup.sh --torch $pinned_torch goes back"
say "ready: LibTorch $torch in .venv"
