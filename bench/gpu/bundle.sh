#!/usr/bin/env bash
# Makes a folder with all that bench/gpu/check.sh needs on a machine with an NVIDIA
# device and CUDA 13 and without Go, Python or a network: program, compiled tests,
# ONNX Runtime with its CUDA provider, models, data and scripts.
#
# usage: bench/gpu/bundle.sh FOLDER [PART_SIZE]
#
# With a part size, such as 55M, also writes FOLDER.tar.xz.00, .01 ... of at most
# that size, for ways of carrying that take no large file; there,
#   cat FOLDER.tar.xz.* | tar xJ
# makes the folder again.
set -euo pipefail

die() {
  printf 'bundle.sh: %s\n' "$*" >&2
  exit 1
}

[ $# -ge 1 ] && [ $# -le 2 ] || die 'usage: bench/gpu/bundle.sh FOLDER [PART_SIZE]'
out=$1
part=${2:-}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
case $(uname -m) in
  x86_64) ;;
  *) die "ONNX Runtime's CUDA provider is for x86-64, and this is $(uname -m)" ;;
esac
cd "$root"
library=$(engine/ort/fetch.sh cuda)

rm -rf "$out"
mkdir -p "$out/bin" "$out/engine" "$out/lib" "$out/bench/gpu"
out=$(cd "$out" && pwd)
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
version=$(git describe --tags --always --dirty 2>/dev/null || echo dev)
go build -ldflags "-s -w -X main.version=$version -X main.commit=$commit" -o "$out/bin/millrace" ./cmd/millrace
go test -c -ldflags '-s -w' -o "$out/engine/engine.test" ./engine
cp -L "$library" "$out/lib/libonnxruntime.so"
cp "$(dirname "$library")"/libonnxruntime_providers_{shared,cuda,tensorrt}.so "$out/lib/"
mkdir -p "$out/models"
cp -r models/reference "$out/models/"
cp -r testdata "$out/"
cp bench/gpu/check.sh "$out/"
.venv/bin/python bench/gpu/make_models.py "$out/bench/gpu"
printf '%s\n' "$commit" >"$out/commit"
du -sh "$out" | sed 's/\t.*/ in the folder/'

if [ -n "$part" ]; then
  rm -f "$out".tar.xz.*
  tar -C "$(dirname "$out")" -c "$(basename "$out")" | xz -T0 -6 | split -d -b "$part" - "$out.tar.xz."
  ls -l "$out".tar.xz.*
fi
