#!/usr/bin/env bash
# Measures, for three models on Parquet (zstd) and on Arrow, both with 5% nulls,
# each stage alone and whole runs: the raw records, the table of their ratios and
# the page with pictures go to the folder named. GBDT gets a tenth of the rows.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.bench}
data=${MILLRACE_DATA_DIR:-.data}
mkdir -p "$out"
rm -f "$out/ceilings.jsonl"
for format in parquet arrow; do
	for job in "linear flights-nulls" "mlp flights-nulls" "gbdt flights-nulls-300k"; do
		read -r model table <<<"$job"
		echo "== flights_$model on $table.$format" >&2
		bin/millrace bench --model "models/reference/flights_$model.onnx" --input "$data/$table.$format" \
			--nulls nan --ids id --batch-sizes 1024,4096 --workers "$(nproc)" --auto-only \
			--results "$out/ceilings.jsonl" --quiet
	done
done
bin/millrace bench --from "$out/ceilings.jsonl" --report "$out/ceilings.html" | tee "$out/ceilings.txt"
