#!/usr/bin/env bash
# Measures, for three models on Parquet (zstd) and on Arrow, both with 5% nulls,
# each stage alone and whole runs: the raw records, the table of their ratios and
# the page with pictures go to the folder named. Each model gets the file as
# many times as make runs of two to four seconds: starting and ending are then as
# small a part as five minutes allow.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.bench}
data=${MILLRACE_DATA_DIR:-.data}
mkdir -p "$out"
rm -f "$out/ceilings.jsonl"
for format in parquet arrow; do
	linear=6
	if [ "$format" = arrow ]; then linear=18; fi
	for job in "linear $linear" "mlp 6" "gbdt 6"; do
		read -r model times <<<"$job"
		echo "== flights_$model on flights-nulls.$format, $times x 3,000,000 rows" >&2
		inputs=()
		for ((i = 0; i < times; i++)); do
			inputs+=(--input "$data/flights-nulls.$format")
		done
		bin/millrace bench --model "models/reference/flights_$model.onnx" "${inputs[@]}" \
			--nulls nan --ids id --batch-sizes 1024,4096 --workers "$(nproc)" --auto-only \
			--results "$out/ceilings.jsonl" --quiet
	done
done
bin/millrace bench --from "$out/ceilings.jsonl" --report "$out/ceilings.html" | tee "$out/ceilings.txt"
