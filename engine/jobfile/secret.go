package jobfile

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/millrace/millrace/internal/secret"
)

// Secret says where a secret is, and never what: env:NAME for a variable of the
// environment, or file:PATH for a file whose last line end does not count. So it may be
// printed, and kept in a manifest; what Reveal gives may not.
type Secret struct{ reference string }

// Forms of a Secret.
const (
	secretEnv  = "env:"
	secretFile = "file:"
)

// maxSecretBytes bounds the file of a secret.
const maxSecretBytes = 64 << 10

// secretReference matches what a job file may say.
var secretReference = regexp.MustCompile(`^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$`)

// fromNode reads a reference. What is none may be the secret itself, so no message has
// its text or its line.
func (s *Secret) fromNode(d *decoder, n *node, f tags) {
	if n.kind != textNode || !secretReference.MatchString(n.text) {
		d.badSecret(n.at, f.name+" must say where the secret is, env:NAME or file:PATH, and not the secret itself")
		return
	}
	s.reference = n.text
	if path, ok := strings.CutPrefix(n.text, secretFile); ok && d.vars != nil {
		s.reference = secretFile + d.vars.resolve(path)
	}
}

// String gives the reference.
func (s Secret) String() string { return s.reference }

// MarshalText writes the reference.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.reference), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Secret) UnmarshalText(text []byte) error {
	if len(text) > 0 && !secretReference.Match(text) {
		return fmt.Errorf("%w: a secret is env:NAME or file:PATH, and here is neither", ErrJob)
	}
	s.reference = string(text)
	return nil
}

// Reveal gives the secret itself; empty for no reference. Its error wraps ErrJob and
// has the reference alone.
func (s Secret) Reveal() (string, error) {
	if name, ok := strings.CutPrefix(s.reference, secretEnv); ok {
		value, ok := os.LookupEnv(name)
		if !ok || value == "" {
			return "", fmt.Errorf("%w: secret %s: the environment has no such variable, or it is empty", ErrJob, s)
		}
		return value, nil
	}
	path, ok := strings.CutPrefix(s.reference, secretFile)
	if !ok {
		return "", nil
	}
	text, err := readFile(path, maxSecretBytes)
	if err != nil {
		return "", fmt.Errorf("%w: secret %s: %w", ErrJob, s, err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// What may be a secret in a line that is shown: the password of a URL, and what stands
// after a key that says so.
var (
	urlPassword = regexp.MustCompile(`://[^/@\s"']*@`)
	secretKey   = regexp.MustCompile(`(?i)((?:pass|pasw|pwd|secret|token|cred|auth|api_?key|private)[\w-]*["']?\s*:\s*)\S.*`)
)

// masked hides what may be a secret in a line.
func masked(line string) string {
	line = secret.Hide(line)
	return secretKey.ReplaceAllString(urlPassword.ReplaceAllString(line, "://***@"), "${1}***")
}
