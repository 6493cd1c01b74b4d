# shellcheck shell=bash disable=SC2016,SC2154
# (what is in single quotes is expanded in the container; $work and $repo are check.sh's)
# Runs the crontab under Debian's cron. Sourced by check.sh after container_boot.

readonly log=/var/log/millrace/score.log

check_cron() {
	local mails=/var/mail/out
	inside dpkg-query -W -f '${Package} ${Version}\n' cron
	inside crontab -n /repo/docs/examples/crontab
	passed "crontab -n: the syntax"
	# Every minute instead of at night, and a mailer that keeps what it is given.
	inside sh -ec "install -m 1777 -d $mails
		printf '#!/bin/sh\ncat >>$mails/\$\$\n' >/usr/sbin/sendmail && chmod +x /usr/sbin/sendmail
		sed -e 's/^30 2-6 /* * /; s/^0 8 /* * /' /repo/docs/examples/crontab | crontab -u millrace -"
	inside sh -c 'rm -rf /srv/millrace/out/*'

	until_true 90 inside sh -c 'test -e /srv/millrace/out/$(date +%F)/_SUCCESS'
	inside grep -E 'published|scored' $log | head -2
	passed "cron starts the line, and it publishes"
	until_true 90 inside grep -q 'published *already' $log
	passed "the next minute's start has nothing to do"
	inside sh -c 'rm -rf /srv/millrace/out/*
		setpriv --reuid=millrace --regid=millrace --clear-groups flock /srv/millrace/out/.$(date +%F).millrace.lock sleep 70'
	inside grep 'held by' $log | tail -1
	passed "while another process holds the output, it waits for its next turn"
	inside sh -c "! grep -l 'millrace: exit' $mails/* 2>/dev/null"
	passed "none of that is mailed"

	inside sh -c 'rm -rf /srv/millrace/out/*; ln -sfn /nowhere /srv/millrace/model.onnx'
	until_true 90 inside sh -c "grep -h 'millrace: exit 5' $mails/*"
	inside sh -c "grep -h -A5 'millrace: exit 5' $mails/*" | tail -1
	passed "a model that is not there is mailed, with the log's end"
	until_true 90 inside sh -c "grep -h 'millrace: no scores for' $mails/*"
	passed "so is a night without scores"
	inside crontab -u millrace -r
	inside ln -sfn /repo/models/reference/flights_gbdt.onnx /srv/millrace/model.onnx
}
