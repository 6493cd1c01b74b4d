#!/usr/bin/env bash
# Fetches ONNX Runtime's shared library into .ort/<version>-<cpu|cuda>-<arch>/
# at the repository's root, out of the project's official Python wheel. Nothing
# is installed. The wheel is pinned by version and SHA-256, so the library is
# the same on every machine; its Python tag is fixed because the digest is of
# one file, whatever Python is here.
#
# usage: engine/ort/fetch.sh cpu|cuda [x86_64|aarch64]
#
# With an architecture, fetches that one's library instead of this machine's.
# PYTHON names the interpreter whose pip downloads (default: python3).
set -euo pipefail

readonly version=1.31.1
readonly python_tag=312

die() {
  printf 'fetch.sh: %s\n' "$*" >&2
  exit 1
}

readonly instead='or put a library of 1.24 or newer anywhere and name it with --ort-lib or MILLRACE_ORT_LIB'

kind=${1:-}
machine=${2:-$(uname -m)}
case $machine in
  arm64) machine=aarch64 ;;
  amd64) machine=x86_64 ;;
esac

[ "$#" -le 2 ] || die 'usage: engine/ort/fetch.sh cpu|cuda [x86_64|aarch64]'
case $kind in
  cpu) package=onnxruntime ;;
  cuda) package=onnxruntime-gpu ;;
  *) die 'usage: engine/ort/fetch.sh cpu|cuda [x86_64|aarch64]' ;;
esac
case $kind-$machine in
  cpu-x86_64) sha256=1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536 ;;
  cpu-aarch64) sha256=0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc ;;
  cuda-x86_64) sha256=05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7 ;;
  cuda-aarch64) die "ONNX Runtime $version has no CUDA wheel for arm64 Linux; use 'cpu', $instead" ;;
  *) die "no ONNX Runtime wheel is pinned for $machine (pinned: x86_64, aarch64); build one, $instead" ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly home=$root/.ort
readonly place=$home/$version-$kind-$machine
readonly stamp=$place/sha256

# The stamp is written before the folder gets its name, so a folder with the
# right stamp is whole.
if [ -f "$stamp" ] && [ "$(<"$stamp")" = "$sha256" ] && [ -f "$place/lib/libonnxruntime.so.$version" ]; then
  printf '%s\n' "$place/lib/libonnxruntime.so"
  exit 0
fi

case $(uname -s) in
  Linux) ;;
  *) die "only Linux libraries are pinned, and this is $(uname -s)" ;;
esac

python=${PYTHON:-python3}
command -v "$python" >/dev/null || die "$python is not here: install Python 3 with pip (Debian: python3-pip), $instead"
"$python" -m pip --version >/dev/null 2>&1 ||
  die "$python has no pip: install it (Debian: python3-pip, or: $python -m ensurepip --user), $instead"

mkdir -p "$home"
temp=$(mktemp -d "$home/.fetch.XXXXXX")
trap 'rm -rf "$temp"' EXIT

printf 'fetch.sh: downloading %s %s for %s\n' "$package" "$version" "$machine" >&2
if ! "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --platform "manylinux_2_28_$machine" --implementation cp --abi "cp$python_tag" --python-version "$python_tag" \
  --dest "$temp" "$package==$version" >&2; then
  die "pip could not download $package $version (its message is above: no network, a proxy, or an index without it?); try again, $instead"
fi

wheels=("$temp"/*.whl)
[ "${#wheels[@]}" -eq 1 ] && [ -f "${wheels[0]}" ] || die "pip left ${#wheels[@]} wheels where one was expected"
wheel=${wheels[0]}
got=$(sha256sum "$wheel")
got=${got%% *}
[ "$got" = "$sha256" ] ||
  die "the wheel's SHA-256 is $got, not the pinned $sha256: $(basename "$wheel") is not the file this project was tested with; nothing was unpacked"

# Only the libraries and the licences; the Python half stays behind.
mkdir -p "$temp/new/lib"
"$python" - "$wheel" "$temp/new" "$version" <<'PY'
import os, shutil, sys, zipfile

wheel, out, version = sys.argv[1:]
take = {
    f"onnxruntime/capi/libonnxruntime.so.{version}": "lib",
    "onnxruntime/LICENSE": "",
    "onnxruntime/ThirdPartyNotices.txt": "",
}
with zipfile.ZipFile(wheel) as z:
    for name in z.namelist():
        base = os.path.basename(name)
        if name.startswith("onnxruntime/capi/libonnxruntime_providers_") and base.endswith(".so"):
            take[name] = "lib"
    for name, folder in take.items():
        with z.open(name) as source, open(os.path.join(out, folder, os.path.basename(name)), "xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
PY
# The provider libraries look for each other beside libonnxruntime.so.
ln -s "libonnxruntime.so.$version" "$temp/new/lib/libonnxruntime.so"
ln -s "libonnxruntime.so.$version" "$temp/new/lib/libonnxruntime.so.1"
printf '%s' "$sha256" >"$temp/new/sha256"

# A folder of an older pin, or a damaged one, gives way; one that another
# fetch finished meanwhile is as good as ours.
if [ -e "$place" ]; then
  mv "$place" "$temp/old"
fi
mv -T "$temp/new" "$place" 2>/dev/null || [ "$(cat "$stamp" 2>/dev/null)" = "$sha256" ] ||
  die "cannot put the library at $place"
printf '%s\n' "$place/lib/libonnxruntime.so"
