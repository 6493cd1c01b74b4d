# shellcheck shell=bash disable=SC2016,SC2154
# (what is in single quotes is expanded in the container; $work and $repo are check.sh's)
# Runs millrace.timer and millrace.service under systemd as PID 1. Sourced by check.sh.

readonly out=/srv/millrace/out/scores

check_systemd() {
	local want reads
	inside systemctl --version | head -1
	inside cp /repo/docs/examples/millrace.{service,timer} /etc/systemd/system/
	inside systemd-analyze verify millrace.service millrace.timer
	passed "systemd-analyze verify"
	inside systemd-analyze --no-pager security millrace.service | tail -1
	# Slow enough to be hit, ten parts, and no minute between restarts; the rest is as shipped.
	drop_in service '[Service]\nRestartSec=1\nEnvironment=MILLRACE_KERNELS=onnxruntime MILLRACE_WORKERS=1 MILLRACE_PART_ROWS=50000'
	drop_in timer '[Timer]\nOnBootSec=1s'

	inside systemctl start millrace.timer
	until_true 60 inside test -e $out/_SUCCESS
	passed "the timer starts the service, and it publishes: $(inside ls $out | grep -c ^part-) files"
	want=$(digests)
	inside systemctl stop millrace.timer

	inside systemctl start millrace.service
	journal_has 'published  *already'
	passed "a start after that has nothing to do: exit 0"

	again
	inside kill -9 "$(main_pid)"
	until_true 90 inside test -e $out/_SUCCESS
	until_true 10 state_is inactive
	journal_has 'status=9/KILL'
	journal_has 'Scheduled restart job, restart counter is at 1'
	journal_has 'continu'
	[ "$(digests)" = "$want" ]
	passed "kill -9: restarted and continued, the same bytes"

	again
	inside kill -TERM "$(main_pid)"
	until_true 90 inside test -e $out/_SUCCESS
	until_true 10 state_is inactive
	journal_has 'code=exited, status=75'
	journal_has 'restart counter is at 1'
	[ "$(digests)" = "$want" ]
	passed "SIGTERM from anybody: exit 75, restarted and continued, the same bytes"

	again
	inside systemctl stop millrace.service
	state_is failed
	inside test ! -e $out
	journal_has 'code=exited, status=75'
	sleep 3
	state_is failed
	passed "systemctl stop: exit 75, failed, not restarted, nothing shows"
	inside systemctl start millrace.service
	[ "$(digests)" = "$want" ]
	passed "systemctl start continues it, the same bytes"

	again
	inside systemctl kill --kill-who=main -s STOP millrace.service
	reads=$(inside_code 75 /usr/local/bin/millrace score --model /srv/millrace/model.onnx --input '/srv/millrace/in/*.parquet' \
		--ids id --nulls nan --output $out --if-exists replace)
	grep -q 'held by' <<<"$reads"
	inside systemctl kill --kill-who=main -s CONT millrace.service
	until_true 90 state_is inactive
	passed "a second run meanwhile: exit 75, held by"

	again_with '[Service]\nEnvironment=MILLRACE_MAX_BAD_ROWS=bad'
	until_true 10 state_is failed
	journal_has 'code=exited, status=2'
	sleep 3
	state_is failed
	journal_has_not 'Scheduled restart'
	passed "exit 2 is not tried again"

	again_with '[Service]\nMemoryMax=32M'
	until_true 30 journal_has 'restart counter is at 2'
	journal_has 'code=exited, status=7'
	inside systemctl stop millrace.service
	passed "MemoryMax=32M: the plan finds it too small, exit 7, tried again"
}

# drop_in UNIT TEXT... overrides a few settings of a unit.
drop_in() {
	inside mkdir -p "/etc/systemd/system/millrace.$1.d"
	printf '%b\n' "$2" | inside tee "/etc/systemd/system/millrace.$1.d/${3:-check}.conf" >/dev/null
	inside systemctl daemon-reload
}

# again starts a run over and waits until it has finished three parts.
again() {
	fresh
	inside systemctl start --no-block millrace.service
	until_true 60 parts_finished 3
}

# again_with starts one with more settings.
again_with() {
	fresh
	drop_in service "$1" more
	inside systemctl start --no-block millrace.service
}

fresh() {
	inside sh -c 'rm -rf /srv/millrace/out/* /srv/millrace/out/.scores*; rm -f /etc/systemd/system/millrace.service.d/more.conf'
	inside systemctl daemon-reload
	inside systemctl reset-failed millrace.service 2>/dev/null || true
	since=$(inside date '+%Y-%m-%d %H:%M:%S')
	sleep 1
}

parts_finished() { inside sh -c "[ \$(find /srv/millrace/out -name 'part-*.parquet' | wc -l) -ge $1 ]"; }
main_pid() { inside systemctl show --value -p MainPID millrace.service; }
state_is() { [ "$(inside systemctl show --value -p ActiveState millrace.service)" = "$1" ]; }
digests() { inside sh -c "cd $out && sha256sum part-*"; }
journal() { inside journalctl --no-pager -o cat -u millrace.service ${since:+--since "$since"}; }
journal_has() { grep -qE "$1" <<<"$(journal)"; }
journal_has_not() { ! journal_has "$1"; }

# inside_code CODE COMMAND... prints what a command says that must exit with CODE.
inside_code() {
	local want=$1 got=0
	shift
	inside "$@" 2>&1 || got=$?
	[ "$got" -eq "$want" ]
}
