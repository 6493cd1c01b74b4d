#!/usr/bin/env bash
# Compares whole runs into a table of PostgreSQL with psql's \copy of the same rows into the
# same table, in turns, and prints the rates. Needs make runtime build data, and Debian's
# postgresql; starts a server of its own, on a socket in a folder of its own.
#
#   bench/postgres/run.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
load=$(cut -d' ' -f1 /proc/loadavg)
bin=$(find /usr/lib/postgresql -name initdb -printf '%h\n' | sort -V | tail -1)
dir=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then
	chown postgres "$dir"
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
"${as[@]}" "$bin/initdb" -D "$dir/data" -A trust -U postgres --no-sync -E UTF8 --locale=C >"$dir/initdb.log"
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/log" -o "-c listen_addresses='' -k $dir -c max_wal_size=8GB" -w start >/dev/null
trap '"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null; rm -rf "$dir"' EXIT
sql() { "$bin/psql" -X -q -h "$dir" -U postgres -At "$@"; }
uri() { echo "postgres://postgres@/postgres?host=$dir&table=$1"; }
score() { # MODEL TABLE [FLAG...]
	bin/millrace score --quiet --model "models/reference/$1.onnx" --input .data/flights-wide.parquet --ids id --nulls nan --output "$(uri "$2")" "${@:3}"
}
now() { date +%s.%N; }
took() { # ARM COMMAND...
	sql -c checkpoint
	local start; start=$(now)
	"${@:2}"
	echo "$1 $(echo "$(now) - $start" | bc)" >>"$dir/times"
}
clean() { sql -c "SET client_min_messages = error; DROP TABLE IF EXISTS $1 CASCADE; DROP SCHEMA IF EXISTS $1_millrace CASCADE"; }

score flights_linear rows
rows=$(sql -c "SELECT count(*) FROM rows")
sql -c "COPY (SELECT id, variable FROM rows) TO STDOUT (FORMAT csv)" >"$dir/rows.csv"
sql -c "COPY (SELECT id, variable FROM rows) TO STDOUT (FORMAT binary)" >"$dir/rows.bin"
sql -c "COPY (SELECT millrace_run, id, variable FROM rows) TO STDOUT (FORMAT csv)" >"$dir/whole.csv"
table="(millrace_run text NOT NULL DEFAULT '20261128T000000Z-000000', id bigint, variable real)"
for _ in $(seq "$rounds"); do
	for format in csv binary; do
		clean copied
		sql -c "CREATE TABLE copied $table"
		file=$dir/rows.csv; [ $format = csv ] || file=$dir/rows.bin
		took "copy-$format" sql -c "\\copy copied (id, variable) from '$file' with (format $format)"
	done
	clean copied
	sql -c "CREATE TABLE copied $table"
	took copy-csv-whole sql -c "\\copy copied from '$dir/whole.csv' with (format csv)"
	for model in flights_linear flights_gbdt; do
		clean scored
		took "$model" score $model scored
		clean plain
		sql -c "CREATE TABLE plain $table"
		took "$model-plain" score $model plain --if-exists append
	done
	took append score flights_linear rows --if-exists append --restart
	sql -c "SET client_min_messages = error; DELETE FROM rows_millrace.run WHERE live AND mode = 'append'"
	for part in $(sql -c "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'rows'::regclass OFFSET 1"); do sql -c "DROP TABLE $part"; done
done
{
	echo "# Runs into a table of PostgreSQL, beside psql's \\copy"
	echo
	echo "\`make bench-postgres\` on $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1); $("$bin/postgres" --version); commit $(git rev-parse --short HEAD); load before: $load."
	echo "$rows rows of a run, an id and a prediction, into the same table, in turns; least of $rounds rounds. Of a run all is counted: reading"
	echo "32 columns of Parquet, scoring, COPY and publishing; \\copy has its rows in a file. *-plain*: a table that others made, where"
	echo "publishing copies rows once more; *append*: to a table with another run's; *whole*: the file has the run's column too, which"
	echo "is the table's default otherwise."
	echo
	echo "| | seconds | M rows/s | of \\copy, CSV | of \\copy, binary |"
	echo "|---|---|---|---|---|"
	awk -v rows="$rows" '{ if (!($1 in best) || $2 < best[$1]) best[$1] = $2 }
		END { for (arm in best) printf "| %s | %.2f | %.2f | %.2f | %.2f |\n", arm, best[arm], rows / best[arm] / 1e6, best["copy-csv"] / best[arm], best["copy-binary"] / best[arm] }' "$dir/times" | sort
	echo
	echo "Rows that are there already, without reading and scoring, 1.05M of an id and a double (BenchmarkPublish, mean of 5):"
	echo
	echo "| | M rows/s |"
	echo "|---|---|"
	go test ./engine/sink/postgres -run '^$' -bench Publish -benchtime 5x |
		awk '/^Benchmark/ { sub(/.*arm=/, "", $1); sub(/-[0-9]+$/, "", $1); printf "| %s | %.2f |\n", $1, $5 / 1e6 }'
} | tee bench/results/postgres.md
