package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	sqlite3 "github.com/mattn/go-sqlite3"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made makes a SQLite file of statements, or adds to one.
func made(t *testing.T, path, statements string) {
	t.Helper()
	conn, err := (&sqlite3.SQLiteDriver{}).Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.(driver.ExecerContext).ExecContext(context.Background(), statements, nil); err != nil {
		t.Fatal(err)
	}
}

// opened opens an input as the engine does.
func opened(t *testing.T, stores map[string]dataset.Store, input string) (*dataset.Dataset, error) {
	t.Helper()
	listing, err := dataset.ListIn(context.Background(), []string{input}, stores)
	if err != nil {
		return nil, err
	}
	return dataset.Open(context.Background(), listing.Files, dataset.Options{Stores: stores})
}

const manyRows = `CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL);
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) INSERT INTO t SELECT i, i / 4.0 FROM n`

func TestATableIsADataset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b.db")
	made(t, path, manyRows)
	d, err := opened(t, Stores(), "sqlite:"+path+"?table=t")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	files := d.Files()
	if len(files) != 1 || files[0].Rows != 150000 || files[0].Spans != 3 || !strings.HasPrefix(files[0].Version, "xxh3:") || files[0].Path != "sqlite:"+path+"?table=t" {
		t.Errorf("its file is %+v", files)
	}
	// Spans are read in any order, and again.
	for _, span := range []int{2, 0, 1, 2} {
		first := int64(span)<<16 + 1
		err := d.ReadSpan(context.Background(), dataset.SpanRef{Span: span, FirstRow: first - 1}, []string{"x", "id"}, func(b arrow.RecordBatch) error {
			x, id := b.Column(0).(*array.Float64), b.Column(1).(*array.Int64)
			for i := range x.Len() {
				if id.Value(i) != first || x.Value(i) != float64(first)/4 {
					t.Fatalf("span %d: row of %d is %d, %v", span, first, id.Value(i), x.Value(i))
				}
				first++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Changed(); err != nil {
		t.Error(err)
	}
}

func TestFoldersAreThoseOfTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "day=2026-11-28")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	made(t, filepath.Join(dir, "a.db"), "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (7)")
	listing, err := dataset.ListIn(context.Background(), []string{"sqlite:" + dir + "/a.db?query=SELECT id FROM t WHERE id/7=7/id ORDER BY id"}, Stores())
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(context.Background(), listing.Files, dataset.Options{Stores: Stores(), Partitions: dataset.Partitions{Auto: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := d.Partitions().String(); got != "day=date" {
		t.Errorf("columns of folders are %s; want day=date", got)
	}
}

// endless gives batches until an error ends it.
type endless struct{ mem memory.Allocator }

func (endless) Schema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Int64}}, nil)
}

func (e endless) Each(_ context.Context, yield func(arrow.RecordBatch) error) error {
	b := array.NewRecordBuilder(e.mem, e.Schema())
	defer b.Release()
	for i := int64(0); ; i++ {
		b.Field(0).(*array.Int64Builder).Append(i)
		batch := b.NewRecordBatch()
		err := yield(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
}

func (endless) Close() error { return nil }

func TestReadingStopsWhereWritingFails(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	full, next := errors.New("disk is full"), int64(0)
	err := copyRows(context.Background(), endless{mem}, func(batch arrow.RecordBatch) error {
		if got := batch.Column(0).(*array.Int64).Value(0); got != next {
			t.Errorf("batch %d comes where %d should", got, next)
		}
		if next++; next == 5 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || next != 5 {
		t.Errorf("after %d batches: %v; want %v after 5", next, err, full)
	}
}

func TestTheVersionIsThatOfTheRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	made(t, path, manyRows)
	version := func() string {
		d, err := opened(t, Stores(), "sqlite:"+path+"?query=SELECT id, x FROM t WHERE id > 10 ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		return d.Files()[0].Version
	}
	first := version()
	made(t, path, "UPDATE t SET x = 0 WHERE id < 5; VACUUM")
	if again := version(); again != first {
		t.Errorf("rows that it does not have changed its version from %s to %s", first, again)
	}
	made(t, path, "UPDATE t SET x = 0 WHERE id = 149999")
	if again := version(); again == first {
		t.Error("a row changed, and its version did not")
	}
}

func TestInputsThatAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	made(t, path, "CREATE TABLE flights (a); CREATE TABLE u (v INTEGER); INSERT INTO u VALUES ('x')")
	for _, c := range []struct {
		input string
		want  error
		part  string
	}{
		{"sqlite:" + path, query.ErrURI, "?table=NAME, or give --query"},
		{"sqlite:" + path + "?tabel=flights", nil, "tabel"},
		{"sqlite:" + path + "?table=flihgts", query.ErrQuery, `did you mean "flights"?`},
		{"sqlite:" + path + "?query=SELECT a FROM flights", query.ErrOrder, "ORDER BY"},
		{"sqlite:" + path + "?table=u", query.ErrValue, `by --query, may do without some`},
		{"sqlite:" + path + ".gone?table=u", nil, "no such file"},
		{"postgres://127.0.0.1:1/db?table=t&options=-c%20x.y=sentinel-4711", query.ErrURI, "options=-c%20x.y%3Dxxxxx"}, // libpq takes no second =
		{"postgres://u:sentinel-4711@127.0.0.1:1/db?table=t&connect_timeout=1", nil, "u:xxxxx@127.0.0.1"},
		{"postgres://u:sentinel-4711@127.0.0.1:1/db?query=SELECT 1 WHERE 'a' <> 'b@c' ORDER BY 1", nil, "u:xxxxx@127.0.0.1"},
	} {
		d, err := opened(t, Stores(), c.input)
		if err == nil {
			d.Close()
		}
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !errors.Is(err, dataset.ErrInput) || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v; want %v with %q", c.input, err, c.want, c.part)
		}
		if err != nil && strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%s: the message has the password: %v", c.input, err)
		}
	}
}

func TestPasswordIsInNoName(t *testing.T) {
	s := Stores()["postgres"].(*Store)
	const input = "postgres://u:sentinel-4711@h/db?query=SELECT 1 ORDER BY 1"
	l, err := s.List(context.Background(), input)
	if err != nil || len(l.Files) != 1 || l.Files[0] != "postgres://u:xxxxx@h/db?query=SELECT 1 ORDER BY 1" {
		t.Fatalf("List: %v, %v", l.Files, err)
	}
	if got := s.mu.places[l.Files[0]]; got != "postgres://u:sentinel-4711@h/db" {
		t.Errorf("it connects to %s", got)
	}
}
