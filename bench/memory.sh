#!/usr/bin/env bash
# Peak memory for 30 million rows and for 120 million (the same file ten times,
# and forty), on Parquet and on mapped Arrow: it must not grow with the input,
# and be no more than the model and 300 MiB. Fails when the second is more than
# 15% above the first, or one is above that. A run of 3 million rows ends before
# its heap and buffers are as large as they get. What does grow is the metadata
# of the files, 0.2 MiB for each of these. Needs make data and make build. TIMES=3
# takes the file three and twelve times. Both take batches of 4,096 rows: auto may
# choose larger ones for the longer run, whose memory is theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
model=${1:-flights_linear}
times=${TIMES:-10}
bound=$(($(stat -c %s "models/reference/$model.onnx") / 1024 + 300 * 1024)) # KiB
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# peak FILE TIMES prints the peak in KiB and the rows.
peak() {
	local args=() i
	for ((i = 0; i < $2; i++)); do args+=(--input "$1"); done
	bin/millrace score --model "models/reference/$model.onnx" "${args[@]}" --ids id --nulls nan --batch-size 4096 \
		--output "$out/scores" --if-exists replace --json --log-format json 2>"$out/log" |
		python3 -c 'import json, sys; s = json.load(sys.stdin); print(s["peak_memory_bytes"] >> 10, s["rows"]["scored"])'
}

status=0
printf '%-10s %12s %12s %8s %12s\n' format "$((3 * times))M rows" "$((12 * times))M rows" ratio bound
for format in parquet arrow; do
	file=.data/flights-wide.$format
	[ -f "$file" ] || { echo "no $file: run make data" >&2; exit 1; }
	read -r small rows_small < <(peak "$file" "$times")
	read -r large rows_large < <(peak "$file" $((4 * times)))
	[ "$rows_large" -eq $((4 * rows_small)) ] || { echo "$rows_large rows scored; want 4 times $rows_small" >&2; exit 1; }
	printf '%-10s %8d MiB %8d MiB %8.3f %8d MiB\n' "$format" $((small / 1024)) $((large / 1024)) "$(awk "BEGIN{print $large/$small}")" $((bound / 1024))
	awk "BEGIN{exit !($large <= 1.15 * $small)}" || status=1
	if [ "$small" -gt $bound ] || [ "$large" -gt $bound ]; then
		echo "$format: more than the model and 300 MiB" >&2
		status=1
	fi
done
exit $status
