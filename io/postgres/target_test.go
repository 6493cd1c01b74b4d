package postgres

import (
	"errors"
	"strings"
	"testing"
)

// TestServer: what is left of a URI for the driver is what libpq would read.
func TestServer(t *testing.T) {
	tests := []struct{ why, uri, setting, want string }{
		{"blanks in options", "postgres://h/d?table=t&options=-c%20x.token%3Dhunter2", "options", "-c x.token=hunter2"},
		{"a plus is no blank", "postgres://h/d?table=t&application_name=a+b", "application_name", "a+b"},
		{"nor is one that is escaped", "postgres://h/d?table=t&application_name=a%2Bb%20c", "application_name", "a+b c"},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			target, err := ParseTarget(test.uri)
			if err != nil {
				t.Fatal(err)
			}
			if got := target.config.RuntimeParams[test.setting]; got != test.want {
				t.Errorf("%s is %q; want %q", test.setting, got, test.want)
			}
			if strings.Contains(target.String(), "hunter2") {
				t.Errorf("%s is shown with a setting that may be a secret", target)
			}
		})
	}
}

// TestShownURI: a URI that is shown leads to the same table.
func TestShownURI(t *testing.T) {
	for _, uri := range []string{
		"postgres://me@h/d?table=public.t",
		"postgres://h/d?table=my%20table&run_column=a%2Bb",
		`postgres://h/d?table=%22a%2Bb%20c%22.%22d/e%26f%23%3F%25%22`,
		"postgres://h/d?table=a+b",
	} {
		target, err := ParseTarget(uri)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseTarget(target.String())
		if err != nil || again.Name() != target.Name() || again.RunColumn != target.RunColumn {
			t.Errorf("%s is shown as %s, which is %s, %v; want %s", uri, target, again.Name(), err, target.Name())
		}
	}
	for table, want := range map[string]string{"pg_scores": "millrace_pg_scores", "scores": "scores_millrace"} {
		if target, err := ParseTarget("postgres://h/d?table=" + table); err != nil || target.Ledger != want {
			t.Errorf("the ledger of %s is %s, %v; want %s", table, target.Ledger, err, want)
		}
	}
}

// TestNoURIInErrors: the driver's errors have the whole connection string in them.
func TestNoURIInErrors(t *testing.T) {
	for _, uri := range []string{
		"postgres://h/d?table=t&options=-c%20x.token=hunter2", // libpq takes no second =
		"postgres://me:hunter2@h:port/d?table=t",
		"postgres://h/d?table=t&connect_timeout=never&options=-c%20x.token%3Dhunter2",
		"postgres://h/d?table=t&options=hunter2%zz",
	} {
		if _, err := ParseConfig(uri); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseConfig(%s) = %v", uri, err)
		}
		if _, err := ParseTarget(uri); err != nil && (!errors.Is(err, ErrURI) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("ParseTarget(%s) = %v", uri, err)
		}
	}
}

// A file that a connection needs is named by its parameter, or where it is of the environment.
func TestFilesThatCannotBeRead(t *testing.T) {
	for uri, want := range map[string]string{
		"postgres://h/d?table=t&sslmode=verify-ca&sslrootcert=gone.crt":      "sslrootcert= names a file that cannot be read: no such file",
		"postgres://h/d?table=t&sslmode=require&sslcert=hunter2&sslkey=gone": "sslkey= names a file that cannot be read: no such file",
		"postgres://h/d?table=t&sslmode=require&sslcert=gone&sslkey=hunter2": "sslkey= names a file that cannot be read: no such file",
	} {
		if _, err := ParseTarget(uri); !errors.Is(err, ErrURI) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseTarget(%s) = %v; want %s", uri, err, want)
		}
	}
	t.Setenv("PGSSLROOTCERT", "gone.crt")
	if _, err := ParseTarget("postgres://h/d?table=t&sslmode=verify-full"); err == nil || !strings.Contains(err.Error(), "cannot be read: open gone.crt: no such file") {
		t.Errorf("by PGSSLROOTCERT: %v", err)
	}
}
