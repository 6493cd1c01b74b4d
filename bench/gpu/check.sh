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

check() {
  printf 'commit %s\n' "$(cat commit)"
  nvidia-smi --query-gpu=name,driver_version,memory.total,pcie.link.gen.max,pcie.link.width.max --format=csv
  step doctor bin/millrace doctor
  step tests bash -c 'cd engine && ./engine.test -test.run "^TestGPU" -test.v -test.timeout 240s'
  for model in ${MODELS:-bench/gpu/gbdt_500x8.onnx models/reference/flights_gbdt.onnx models/reference/flights_mlp.onnx bench/gpu/wide_mlp.onnx}; do
    step "bench $model" bin/millrace bench --model "$model" --rows "${ROWS:-4000000}" --made-format arrow --null-share 0 --name "$name" \
      --providers cuda --batch-sizes "${BATCHES:-16384,65536,262144}" --workers "${STREAMS:-1,2,4}" --repeats "${REPEATS:-3}" --time 200ms \
      --auto-only --results "$records"
  done
  printf '\n%d steps failed, %d s\n' "$failed" $((SECONDS - started))
  return $((failed > 0))
}

check 2>&1 | tee "$log"
exit "${PIPESTATUS[0]}"
