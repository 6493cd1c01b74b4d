# shellcheck shell=bash
# A small Debian with systemd, cron and Slurm, in which the examples run as they would on a
# machine: nothing of this machine's is touched. Sourced by check.sh.

readonly suite=bookworm packages=systemd,systemd-sysv,dbus,cron,munge,slurmctld,slurmd,slurm-client,procps
readonly root=$work/$suite

# container_missing prints why no container can run here, or nothing.
container_missing() {
	local tool
	[ "$(id -u)" -eq 0 ] || { echo "not root"; return; }
	for tool in mmdebstrap systemd-nspawn nsenter; do
		command -v $tool >/dev/null || { echo "no $tool (Debian: apt-get install mmdebstrap systemd-container)"; return; }
	done
}

# container_boot starts the container. What it writes goes to memory and is dropped at its end.
container_boot() {
	if [ ! -d "$root" ]; then
		mmdebstrap --quiet --variant=minbase --include=$packages $suite "$root.new" \
			"${DEBIAN_SOURCES:-/etc/apt/sources.list.d/debian.sources}"
		mv "$root.new" "$root"
	fi
	# On a machine with cgroup v1, a group of its own for memory, so that MemoryMax= works.
	cgroup=
	if [ -d /sys/fs/cgroup/memory ]; then
		cgroup=/sys/fs/cgroup/memory/millrace-examples
		mkdir -p $cgroup
	fi
	(
		[ -z "$cgroup" ] || echo $BASHPID >$cgroup/cgroup.procs
		exec setsid systemd-nspawn --quiet --directory="$root" --volatile=overlay --register=no --keep-unit \
			--private-network --hostname=examples --bind-ro="$repo:/repo" \
			--bind-ro="$repo/bin/millrace:/usr/local/bin/millrace" \
			--bind-ro="$library:/usr/local/lib/libonnxruntime.so" --boot >"$work/boot.log" 2>&1 </dev/null
	) &
	nspawn=$!
	local i
	for ((i = 0; i < 100; i++)); do
		sleep 0.2
		leader=$(pgrep -P $nspawn | head -1) || continue
		inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded' && break
	done
	if [ -n "$cgroup" ]; then
		inside mount -o remount,bind,rw /sys/fs/cgroup/memory
		inside systemctl daemon-reexec # sees the controller now
	fi
	# The layout of the examples, with the repository's model and flights.
	inside useradd --system millrace
	inside sh -ec 'mkdir -p /srv/millrace/in /srv/millrace/out /var/log/millrace
		chown millrace /srv/millrace/out /var/log/millrace
		ln -s /repo/models/reference/flights_gbdt.onnx /srv/millrace/model.onnx
		for i in 1 2 3 4 5 6 7 8 9 10; do ln -s /repo/testdata/flights-sample.parquet /srv/millrace/in/$i.parquet; done'
}

# inside COMMAND... runs a command in the container.
inside() { nsenter -t "$leader" -a -- "$@"; }

# container_stop ends it: SIGRTMIN+4 is systemd's power off.
container_stop() {
	[ -n "${leader:-}" ] || return 0
	kill -RTMIN+4 "$leader" 2>/dev/null || true
	wait "$nspawn" 2>/dev/null || true
	leader=
	[ -z "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

# until_true SECONDS COMMAND... waits until a command succeeds.
until_true() {
	local i seconds=$1
	shift
	for ((i = 0; i < seconds * 5; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.2
	done
	return 1
}
