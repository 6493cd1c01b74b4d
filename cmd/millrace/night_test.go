package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// nightVariable names the flights of the night: the sample of 50,000 by default.
const nightVariable = "NIGHT_FLIGHTS"

// nightDays is how many days the flights are divided into.
const nightDays = 12

// night is the job of docs/examples/night.yaml over flights in a bucket.
type night struct {
	*soak

	gateway *blobtest.Gateway
	server  *pgtest.Server
}

// TestNight plays a night and the next one: flights from folders of a bucket, by a job file
// with features and a filter, into the bucket and into PostgreSQL, each killed twice and
// started again, and compared row for row with a run of local files into local files; then
// one more day, which alone is scored; then the page.
func TestNight(t *testing.T) {
	slow(t)
	n := &night{gateway: blobtest.Start(t), server: pgtest.Start(t)}
	var repo string
	n.soak, repo = bareSoak(t, "testdata/flights-sample.parquet")
	n.env = slices.DeleteFunc(n.env, func(v string) bool {
		return strings.HasPrefix(v, nightVariable+"=")
	})
	flights := os.Getenv(nightVariable)
	if flights == "" {
		flights = filepath.Join(repo, "testdata/flights-sample.parquet")
	}
	raw := filepath.Join(n.dir, "raw")
	rows := divideByDay(t, flights, raw)
	days := namesIn(t, raw)
	for _, day := range days[:nightDays-1] {
		n.gateway.PutFile(t, "raw/"+day+"/flights.parquet", filepath.Join(raw, day, "flights.parquet"))
	}
	job := func(input string) []string {
		n.env = slices.DeleteFunc(n.env, func(v string) bool { return strings.HasPrefix(v, "FLIGHTS=") })
		n.env = append(n.env, "FLIGHTS="+input, "SCORES=by --output")
		return []string{
			"score", "--job", filepath.Join(repo, "docs/examples/night.yaml"), "--json", "--endpoint", n.gateway.URL,
			"--part-rows", strconv.Itoa(rows / 20),
		}
	}
	last := days[nightDays-1]

	n.args = job(raw)
	direct := filepath.Join(n.dir, "direct")
	started := time.Now()
	if code, said := n.start(direct).wait(t); code != 0 {
		t.Fatalf("the run of local files exits %d: %s", code, said)
	}
	n.took = time.Since(started)
	all := rowsIn(t, direct)
	before := slices.DeleteFunc(slices.Clone(all), func(r string) bool { return strings.HasSuffix(r, strings.TrimPrefix(last, "date=")) })
	if len(before) == 0 || len(before) == len(all) || len(all) == rows {
		t.Fatalf("%d rows of %d pass the filter, %d of them before %s", len(all), rows, len(before), last)
	}

	n.args = job("s3://bucket/raw/")
	bucket := n.killedTwice(t, func(try int) string { return fmt.Sprintf("s3://bucket/scores%d/", try) })
	folder := filepath.Join(n.gateway.Dir, strings.TrimPrefix(bucket, "s3://"))
	if got := rowsIn(t, folder); !slices.Equal(got, before) {
		t.Errorf("%s has %d rows that are not the %d of the run of local files, in their order", bucket, len(got), len(before))
	}
	var name string
	table := n.killedTwice(t, func(try int) string {
		name = fmt.Sprintf("scores%d", try)
		return n.server.URI(name, "")
	})
	if got, want := n.rowsOf(t, name), slices.Sorted(slices.Values(before)); !slices.Equal(got, want) {
		t.Errorf("table %s has %d rows that are not the %d of the run of local files", name, len(got), len(want))
	}

	n.gateway.PutFile(t, "raw/"+last+"/flights.parquet", filepath.Join(raw, last, "flights.parquet"))
	page := filepath.Join(n.dir, "night.html")
	for _, out := range []string{bucket, table} {
		p := n.start(out, "--report", page)
		code, said := p.wait(t)
		if code != 0 {
			t.Fatalf("one more day exits %d: %s", code, said)
		}
		if got, want := p.summary(t).Rows.Scored, int64(len(all)-len(before)); got != want {
			t.Errorf("one more day scored %d rows; want %d", got, want)
		}
		if code, said := n.start(out).wait(t); code != 0 || !strings.Contains(said, "nothing new") {
			t.Errorf("with nothing new the job exits %d: %s", code, said)
		}
		html, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.ReplaceAll(strconv.Itoa(len(all)-len(before)), ",", ""); !strings.Contains(strings.ReplaceAll(string(html), ",", ""), want) {
			t.Errorf("the page of the night does not say that %s rows were scored", want)
		}
	}
	want := slices.Sorted(slices.Values(all))
	if got := slices.Sorted(slices.Values(rowsIn(t, folder))); !slices.Equal(got, want) {
		t.Errorf("after one more day %s has %d rows; want %d", bucket, len(got), len(want))
	}
	if got := n.rowsOf(t, name); !slices.Equal(got, want) {
		t.Errorf("after one more day table %s has %d rows; want %d", name, len(got), len(want))
	}
	if left := unfinishedUploads(t, n.gateway); left > 0 {
		t.Errorf("%d uploads are left", left)
	}
}

// killedTwice runs the job into an output until a run was killed by SIGKILL twice before it
// published, and gives that output.
func (n *night) killedTwice(t *testing.T, output func(try int) string) string {
	t.Helper()
	for try := range 50 {
		out := output(try)
		for kills := 0; ; {
			p := n.start(out)
			var timer *time.Timer
			if kills < 2 {
				timer = time.AfterFunc(time.Duration(n.random.Int64N(int64(n.took))), func() { _ = p.cmd.Process.Kill() }) // it may be over
			}
			code, said := p.wait(t)
			if timer != nil {
				timer.Stop()
			}
			switch {
			case code == -1:
				kills++
				continue
			case code != 0:
				t.Fatalf("start after %d kills exits %d: %s", kills, code, said)
			case kills == 2:
				t.Logf("killed twice, and then %d rows were taken over of %d", p.summary(t).RowsTaken, p.summary(t).Rows.Read)
				return out
			}
			break
		}
	}
	t.Fatal("no run was killed twice before it published")
	return ""
}

// rowsOf are the rows of a table as psql tells them, sorted.
func (n *night) rowsOf(t *testing.T, table string) []string {
	t.Helper()
	var rows []string
	for line := range strings.Lines(n.server.Must(t, "COPY (SELECT id, variable, date FROM "+table+") TO STDOUT (FORMAT csv)")) {
		f := strings.Split(strings.TrimSpace(line), ",")
		v, err := strconv.ParseFloat(f[1], 32)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, nightRow(f[0], float32(v), f[2]))
	}
	slices.Sort(rows)
	return rows
}

func nightRow(id string, prediction float32, date string) string {
	return id + "," + strconv.FormatFloat(float64(prediction), 'g', -1, 32) + "," + date
}

// rowsIn are the rows of all Parquet files in a folder, as the Arrow project's reader tells
// them, in order.
func rowsIn(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "part-*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, path := range paths {
		eachRecord(t, path, 1<<16, func(r arrow.RecordBatch) {
			ids, predictions, dates := r.Column(0).(*array.Int64), r.Column(2).(*array.Float32), r.Column(1).(*array.Date32)
			for i := range int(r.NumRows()) {
				rows = append(rows, nightRow(strconv.FormatInt(ids.Value(i), 10), predictions.Value(i), dates.Value(i).FormattedString()))
			}
		})
	}
	return rows
}

// eachRecord reads a Parquet file by the Arrow project's reader.
func eachRecord(t *testing.T, path string, rows int64, each func(arrow.RecordBatch)) {
	t.Helper()
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: rows}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	records, err := r.GetRecordReader(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer records.Release()
	for records.Next() {
		each(records.RecordBatch())
	}
}

// divideByDay writes a file's rows to folders of days, as many to each, by the Arrow
// project's writer.
func divideByDay(t *testing.T, path, dir string) (rows int) {
	t.Helper()
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	rows = int(f.NumRows())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	day, at := 0, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	eachRecord(t, path, int64((rows+nightDays-1)/nightDays), func(r arrow.RecordBatch) {
		folder := filepath.Join(dir, at.AddDate(0, 0, day).Format("date=2006-01-02"))
		day++
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(folder, "flights.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		w, err := pqarrow.NewFileWriter(r.Schema(), out, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil { // and the file
			t.Fatal(err)
		}
	})
	if day != nightDays {
		t.Fatalf("%d days; want %d", day, nightDays)
	}
	return rows
}
