package pgrows

import (
	"bytes"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgtype"
)

// stream of two rows of a table of an int4, a text and an int4[].
var twoRows = []byte(copySignature + "\x00\x00\x00\x00\x00\x00\x00\x01!" +
	"\x00\x03\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00\x02hi\xff\xff\xff\xff" +
	"\x00\x03\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x1c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x05" +
	"\xff\xff")

var threeColumns = func() []column {
	columns := []column{{name: "n", oid: pgtype.Int4OID, modifier: -1}, {name: "t", oid: pgtype.TextOID, modifier: -1}, {name: "l", oid: pgtype.Int4ArrayOID, modifier: -1}}
	types := map[uint32]catalogType{pgtype.TextOID: {category: "S"}, pgtype.Int4ArrayOID: {category: "A", element: pgtype.Int4OID}}
	for i := range columns {
		columns[i].fit(types)
	}
	return columns
}()

// decoded gives the rows of a stream that is cut after every so many bytes.
func decoded(data []byte, step int) (text string, err error) {
	fields := make([]arrow.Field, len(threeColumns))
	for i, c := range threeColumns {
		fields[i] = arrow.Field{Name: c.name, Type: c.kind.arrow, Nullable: true}
	}
	var b bytes.Buffer
	d := newDecoder(arrow.NewSchema(fields, nil), threeColumns, func(batch arrow.RecordBatch) error {
		j, err := batch.MarshalJSON()
		b.Write(j)
		return err
	})
	defer d.release()
	for len(data) > 0 {
		n := min(step, len(data))
		if _, err := d.Write(data[:n]); err != nil {
			return "", err
		}
		data = data[n:]
	}
	err = d.finish()
	return b.String(), err
}

func TestStreamMayBeCutAnywhere(t *testing.T) {
	const want = "[{\"l\":null,\"n\":7,\"t\":\"hi\"}\n,{\"l\":[5],\"n\":null,\"t\":\"\"}\n]"
	for step := 1; step <= len(twoRows); step++ {
		text, err := decoded(twoRows, step)
		if err != nil || text != want {
			t.Fatalf("by %d bytes: %q, %v; want %q", step, text, err, want)
		}
	}
	for end := range len(twoRows) {
		if text, err := decoded(twoRows[:end], len(twoRows)); err == nil {
			t.Errorf("the first %d bytes give %s and no error", end, text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(twoRows, 7)
	f.Fuzz(func(_ *testing.T, data []byte, step int) {
		_, _ = decoded(data, max(step, 1)) // it must not panic
	})
}
