# shellcheck shell=bash disable=SC2016,SC2154
# (what is in single quotes is expanded in the container; $work and $repo are check.sh's)
# Runs slurm.sbatch on a Slurm of one node. Sourced by check.sh after container_boot.

check_slurm() {
	local job want
	slurm_start
	inside sbatch --version
	inside sbatch --test-only /repo/docs/examples/slurm.sbatch x 2>&1
	passed "sbatch --test-only takes the script"

	job=$(submit whole)
	until_true 60 slurm_state "$job" COMPLETED
	want=$(slurm_digests whole)
	passed "sbatch runs it: COMPLETED, $(wc -l <<<"$want") files"

	job=$(submit killed)
	until_true 60 slurm_parts killed 3
	inside kill -9 "$(inside pgrep -x millrace)"
	slurm_requeued "$job" killed "$want"
	passed "kill -9: exit 137, requeued, continued, the same bytes"

	job=$(submit limit)
	until_true 60 slurm_parts limit 3
	inside scancel --batch --signal=USR1 "$job" # what --signal sends before the time is up
	slurm_requeued "$job" limit "$want"
	passed "SIGUSR1, as before the time limit: exit 75, requeued, continued, the same bytes"

	job=$(submit cancelled)
	until_true 60 slurm_parts cancelled 3
	inside scancel "$job"
	until_true 60 slurm_state "$job" CANCELLED
	sleep 3
	slurm_state "$job" CANCELLED
	inside test ! -e /srv/millrace/out/cancelled
	slurm_log "$job" 'interrupted by SIGTERM'
	passed "scancel: stopped in order, not requeued, nothing shows"

	job=$(submit whole --export=ALL,MILLRACE_MAX_BAD_ROWS=bad)
	until_true 60 slurm_state "$job" FAILED
	slurm_info "$job" ExitCode=2:0
	passed "exit 2: FAILED, not requeued"
}

# slurm_start makes a cluster of this one node.
slurm_start() {
	inside tee /etc/slurm/slurm.conf >/dev/null <<-CONF
		ClusterName=examples
		SlurmctldHost=examples
		SlurmUser=slurm
		StateSaveLocation=/var/lib/slurm/slurmctld
		SlurmdSpoolDir=/var/lib/slurm/slurmd
		SlurmctldPidFile=/run/slurmctld.pid
		SlurmdPidFile=/run/slurmd.pid
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SelectType=select/cons_tres
		SchedulerParameters=sched_interval=2
		SlurmdParameters=config_overrides
		NodeName=examples CPUs=4 RealMemory=4096 State=UNKNOWN
		PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
	CONF
	inside sh -ec 'install -d -o slurm /var/lib/slurm/slurmctld /var/lib/slurm/slurmd
		install -d -o millrace /home/millrace
		systemctl restart munge slurmctld slurmd'
	until_true 60 inside sh -c 'sinfo -h -o %T | grep -q idle'
}

# submit OUTPUT [FLAGS...] prints the job's number. Slow enough to be hit, ten parts.
submit() {
	local name=$1
	shift
	inside setpriv --reuid=millrace --regid=millrace --clear-groups env -C /var/log/millrace HOME=/home/millrace \
		MILLRACE_KERNELS=onnxruntime MILLRACE_WORKERS=1 MILLRACE_PART_ROWS=50000 \
		sbatch --parsable "$@" /repo/docs/examples/slurm.sbatch "$name"
}

# slurm_requeued JOB OUTPUT DIGESTS waits until a job was started again and has published.
slurm_requeued() {
	until_true 60 slurm_state "$1" PENDING
	slurm_info "$1" Restarts=1
	inside scontrol update "JobId=$1" StartTime=now # instead of two minutes later
	until_true 180 slurm_state "$1" COMPLETED
	slurm_log "$1" continu
	[ "$(slurm_digests "$2")" = "$3" ]
}

slurm_info() { inside scontrol show job "$1" | grep -qE "$2"; }
slurm_state() { slurm_info "$1" "JobState=$2"; }
slurm_log() { inside grep -qE "$2" "/var/log/millrace/millrace-$1.log"; }
slurm_parts() { inside sh -c "[ \$(find /srv/millrace/out/.$1.millrace-* -name 'part-*.parquet' | wc -l) -ge $2 ]"; }
slurm_digests() { inside sh -c "cd /srv/millrace/out/$1 && sha256sum part-*"; }
