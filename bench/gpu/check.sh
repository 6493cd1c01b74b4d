#!/usr/bin/env bash
# Checks --provider cuda on this machine: what is there, the tests that need a
# device, and what the device is worth. It lies in a folder made by bundle.sh, and
# needs bash, NVIDIA's driver and CUDA 13's libraries.
#
# usage: check.sh [NAME] [RESULTS]
#
# NAME is what the machine is called in reports. RESULTS, a folder, gets
# gpu-NAME.jsonl, the records of the measurements, and gpu-NAME.log, what was
# printed. Libraries of CUDA's that pip installed are found by themselves.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=${1:-$(uname -n)}
results=$(mkdir -p "${2:-.}" && cd "${2:-.}" && pwd)
started=$SECONDS
export MILLRACE_ORT_LIB=$here/lib MILLRACE_GPU=1
log=$results/gpu-$name.log
records=$results/gpu-$name.jsonl
rm -f "$log" "$records"
cd "$here" || exit 1

# Python's packages of CUDA's libraries are in folders that the loader does not
# look into.
packages=$(python3 -c 'import glob, sysconfig; print(":".join(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib")))' 2>/dev/null)
export LD_LIBRARY_PATH=$packages${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

failed=0
step() { # step WHAT COMMAND...
  printf '\n== %s (%d s)\n' "$1" $((SECONDS - started))
  shift
  "$@" || {
    failed=$((failed + 1))
    printf 'FAILED (exit %d): %s\n' $? "$*"
  }
}

measure() { # measure PROVIDER MODEL ROWS FLAGS...
  local provider=$1 model=$2 rows=$3
  shift 3
  local batches=16384,65536,262144 workers=1,2,4
  [ "$provider" = cuda ] || batches=4096 workers=$(nproc)
  step "bench $provider $model $*" bin/millrace bench --model "$model" --rows "$rows" --made-format arrow --null-share 0 --name "$name" \
    --providers "$provider" --batch-sizes "$batches" --workers "$workers" --repeats "${REPEATS:-3}" --time 200ms --results "$records" "$@"
}

check() {
  printf 'commit %s\n' "$(cat commit)"
  nvidia-smi --query-gpu=name,driver_version,memory.total,pcie.link.gen.max,pcie.link.width.max --format=csv
  step doctor bin/millrace doctor
  step tests bash -c 'cd engine && ./engine.test -test.run "^TestGPU" -test.v -test.timeout 240s'
  measure cuda bench/gpu/gbdt_500x8.onnx 4000000
  measure cuda bench/gpu/gbdt_500x8.onnx 4000000 --kernels onnxruntime --auto-only
  measure cuda models/reference/flights_gbdt.onnx 8000000
  measure cuda models/reference/flights_mlp.onnx 8000000
  measure cuda bench/gpu/wide_mlp.onnx 1000000
  # The processor of the same machine: ONNX Runtime's own kernels, and ours.
  for model in bench/gpu/gbdt_500x8.onnx models/reference/flights_gbdt.onnx; do
    measure cpu "$model" 1000000 --kernels onnxruntime --sweep-only
    measure cpu "$model" 1000000 --sweep-only
  done
  printf '\n%d steps failed, %d s\n' "$failed" $((SECONDS - started))
  return $((failed > 0))
}

check 2>&1 | tee "$log"
exit "${PIPESTATUS[0]}"
