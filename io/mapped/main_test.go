package mapped

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// crashEnv makes the test binary run one of crashes instead of the tests.
const crashEnv = "MILLRACE_MAPPED_CRASH"

func TestMain(m *testing.M) {
	if name := os.Getenv(crashEnv); name != "" {
		crashes[name](os.Args[len(os.Args)-1])
		fmt.Fprintln(os.Stderr, "survived") // a crash that did not happen
		return
	}
	goleak.VerifyTestMain(&checked{m})
}

// checked fails a run that leaves a mapping behind.
type checked struct{ m *testing.M }

func (c *checked) Run() int {
	code := c.m.Run()
	if live := Live(); len(live) > 0 {
		fmt.Fprintf(os.Stderr, "live mappings:\n%s\n", strings.Join(live, "\n"))
		return 1
	}
	return code
}
