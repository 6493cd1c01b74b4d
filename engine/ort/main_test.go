package ort_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// TestMain fails when a test leaves a session, tensor or pin open.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := ort.Live(); !left.IsZero() {
		fmt.Fprintln(os.Stderr, "left open:", left)
		for _, stack := range ort.LiveStacks() {
			fmt.Fprintln(os.Stderr, stack)
		}
		code = max(code, 1)
	}
	os.Exit(code) //nolint:forbidigo // TestMain has to
}

func openModel(tb testing.TB, p *pb.ModelProto) *models.Model {
	tb.Helper()
	m, err := models.Open(onnxtest.Write(tb, p), models.Options{})
	if err != nil {
		tb.Fatalf("open model: %v", err)
	}
	return m
}

func newSession(tb testing.TB, p *pb.ModelProto, opts ort.SessionOptions) *ort.Session {
	tb.Helper()
	lib := orttest.Library(tb)
	s, err := ort.NewSession(lib, openModel(tb, p), opts)
	if err != nil {
		tb.Fatalf("NewSession: %+v", err)
	}
	tb.Cleanup(func() { closeAll(tb, s) })
	return s
}

type closer interface{ Close() error }

func closeAll[C closer](tb testing.TB, all ...C) {
	tb.Helper()
	for _, c := range all {
		if err := c.Close(); err != nil {
			tb.Errorf("Close() = %v", err)
		}
	}
}

func tensor[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64 | bool](
	tb testing.TB, elem models.ElementType, shape []int64, data []T,
) *ort.Tensor {
	tb.Helper()
	t, err := ort.Of(elem, shape, data)
	if err != nil {
		tb.Fatalf("Of(%v, %v): %v", elem, shape, err)
	}
	return t
}
