package blobstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

func randomBytes(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8(sha256.Sum256([]byte("object")))
	_, _ = r.Read(data)
	return data
}

// Whatever is asked for, fetched ahead or not, in however little memory and by however
// many: the bytes are the object's, and blocks go when nobody wants them.
func TestReadAtGivesTheObjectsBytes(t *testing.T) {
	const size = 5*blockBytes + 12345
	data := randomBytes(size)
	for name, budget := range map[string]int64{"little memory": 1, "enough": 64 << 20} {
		store, bucket := memory(t, Options{BufferBytes: budget, Checks: ChecksAlways})
		if err := bucket.WriteAll(t.Context(), "x", data, nil); err != nil {
			t.Fatal(err)
		}
		opened, err := store.Open(t.Context(), "s3://bucket/x")
		if err != nil {
			t.Fatal(err)
		}
		o := opened.(*object)
		var all sync.WaitGroup
		for reader := range uint64(4) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(1, reader))
				for range 50 {
					off := random.Int64N(size)
					r := format.Range{Offset: off, Length: min(random.Int64N(2*blockBytes), size-off)}
					if random.IntN(2) == 0 {
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
						_ = o.Ahead(ctx, []format.Range{r})
						cancel()
					}
					got := make([]byte, r.Length)
					if n, err := o.ReadAt(t.Context(), got, off); err != nil || int64(n) != r.Length || !bytes.Equal(got, data[off:off+r.Length]) {
						t.Errorf("%s: ReadAt(%d, %d) = %d, %v; bytes are equal: %t", name, off, r.Length, n, err, bytes.Equal(got, data[off:off+r.Length]))
					}
					o.Done([]format.Range{r})
				}
			})
		}
		all.Wait()
		if n, err := o.ReadAt(t.Context(), make([]byte, 10), size-3); n != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: ReadAt() at the end = %d, %v; want 3, EOF", name, n, err)
		}
		if err := errors.Join(o.Verify(t.Context()), o.Changed()); err != nil {
			t.Errorf("%s: Verify(), Changed() = %v", name, err)
		}
		path, done, err := o.Local(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: Local() has other bytes (%v)", name, err)
		}
		if err := errors.Join(done(), o.Close()); err != nil {
			t.Error(err)
		}
		if held := len(store.blocks.held); held > 0 || store.blocks.bytes != 0 {
			t.Errorf("%s: %d blocks are held after Close", name, held)
		}
		if _, err := o.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, errClosed) {
			t.Errorf("%s: ReadAt() after Close = %v", name, err)
		}
	}
}

// ETags of uploads in parts are those that S3 documents: the MD5 of the parts' MD5s.
func TestDigestByETag(t *testing.T) {
	data := randomBytes(25_000)
	for _, c := range []struct {
		name  string
		part  int64
		write []int
	}{
		{"one part", 0, []int{25_000}},
		{"parts, written at their edges", 10_000, []int{10_000, 10_000, 5_000}},
		{"parts, written across them", 10_000, []int{3, 24_000, 997}},
		{"parts that end with the object", 5_000, []int{12_345, 12_655}},
	} {
		want := etagOf(data, c.part)
		d := &digest{want: want, part: c.part, left: c.part, sum: newMD5()}
		rest := data
		for _, n := range c.write {
			d.write(rest[:n])
			rest = rest[n:]
		}
		if !d.fits() {
			t.Errorf("%s: fits() = false", c.name)
		}
		other := &digest{want: want, part: c.part, left: c.part, sum: newMD5()}
		other.write(append([]byte{data[0] ^ 1}, data[1:]...))
		if other.fits() {
			t.Errorf("%s: fits() of other bytes = true", c.name)
		}
	}
}

func TestReadAllBounds(t *testing.T) {
	store, bucket := memory(t, Options{})
	if err := bucket.WriteAll(t.Context(), "m.onnx", randomBytes(1000), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := store.ReadAll(t.Context(), "s3://bucket/m.onnx", 1000); err != nil || !bytes.Equal(got, randomBytes(1000)) {
		t.Errorf("ReadAll() = %d bytes, %v", len(got), err)
	}
	if _, err := store.ReadAll(t.Context(), "s3://bucket/m.onnx", 999); !errors.Is(err, ErrTooLarge) {
		t.Errorf("ReadAll() of too much = %v; want ErrTooLarge", err)
	}
	if _, err := store.ReadAll(t.Context(), "s3://bucket/none", 999); !errors.Is(err, dataset.ErrNoSuchFile) || !strings.Contains(err.Error(), "s3://bucket/none") {
		t.Errorf("ReadAll() of nothing = %v; want ErrNoSuchFile that names it", err)
	}
}
