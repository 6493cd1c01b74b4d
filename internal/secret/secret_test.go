package secret

import (
	"errors"
	"strings"
	"testing"
)

func TestIn(t *testing.T) {
	for _, c := range []struct {
		says, place string
		refused     bool
	}{
		{"libpq's keywords", "host=db port=5432 user=me password=hunter2 dbname=x", true},
		{"in capitals, with blanks and quotes", "HOST = db PASSWORD = 'hunter2'", true},
		{"a password alone", "password=hunter2", true},
		{"without a password, which would become a folder of this name", "host=db dbname=x", true},
		{"Azure's connection string", "AccountName=a;AccountKey=hunter2;EndpointSuffix=core.windows.net", true},
		{"a key of Azure alone", "AccountKey=hunter2", true},
		{"a presigned URL", "s3://bucket/k.parquet?X-Amz-Expires=60&X-Amz-Signature=hunter2", true},
		{"a shared access signature", "az://c/k.parquet?sv=2022&sig=hunter2", true},
		{"a password before the host", "s3://AKIA:hunter2@bucket/k.parquet", true},
		{"one slash too few", "s3:/AKIA:hunter2@bucket/k.parquet", true},
		{"no slashes", "postgres:me:hunter2@db/x", true},
		{"a key of a file of DuckDB", "duckdb:x.db?key=hunter2&table=t", true},
		{"a driver's URL", "jdbc:postgresql://db/x?user=me&password=hunter2", true},
		{"a path", "data/2026/flights.parquet", false},
		{"folders of partitions, whatever they are called", "data/host=web1/token=5/*.parquet", false},
		{"a partition to begin with", "host=web1/part.parquet", false},
		{"a pattern", "s3://lake/day=2026-11-2?/[ab]*.parquet", false},
		{"an @ and colons in a key", "s3://lake/10:30@noon/a.parquet", false},
		{"blanks and equals signs in a path", "my data/a = b.parquet", false},
		{"a word that only begins like one", "s3://lake/a?sigma=1", false},
	} {
		err := In(c.place)
		if (err != nil) != c.refused || err != nil && (!errors.Is(err, ErrGiven) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: In(%q) = %v; want an error: %t", c.says, c.place, err, c.refused)
		}
	}
}

func TestHide(t *testing.T) {
	for _, c := range []struct{ says, text, want string }{
		{"a URL in quotes", `output: "postgres://me:hunter2@db/x?table=t"`, `output: "postgres://me:***@db/x?table=t"`},
		{"a password with an @", "postgres://me:hun@ter2@db/x", "postgres://me:***@db/x"},
		{"one slash too few", "s3:/AKIA:hunter2@bucket/k", "s3:/AKIA:***@bucket/k"},
		{"parameters", "az://c/k?sv=2022&sig=hunter2&se=1", "az://c/k?sv=2022&sig=***&se=1"},
		{"settings of a session", "input: postgres://db/x?options=-c%20x.jwt=hunter2&table=t", "input: postgres://db/x?options=***&table=t"},
		{"keywords", "host=db password = 'hunter 2' user=me", "host=db password = *** user=me"},
		{"a quote that is not closed", "password='hunter2", "password=***"},
		{"connection strings", "AccountName=a;AccountKey=hunter2==;E=1", "AccountName=a;AccountKey=***;E=1"},
		{"nothing secret", "job.yaml:2:13: batch_size is \"s3://b/k\" @ 5", "job.yaml:2:13: batch_size is \"s3://b/k\" @ 5"},
	} {
		if got := Hide(c.text); got != c.want {
			t.Errorf("%s: Hide(%q) = %q; want %q", c.says, c.text, got, c.want)
		}
	}
}

func TestHidePasswords(t *testing.T) {
	for text, want := range map[string]string{
		`no column "postgres://me:hunter2@db/x"`:      `no column "postgres://me:***@db/x"`,
		`1:1: token == "x" && day=2026-11-22/token=5`: `1:1: token == "x" && day=2026-11-22/token=5`,
	} {
		if got := HidePasswords(text); got != want {
			t.Errorf("HidePasswords(%q) = %q; want %q", text, got, want)
		}
	}
}
