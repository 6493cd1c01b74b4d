#!/usr/bin/env bash
# Checks --provider cuda on this machine: what is there, the tests that need a
# device, and what the device is worth. It lies in a folder made by bundle.sh, and
# needs bash, NVIDIA's driver and CUDA 13's libraries.
#
# usage: check.sh [NAME] [RESULTS]
#
# NAME is what the machine is called in reports. RESULTS, a folder, gets
# gpu-NAME.jsonl, the records of the measurements, gpu-NAME-timeline.json, what a
# device and workers did, for ui.perfetto.dev, and gpu-NAME.log, what was printed. Libraries of CUDA's that pip installed are found by themselves.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=${1:-$(uname -n)}
results=$(mkdir -p "${2:-.}" && cd "${2:-.}" && pwd)
started=$SECONDS
export MILLRACE_ORT_LIB=$here/lib
log=$results/gpu-$name.log
records=$results/gpu-$name.jsonl
rm -f "$log" "$records"
cd "$here" || exit 1

# Python's packages of CUDA's libraries are in folders that the loader does not
# look into.
packages=$(python3 -c 'import glob, sysconfig; p = sysconfig.get_paths()["purelib"]; print(":".join(glob.glob(p + "/nvidia/*/lib") + glob.glob(p + "/tensorrt_libs")))' 2>/dev/null)
export LD_LIBRARY_PATH=$packages${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

failed=0
step() { # step WHAT COMMAND...
  printf '\n== %s (%d s)\n' "$1" $((SECONDS - started))
  shift
  local code=0
  "$@" || code=$?
  [ "$code" = 0 ] || {
    failed=$((failed + 1))
    printf 'FAILED (exit %d): %s\n' "$code" "$*"
  }
}

# flights repeats the sample of flights, all columns of it in Arrow, and names it
# as the input of what is measured: whole runs are to last.
whole=()
flights() {
  local sample=testdata/flights-sample.parquet columns times=$((${ROWS:-96} / 8))
  columns=$(bin/millrace inspect models/reference/flights_linear.onnx | sed -n 's/^features *[0-9]*: //p' | tr -d ' ')
  # shellcheck disable=SC2046 # names without spaces
  bin/millrace score --model models/reference/flights_linear.onnx $(printf -- "--input $sample %.0s" $(seq 160)) \
    --nulls nan --ids id --keep "$columns" --output-prefix was_ --output flights.arrow --if-exists replace --quiet || return
  whole=(--nulls nan --features "$columns")
  for _ in $(seq "$times"); do whole+=(--input flights.arrow); done
}

measure() { # measure PROVIDER MODEL BATCHES STREAMS FLAGS...
  local provider=$1 model=$2 batches=$3 workers=$4
  shift 4
  step "bench $provider $model $*" bin/millrace bench --model "$model" "${whole[@]}" --name "$name" --providers "$provider" \
    --batch-sizes "$batches" --workers "$workers" --repeats "${REPEATS:-3}" --time 200ms --results "$records" "$@"
}

check() {
  printf 'commit %s\n' "$(cat commit)"
  nvidia-smi --query-gpu=name,driver_version,memory.total,pcie.link.gen.max,pcie.link.width.max --format=csv
  step doctor bin/millrace doctor
  step tests bash -c 'cd engine && MILLRACE_GPU=1 ./engine.test -test.run "^TestGPU" -test.v -test.timeout 240s'
  for model in flights_gbdt flights_mlp; do # what starting costs
    step "score $model" bash -c "time bin/millrace score --provider cuda --model models/reference/$model.onnx --input testdata/flights-sample.parquet --nulls nan --ids id --output out --if-exists replace"
  done
  step "${ROWS:-96}M rows of flights" flights
  step timeline bin/millrace score --provider cuda --model models/reference/flights_mlp.onnx "${whole[@]:0:6}" --profile device --profile-to . --output out --if-exists replace
  mv device.json "$results/gpu-$name-timeline.json" 2>/dev/null
  for model in bench/gpu/gbdt_500x8.onnx models/reference/flights_gbdt.onnx models/reference/flights_mlp.onnx; do
    measure cuda "$model" 65536,262144 2,4 --auto-only
  done
  measure cpu models/reference/flights_linear.onnx 4096 "$(nproc)" --auto-only
  # Long enough for a trial of batch sizes and streams: what it chose is in the line "batches".
  local long=("${whole[@]}")
  for _ in 1 2 3 4 5 6 7; do long+=("${whole[@]:4}"); done
  step 'trial' bin/millrace score --provider cuda --model models/reference/flights_mlp.onnx "${long[@]}" --output out --if-exists replace
  rm -rf out
  whole=(--rows 2000000 --made-format arrow --null-share 0 --auto-only)
  measure cuda bench/gpu/gbdt_500x8.onnx 16384,65536 2,4 --kernels onnxruntime
  whole=(--rows 1000000 --made-format arrow --null-share 0 --auto-only)
  measure cuda bench/gpu/wide_mlp.onnx 16384,65536 2,4
  if bin/millrace doctor | grep -q 'ready for --provider tensorrt'; then
    whole=(--rows 1000000 --made-format arrow --null-share 0 --sweep-only --engine-cache "$here/engines")
    for model in models/reference/flights_mlp.onnx bench/gpu/wide_mlp.onnx; do
      measure tensorrt "$model" 16384,65536 2,4
    done
  else
    printf '\n== SKIPPED: TensorRT is not here\n'
  fi
  step 'device memory and energy in the records' bash -c "grep '\"stage\":\"compute\"' '$records' | grep '\"peak_device_memory_bytes\":[1-9]' | grep -q '\"joules\":[1-9]'"
  # The processor of the same machine, with ONNX Runtime's own kernels beside ours.
  whole=(--rows 1000000 --made-format arrow --null-share 0 --sweep-only)
  for model in bench/gpu/gbdt_500x8.onnx models/reference/flights_gbdt.onnx; do
    measure cpu "$model" 4096 "$(nproc)" --kernels onnxruntime
    measure cpu "$model" 4096 "$(nproc)"
  done
  printf '\n%d steps failed, %d s\n' "$failed" $((SECONDS - started))
  return $((failed > 0))
}

check 2>&1 | tee "$log"
exit "${PIPESTATUS[0]}"
