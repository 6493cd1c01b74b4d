#!/usr/bin/env bash
# The same model both ways: the flights of 2013 (ten times the file, 3.4 million rows) by
# nyc_pipeline.onnx, which holds its column transformer, and by nyc_bare.onnx with the
# features of docs/examples/nyc.yaml. In turns, ROUNDS (5) of each with one worker; the
# best counts, of rows a second and of processor time for a million rows. Needs make data and make build.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${PROGRAM:-bin/millrace}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
inputs=()
for _ in {1..10}; do inputs+=(--input .data/nyc-flights.parquet); done

# once ARGUMENTS... prints rows/s, and seconds of processor time for a million rows.
once() {
	local TIMEFORMAT='%U %S'
	{ time "$program" score "$@" "${inputs[@]}" --output "$out/scores" --if-exists replace --restart \
		--workers 1 --batch-size 4096 --json >"$out/summary" 2>"$out/log"; } 2>"$out/time"
	python3 - "$out/summary" "$out/time" <<-'PYTHON'
		import json, sys
		summary = json.load(open(sys.argv[1]))
		user, system = map(float, open(sys.argv[2]).read().split())
		print(summary["rows_per_second"], (user + system) / summary["rows"]["scored"] * 1e6)
	PYTHON
}

for ((i = 0; i < ${ROUNDS:-5}; i++)); do
	once --model models/reference/nyc_pipeline.onnx --ids id --nulls nan --nulls manufacturer= >>"$out/pipeline"
	once --job docs/examples/nyc.yaml >>"$out/features"
done
printf '%-28s %12s %22s\n' way rows/s 'core seconds/M rows'
for way in pipeline features; do
	awk -v way=$way '$1 > best { best = $1 } !least || $2 < least { least = $2 }
		END { printf "%-28s %12d %22.2f\n", way == "pipeline" ? "nyc_pipeline.onnx" : "nyc_bare.onnx and features", best, least }' "$out/$way"
done
