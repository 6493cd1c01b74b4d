package ledger

import (
	"errors"
	"os"
	"os/user"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestSchedulerNames(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		want        []string
	}{
		{"no scheduler", map[string]string{"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "s3cret"}, nil},
		{
			"Slurm, an array's task",
			map[string]string{"SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "4711", "SLURM_ARRAY_JOB_ID": "4708", "SLURM_JWT": "s3cret"},
			[]string{"SLURM_JOB_ID=4711", "SLURM_ARRAY_JOB_ID=4708", "SLURM_ARRAY_TASK_ID=3"},
		},
		{
			"Airflow",
			map[string]string{"AIRFLOW_CTX_DAG_ID": "nightly", "AIRFLOW_CTX_TASK_ID": "score", "AIRFLOW_CTX_DAG_RUN_ID": "scheduled__2026-11-27T00:00:00+00:00", "AIRFLOW_CONN_DB": "postgres://u:s3cret@h"},
			[]string{"AIRFLOW_CTX_DAG_ID=nightly", "AIRFLOW_CTX_TASK_ID=score", "AIRFLOW_CTX_DAG_RUN_ID=scheduled__2026-11-27T00:00:00+00:00"},
		},
		{
			"Kubernetes",
			map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "score-28-x7", "JOB_COMPLETION_INDEX": "2"},
			[]string{"HOSTNAME=score-28-x7", "JOB_COMPLETION_INDEX=2"},
		},
		{"a shell's HOSTNAME is no pod", map[string]string{"HOSTNAME": "desk"}, nil},
		{"Grid Engine", map[string]string{"JOB_ID": "9", "SGE_TASK_ID": "undefined"}, []string{"JOB_ID=9", "SGE_TASK_ID=undefined"}},
		{"somebody else's JOB_ID", map[string]string{"JOB_ID": "s3cret"}, nil},
		{
			"PBS, LSF and AWS Batch",
			map[string]string{"PBS_JOBID": "1.pbs", "LSB_JOBID": "2", "LSB_JOBINDEX": "0", "AWS_BATCH_JOB_ID": "a-b"},
			[]string{"PBS_JOBID=1.pbs", "LSB_JOBID=2", "LSB_JOBINDEX=0", "AWS_BATCH_JOB_ID=a-b"},
		},
		{
			"systemd and the builders",
			map[string]string{"INVOCATION_ID": "0f", "GITHUB_RUN_ID": "5", "CI_JOB_ID": "6", "BUILD_TAG": "jenkins-x-7", "GITHUB_TOKEN": "s3cret"},
			[]string{"GITHUB_RUN_ID=5", "CI_JOB_ID=6", "BUILD_TAG=jenkins-x-7", "INVOCATION_ID=0f"},
		},
		{"set and empty", map[string]string{"SLURM_JOB_ID": ""}, nil},
		{"a value that would move the cursor", map[string]string{"BUILD_TAG": "a\x1b[2Jb\n\xff"}, []string{"BUILD_TAG=a?[2Jb??"}},
	}
	for _, test := range tests {
		got := schedulerNames(func(name string) (string, bool) {
			value, ok := test.environment[name]
			return value, ok
		})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: schedulerNames() (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestUserName(t *testing.T) {
	tests := []struct {
		name string
		user *user.User
		err  error
		want string
	}{
		{"a user with a name", &user.User{Username: "batch"}, nil, "batch"},
		{"a number that nobody knows, as in a container", nil, user.UnknownUserIdError(4711), "4711"},
		{"a directory service that does not answer", nil, errors.New("timeout"), "4711"},
	}
	for _, test := range tests {
		got := userName(4711, func(uid string) (*user.User, error) {
			if uid != "4711" {
				t.Errorf("%s: asked for user %q", test.name, uid)
			}
			return test.user, test.err
		})
		if got != test.want {
			t.Errorf("%s: userName(4711) = %q; want %q", test.name, got, test.want)
		}
	}
}

func TestPrintableIsBounded(t *testing.T) {
	for _, text := range []string{strings.Repeat("a", 300), strings.Repeat("é", 200), strings.Repeat("界", 90)} {
		got := printable(text)
		if len(got) > maxStarterBytes || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("printable(%d bytes) has %d bytes: %q", len(text), len(got), got)
		}
	}
	if whole := strings.Repeat("a", maxStarterBytes); printable(whole) != whole {
		t.Errorf("printable() changes a text of %d bytes", maxStarterBytes)
	}
}

func TestStarterFromEnvironment(t *testing.T) {
	t.Setenv("SLURM_JOB_ID", "4711")
	t.Setenv("USER", "somebody else")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	got := StarterFromEnvironment()
	if got.Host != printable(host) || got.Starts != 1 || got.User == "" || got.User == "somebody else" {
		t.Errorf("StarterFromEnvironment() = %+v; want host %q, one start and the process's user", got, host)
	}
	if len(got.Scheduler) == 0 || got.Scheduler[0] != "SLURM_JOB_ID=4711" {
		t.Errorf("StarterFromEnvironment().Scheduler = %q; want the job of Slurm first", got.Scheduler)
	}
}
