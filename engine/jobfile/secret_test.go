package jobfile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const sentinel = "sentinel-4711"

// withSecret is a part of a job file that has one.
type withSecret struct {
	Password Secret `json:"password" doc:"a password"`
}

func decodeSecret(t *testing.T, dir, text string) (withSecret, error) {
	t.Helper()
	s := newSource(filepath.Join(dir, "job.yaml"), []byte(text))
	root := parseYAML(s, []byte(text))
	if root == nil {
		t.Fatalf("%q: %v", text, problemsOf("job.yaml", s))
	}
	d := &decoder{source: s, origins: newOrigins(), vars: &variables{dir: dir}}
	var into withSecret
	d.value(root, reflect.ValueOf(&into).Elem(), tags{name: "it"})
	return into, problemsOf("job.yaml", s)
}

func TestSecretIsAReference(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MY_PASSWORD", sentinel)
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(sentinel+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, reference := range map[string]string{
		"password: env:MY_PASSWORD":                        "env:MY_PASSWORD",
		"password: file:password":                          "file:" + filepath.Join(dir, "password"),
		"password: file:" + filepath.Join(dir, "password"): "file:" + filepath.Join(dir, "password"),
	} {
		got, err := decodeSecret(t, dir, text)
		if err != nil || got.Password.String() != reference {
			t.Errorf("%q = %v, %v; want %s", text, got, err, reference)
			continue
		}
		if value, err := got.Password.Reveal(); err != nil || value != sentinel {
			t.Errorf("%q reveals %q, %v", text, value, err)
		}
		written, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range []string{fmt.Sprint(got), fmt.Sprintf("%+v %#v %q", got, got, got.Password), string(written)} {
			if strings.Contains(shown, sentinel) {
				t.Errorf("%q is shown as %s", text, shown)
			}
		}
		var again withSecret
		if err := json.Unmarshal(written, &again); err != nil || again != got {
			t.Errorf("%s came back as %v (%v)", written, again, err)
		}
	}
}

func TestSecretRefuses(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"password: " + sentinel:                 "password must say where the secret is",
		"password: '4711'":                      "password must say where the secret is",
		"password: env:" + sentinel:             "password must say where the secret is",
		"password: [" + sentinel + "]":          "password must say where the secret is",
		"passwort: " + sentinel:                 `unknown key "passwort"`,
		"tokens: {api-token: " + sentinel + "}": `unknown key "tokens"`,
		"url: https://me:" + sentinel + "@host": `unknown key "url"`,
	} {
		got, err := decodeSecret(t, dir, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q = %v, %v; want %q", text, got, err, want)
		} else if strings.Contains(err.Error(), sentinel) {
			t.Errorf("%q: the message has the secret: %v", text, err)
		}
	}
	for _, gone := range []Secret{{"env:NO_SUCH_VARIABLE"}, {"file:" + filepath.Join(dir, "gone")}} {
		if value, err := gone.Reveal(); err == nil || !strings.Contains(err.Error(), gone.String()) {
			t.Errorf("%s reveals %q, %v; want an error that names it", gone, value, err)
		}
	}
	var s Secret
	if err := s.UnmarshalText([]byte(sentinel)); err == nil || strings.Contains(err.Error(), sentinel) {
		t.Errorf("UnmarshalText of a bare secret: %v; want an error without it", err)
	}
}
