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
