package engine_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/mapped"
)

// TestMain fails when the tests leave a mapping, a value of ONNX Runtime's or a
// goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	var left []error
	for _, file := range mapped.Live() {
		left = append(left, fmt.Errorf("still mapped: %s", file))
	}
	if live := ort.Live(); !live.IsZero() {
		left = append(left, fmt.Errorf("left open: %s", live))
		for _, stack := range ort.LiveStacks() {
			left = append(left, errors.New(stack))
		}
	}
	if err := goleak.Find(); err != nil {
		left = append(left, err)
	}
	if len(left) > 0 {
		fmt.Fprintln(os.Stderr, errors.Join(left...))
		code = max(code, 1)
	}
	os.Exit(code) //nolint:forbidigo // TestMain has to
}
