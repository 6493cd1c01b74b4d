#!/usr/bin/env bash
# Checks the examples with the tools that they are for, and runs cron, systemd and Slurm in a
# container (systemd-nspawn) of their own. What cannot be checked here is SKIPPED, with why.
# Wants root, 3 GB, and 20 minutes the first time; keeps what it fetches in .tools/examples, or
# in EXAMPLES_DIR.
#
# usage: docs/examples/check.sh [shellcheck|kubernetes|airflow|systemd|cron|slurm ...]
set -eEuo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=${EXAMPLES_DIR:-$repo/.tools/examples}
readonly repo work checks=$repo/docs/examples/checks
mkdir -p "$work"
cd "$repo/docs/examples"
for name in container systemd cron slurm; do
	# shellcheck source=/dev/null
	. "$checks/$name.sh"
done

passed() { echo "ok      $*"; }
skipped() { echo "SKIPPED $*"; }
failed() {
	echo "FAILED  line $1: $2" >&2
	container_report >&2 || true
}
trap 'failed $LINENO "$BASH_COMMAND"' ERR
trap container_stop EXIT

check_shellcheck() {
	command -v shellcheck >/dev/null || { skipped "shellcheck: not installed (Debian: apt-get install shellcheck)"; return; }
	shellcheck slurm.sbatch check.sh checks/*.sh
	passed "shellcheck $(shellcheck --version | sed -n 's/^version: //p'): slurm.sbatch and the checks"
}

# The API server's own decoding and validation, from the module k8s.io/kubernetes.
check_kubernetes() {
	(cd checks/kubernetes && go build -o "$work/kubernetes" .) # 6 minutes the first time
	"$work/kubernetes" <cronjob.yaml
	passed "$(grep -o 'k8s.io/kubernetes v.*' checks/kubernetes/go.mod) validates cronjob.yaml"
	must_refuse 's/action: Count/action: Retry/'
	must_refuse 's/restartPolicy: Never/restartPolicy: OnFailure/'
	must_refuse 's/podFailurePolicy:/podFailPolicy:/'
	passed "and refuses three damaged ones"
}

must_refuse() { ! sed "$1" cronjob.yaml | "$work/kubernetes" >/dev/null 2>&1; }

check_airflow() {
	if [ ! -e "$work/airflow/.done" ]; then
		python3 -m venv "$work/airflow"
		"$work/airflow/bin/pip" install --quiet --require-hashes -r checks/airflow.txt
		touch "$work/airflow/.done"
	fi
	"$work/airflow/bin/python" checks/dagbag.py airflow_dag.py
	passed "Airflow loads the DAG, and retries what can be continued"
}

# in_container NAME runs check_NAME in a container of its own.
in_container() {
	local missing
	missing=$(container_missing)
	[ -z "$missing" ] || { skipped "$1: $missing"; return; }
	container_boot
	"check_$1"
	container_stop
}

[ $# -gt 0 ] || set -- shellcheck kubernetes airflow systemd cron slurm
for name; do
	echo "== $name"
	case $name in
	shellcheck | kubernetes | airflow) "check_$name" ;;
	systemd | cron | slurm) in_container "$name" ;;
	*) echo "check.sh: no check is called $name" >&2; exit 2 ;;
	esac
done
