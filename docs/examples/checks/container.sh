# shellcheck shell=bash disable=SC2016,SC2154
# (what is in single quotes is expanded in the container; $work and $repo are check.sh's)
# A small Debian with systemd, cron and Slurm, in which the examples run as they would on a
# machine: nothing of this machine's is touched. Sourced by check.sh.

readonly suite=bookworm packages=systemd,systemd-sysv,dbus,cron,munge,slurmctld,slurmd,slurm-client,procps,iproute2
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
	local library
	library=$(readlink -f "$("$repo/engine/ort/fetch.sh" cpu)")
	if [ ! -d "$root" ]; then
		rm -rf --one-file-system "$root.new" # of a start that was stopped
		mmdebstrap --quiet --variant=minbase --include=$packages $suite "$root.new" \
			"${DEBIAN_SOURCES:-/etc/apt/sources.list.d/debian.sources}"
		mv "$root.new" "$root"
	fi
	# On a machine with cgroup v1, a group of its own for memory, so that MemoryMax= works.
	cgroup=
	if [ -d /sys/fs/cgroup/memory ]; then
		cgroup=/sys/fs/cgroup/memory/millrace-examples-$$
		mkdir -p $cgroup
	fi
	(
		[ -z "$cgroup" ] || echo $BASHPID >$cgroup/cgroup.procs
		exec setsid systemd-nspawn --quiet --directory="$root" --volatile=overlay --register=no --keep-unit \
			--private-network --bind-ro="$repo:/repo" \
			--bind-ro="$repo/bin/millrace:/usr/local/bin/millrace" \
			--bind-ro="$library:/usr/local/lib/libonnxruntime.so" --boot >"$work/boot.log" 2>&1 </dev/null
	) &
	nspawn=$!
	until_true 60 container_is_up
	if [ -n "$cgroup" ]; then
		inside mount -o remount,bind,rw /sys/fs/cgroup/memory
		inside systemctl daemon-reexec # sees the controller now
	fi
	# The layout of the examples, with the repository's model and flights.
	inside useradd --system millrace
	# An address that is not a loopback's, without which Slurm resolves no name.
	inside ip address add 192.0.2.1/32 dev lo
	inside sh -ec 'hostname examples && echo 192.0.2.1 examples >/etc/hosts
		mkdir -p /srv/millrace/in /srv/millrace/out /var/log/millrace
		chown millrace /srv/millrace/out /var/log/millrace
		ln -s /repo/models/reference/flights_gbdt.onnx /srv/millrace/model.onnx
		for i in 1 2 3 4 5 6 7 8 9 10; do ln -s /repo/testdata/flights-sample.parquet /srv/millrace/in/$i.parquet; done'
}

container_is_up() {
	leader=$(pgrep -P "$nspawn" | head -1)
	inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'
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

# container_report shows what a failure may have come from.
container_report() {
	[ -n "${leader:-}" ] || return 0
	inside journalctl --no-pager -o cat -n 40
	inside sh -c 'tail -n 20 /var/log/millrace/*; ls -laR /srv/millrace/out | head -40'
}

# until_true SECONDS COMMAND... waits until a command succeeds.
until_true() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}
