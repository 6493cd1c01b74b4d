package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// testPrices are of 1.7 and 5 GB/s.
var testPrices = []price{{ledger.SHA256, 0.6}, {ledger.XXH3, 0.2}}

func TestBudgetChooses(t *testing.T) {
	const mb = 1_000_000
	hour := budget{processor: 2 * time.Hour, wall: time.Hour, left: time.Hour}
	tests := []struct {
		name   string
		budget budget
		size   int64
		want   string
		says   string
	}{
		{"3% is enough for sha256", budget{2 * time.Second, time.Second, time.Second}, 100 * mb, "sha256", "sha256 takes 3% of"},
		{"more than the whole run is said in digits", budget{2 * time.Millisecond, time.Millisecond, 0}, 50 * mb, "", "sha256 takes 1500% of the run's processor time, xxh3 500%"},
		{"a little more is not", budget{2 * time.Second, time.Second, time.Second}, 101 * mb, "xxh3", "sha256 takes 3% of the run's processor time, xxh3 1%"},
		{"nor for xxh3", budget{2 * time.Second, time.Second, time.Second}, 301 * mb, "", "xxh3 3%; more than 3%"},
		{"a long run", hour, 300_000 * mb, "sha256", "2.5%"},
		{"many cores: little processor time and less of the clock", budget{100 * time.Second, time.Second, time.Second}, 1000 * mb, "xxh3", "0.2%"},
		{"the run is over, and 3% of the clock is less", budget{2 * time.Second, time.Second, 0}, 100 * mb, "xxh3", "xxh3 1%"},
		{"the run is over, and 3% of the clock is enough", budget{2 * time.Second, time.Second, 0}, 50 * mb, "sha256", "1.5%"},
		{"nothing is known", budget{}, 10 * mb, "", "more than 3%"},
	}
	for _, test := range tests {
		got, why := test.budget.choose(testPrices, test.size)
		if got != test.want || !strings.Contains(why, test.says) {
			t.Errorf("%s: choose() = %q, %q; want %q that says %q", test.name, got, why, test.want, test.says)
		}
	}
}

// testDigests are those of one file of a size, for a run of so many rows.
func testDigests(t *testing.T, size int64, rows int64) *digests {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return &digests{
		mode: DigestAuto, rows: rows, size: size, progress: &Progress{TotalRows: rows},
		files:  []digestFile{{FileInfo: dataset.FileInfo{Path: path, Size: size, ModTime: info.ModTime()}}},
		open:   func(context.Context, int) (io.ReadCloser, error) { return os.Open(path) },
		listed: []int{0}, record: func(ledger.DigestRecord) error { return nil },
		ended: make(chan struct{}), done: make(chan struct{}),
	}
}

// TestAutoWaitsForTheRate has a run score rows while a fake clock goes: on two
// threads, so many nanoseconds of processor time a row.
func TestAutoWaitsForTheRate(t *testing.T) {
	tests := []struct {
		name   string
		perRow time.Duration
		ends   time.Duration // of the clock; the run is over then
		want   string
		after  time.Duration // when the choice is made
	}{
		{"a slow model", time.Microsecond, time.Hour, ledger.SHA256, 125 * time.Millisecond},
		{"a fast one", 300 * time.Nanosecond, time.Hour, ledger.XXH3, 125 * time.Millisecond},
		{"one that is too fast", 50 * time.Nanosecond, time.Hour, "", 125 * time.Millisecond},
		{"a run that ends before", time.Microsecond, 50 * time.Millisecond, "", 50 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rows, size = 4_000_000, 100 << 20 // 26 bytes a row
				d := testDigests(t, size, rows)
				began := time.Now()
				threads := func() time.Duration { return 2 * time.Since(began) }
				d.meter = meter{
					processor: func() time.Duration {
						d.progress.RowsScored.Store(int64(threads() / test.perRow))
						return threads()
					},
					wall:   func() time.Duration { return time.Since(began) },
					prices: func(io.Reader) ([]price, error) { return testPrices, nil },
				}
				time.AfterFunc(test.ends, func() { close(d.ended) })
				if err := d.choose(t.Context()); err != nil || d.choice.Algorithm != test.want {
					t.Errorf("choose() = %+v, %v; want %q", d.choice, err, test.want)
				}
				if took := time.Since(began); took < test.after || took > test.after+pause {
					t.Errorf("chosen after %s; want %s", took, test.after)
				}
			})
		})
	}
}

// TestDigestsKeepPace holds the goroutine near to where the run reads.
func TestDigestsKeepPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, rows = 64 << 20, 1000
		d := testDigests(t, size, rows)
		d.mode = DigestXXH3
		ctx, cancel := context.WithCancelCause(t.Context())
		d.start(ctx, cancel)
		for _, read := range []int64{0, 250, 500} {
			d.progress.RowsRead.Store(read)
			time.Sleep(2 * pause)
			synctest.Wait()
			want := leadBytes + size*read/rows
			if d.position < want || d.position > want+2*ledger.DigestBytes {
				t.Errorf("%d of %d rows read: %d bytes digested; want %d", read, rows, d.position, want)
			}
		}
		choice, err := d.finish() // lets it go on to the end
		want, wantErr := ledger.DigestFile(d.files[0].Path, ledger.XXH3)
		if err != nil || wantErr != nil || choice.Algorithm != ledger.XXH3 || d.of(0) != want {
			t.Errorf("finish() = %+v, %v, digest %s; want %s", choice, err, d.of(0), want)
		}
	})
}

// TestDigestsEndWithTheRun cancels a run whose digests wait for it.
func TestDigestsEndWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testDigests(t, 64<<20, 1000)
		d.mode = DigestSHA256
		ctx, cancel := context.WithCancelCause(t.Context())
		d.start(ctx, cancel)
		cancel(ErrInterrupted)
		d.abandon()
		if !errors.Is(d.err, ErrInterrupted) || d.of(0) != "" {
			t.Errorf("canceled: digest %q, %v; want none, %v", d.of(0), d.err, ErrInterrupted)
		}
	})
}

// TestDigestsOfTheJournalAreKept continues a run that has digests: no file is opened,
// since there is none.
func TestDigestsOfTheJournalAreKept(t *testing.T) {
	for _, test := range []struct {
		mode  DigestMode
		fails bool
	}{
		{DigestAuto, false},
		{DigestXXH3, false},
		{DigestSHA256, true}, // it must be read
	} {
		d := testDigests(t, 100, 10)
		d.mode, d.files[0].digest = test.mode, "xxh3:00"
		if err := os.Remove(d.files[0].Path); err != nil {
			t.Fatal(err)
		}
		err := d.run(t.Context())
		if test.fails != errors.Is(err, format.ErrChanged) || test.fails != errors.Is(err, os.ErrNotExist) || !test.fails && (err != nil || d.of(0) != "xxh3:00") {
			t.Errorf("--digest %s: run() = %v, digest %q", test.mode, err, d.of(0))
		}
	}
}

// TestDigestSeesOtherFiles digests a file that is not the one that was planned.
func TestDigestSeesOtherFiles(t *testing.T) {
	for name, change := range map[string]func(f *digestFile){
		"it was shorter":            func(f *digestFile) { f.Size-- },
		"it was longer":             func(f *digestFile) { f.Size++ },
		"it was written since then": func(f *digestFile) { f.ModTime = f.ModTime.Add(-time.Second) },
	} {
		d := testDigests(t, 1000, 10)
		d.mode = DigestXXH3
		change(&d.files[0])
		if err := d.run(t.Context()); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), d.files[0].Path) {
			t.Errorf("%s: run() = %v; want ErrChanged that names it", name, err)
		}
	}
}

// TestMeasuredPrices checks the order and the size of what is measured: bytes of
// SHA-256 take longer than those of XXH3, and both less than 100 ns.
func TestMeasuredPrices(t *testing.T) {
	d := testDigests(t, 3<<20, 10)
	file, err := os.Open(d.files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	prices, err := measurePrices(file)
	if err != nil || len(prices) != 2 || prices[0].algorithm != ledger.SHA256 || prices[1].algorithm != ledger.XXH3 {
		t.Fatalf("measurePrices() = %+v, %v", prices, err)
	}
	if sha, xxh := prices[0].perByte, prices[1].perByte; sha <= xxh || xxh <= 0 || sha > 100 {
		t.Errorf("%.2f ns a byte of sha256, %.2f of xxh3", sha, xxh)
	}
	if _, err := measurePrices(iotest.ErrReader(fs.ErrPermission)); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("measurePrices() of a file that cannot be read = %v", err)
	}
}
