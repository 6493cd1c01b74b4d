package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
)

// NoRow is the number of a row in a table, which has no order.
const NoRow = -1

// openRows opens rows of a database, by an input that names them.
func openRows(ctx context.Context, stores map[string]dataset.Store, input string) (*dataset.Dataset, error) {
	store := stores[dataset.Scheme(input)]
	if store == nil {
		return nil, fmt.Errorf("%w: nothing here reads rows of %s", ErrUsage, dataset.Scheme(input))
	}
	listing, err := store.List(ctx, input) // which keeps a password to itself
	if err != nil {
		return nil, err
	}
	return dataset.Open(ctx, listing.Files, dataset.Options{Stores: stores})
}

// openTable opens rows of the output's table.
func (r *replayer) openTable(ctx context.Context, input string, err error) (*dataset.Dataset, error) {
	if err != nil {
		return nil, err
	}
	data, err := openRows(ctx, r.opts.Stores, input)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ledger.ErrUnsound, r.Output, err)
	}
	return data, nil
}

// findInTable gives the first rows of a run that meet the conditions.
func (r *replayer) findInTable(ctx context.Context, run *ledger.Recorded, most int) (found []*hit, err error) {
	m := run.Manifest
	q := sink.RowQuery{Run: run.Run, Columns: m.Schema}
	form := written{singles: map[string]bool{}, table: true}
	for _, c := range m.Schema {
		form.singles[c.Name] = c.Type == arrow.PrimitiveTypes.Float32.Name()
		for _, w := range r.opts.Where {
			if w.Column == c.Name {
				q.Where = append(q.Where, sink.ColumnValue{Column: c, Value: w.Value})
			}
		}
	}
	input, err := r.rows.RowsOf(r.opts.Output, q)
	data, err := r.openTable(ctx, input, err)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if found, _, err = r.search(ctx, data, form, most); err == nil {
		err = fetch(ctx, data, found)
	}
	for _, h := range found {
		h.run, h.row, h.file, h.form = run, NoRow, r.Output, form
	}
	return found, err
}

// eachRejectOfTable gives the rejected rows of a run, with all columns that it read as JSON.
func (r *replayer) eachRejectOfTable(ctx context.Context, run string, each func(row RejectedRow, values string) error) (err error) {
	input, err := r.rows.RejectsOf(r.opts.Output, run)
	data, err := r.openTable(ctx, input, err)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	return eachReject(ctx, data, fieldNames(data.Schema().Fields()), func(b arrow.RecordBatch, i int) error {
		return each(rejectedRow(run, b, i), b.Column(len(reasonFields)).ValueStr(i))
	})
}

// findRejectedOfTable looks for the conditions among the ids of a run's rejected rows.
func (r *replayer) findRejectedOfTable(ctx context.Context, run *ledger.Recorded) error {
	ids, _ := recordedSetting[[]string](run.Manifest, "ids") // decides an order alone
	return r.eachRejectOfTable(ctx, run.Run, func(row RejectedRow, values string) error {
		of := jsonValues(values)
		for _, c := range r.opts.Where {
			if value, ok := of[c.Column]; !ok || !sameValue(value, c.Value) {
				return nil
			}
		}
		if len(r.Rejected) == r.opts.Limit {
			r.More = true
			return errEnough
		}
		names := slices.SortedFunc(maps.Keys(of), func(a, b string) int {
			return cmp.Or(orderOf(ids, a)-orderOf(ids, b), strings.Compare(a, b))
		})
		for _, name := range names {
			row.Columns = append(row.Columns, ColumnValue{Column: name, Value: of[name]})
		}
		r.Rejected = append(r.Rejected, row)
		return nil
	})
}

// orderOf is where a name stands among others; behind all of them where it does not.
func orderOf(names []string, name string) int {
	if at := slices.Index(names, name); at >= 0 {
		return at
	}
	return len(names)
}

// jsonValues are the members of an object as texts.
func jsonValues(object string) map[string]string {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(object), &members) != nil {
		return nil
	}
	texts := make(map[string]string, len(members))
	for name, raw := range members {
		var text string
		switch {
		case string(raw) == "null":
			text = array.NullValueStr
		case json.Unmarshal(raw, &text) != nil:
			text = string(raw)
		}
		texts[name] = text
	}
	return texts
}

// sameValue says that two texts are the same, or the same number.
func sameValue(a, b string) bool {
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	if err1 != nil || err2 != nil || strings.Trim(a+b, "+-0123456789") == "" { // all digits of whole numbers count
		return strings.TrimPrefix(a, "+") == strings.TrimPrefix(b, "+")
	}
	return x == y
}
