package ledger

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// schedulerVariable is an environment variable in which a scheduler tells a job
// what it is called. only, where it is set, names another variable without which
// the first means something else.
type schedulerVariable struct{ name, only string }

// schedulerVariables are all variables whose values go into a manifest, in this
// order. They are identifiers by the schedulers' own documentation; no other
// variable is looked at, since an environment holds secrets.
var schedulerVariables = []schedulerVariable{
	{name: "SLURM_JOB_ID"},
	{name: "SLURM_ARRAY_JOB_ID"},
	{name: "SLURM_ARRAY_TASK_ID"},
	{name: "SLURM_RESTART_COUNT"},
	{name: "AIRFLOW_CTX_DAG_ID"},
	{name: "AIRFLOW_CTX_TASK_ID"},
	{name: "AIRFLOW_CTX_DAG_RUN_ID"},
	{name: "AIRFLOW_CTX_TRY_NUMBER"},
	// Kubernetes gives every container the address of its API, and calls the
	// host by the pod's name; the first two are how manifests pass a pod's names on.
	{name: "POD_NAMESPACE", only: "KUBERNETES_SERVICE_HOST"},
	{name: "POD_NAME", only: "KUBERNETES_SERVICE_HOST"},
	{name: "HOSTNAME", only: "KUBERNETES_SERVICE_HOST"},
	{name: "JOB_COMPLETION_INDEX", only: "KUBERNETES_SERVICE_HOST"},
	{name: "PBS_JOBID"},
	{name: "PBS_ARRAY_INDEX"},
	{name: "LSB_JOBID"},
	{name: "LSB_JOBINDEX", only: "LSB_JOBID"},
	// Grid Engine's names are so plain that others use them.
	{name: "JOB_ID", only: "SGE_TASK_ID"},
	{name: "SGE_TASK_ID"},
	{name: "AWS_BATCH_JOB_ID"},
	{name: "AWS_BATCH_JOB_ATTEMPT"},
	{name: "AWS_BATCH_JOB_ARRAY_INDEX"},
	{name: "GITHUB_RUN_ID"},
	{name: "GITHUB_RUN_ATTEMPT"}, // GitHub Actions
	{name: "CI_JOB_ID"},          // GitLab
	{name: "BUILD_TAG"},          // Jenkins
	{name: "INVOCATION_ID"},      // systemd.exec(5)
}

// maxStarterBytes bounds each text of a Starter.
const maxStarterBytes = 256

// StarterFromEnvironment says who starts this run: the process's user, not the
// one that $USER claims, this host, and a scheduler's names for the job. Values
// are cut to 256 bytes and made printable. Starts is 1.
func StarterFromEnvironment() Starter {
	s := Starter{User: userName(os.Getuid(), user.LookupId), Scheduler: schedulerNames(os.LookupEnv), Starts: 1}
	if host, err := os.Hostname(); err == nil {
		s.Host = printable(host)
	}
	return s
}

// userName is a user's name, or the number where the system knows no name for
// it, as in many containers.
func userName(uid int, lookup func(uid string) (*user.User, error)) string {
	number := strconv.Itoa(uid)
	if u, err := lookup(number); err == nil && u.Username != "" {
		return printable(u.Username)
	}
	return number
}

// schedulerNames are the scheduler's variables that are set, as NAME=VALUE.
func schedulerNames(lookup func(name string) (string, bool)) []string {
	var names []string
	for _, v := range schedulerVariables {
		if v.only != "" {
			if other, ok := lookup(v.only); !ok || other == "" {
				continue
			}
		}
		if value, ok := lookup(v.name); ok && value != "" {
			names = append(names, v.name+"="+printable(value))
		}
	}
	return names
}

// visible puts "?" for what could disturb a terminal.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// printable cuts a text and makes it visible.
func printable(text string) string {
	const more = "…"
	text = visible(text)
	if len(text) <= maxStarterBytes {
		return text
	}
	end := maxStarterBytes - len(more)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}
