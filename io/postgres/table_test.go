package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// TestTooManyColumns: a table, made or there, that the view predictions would not fit is
// told before the first row; the server tells it when all are scored.
func TestTooManyColumns(t *testing.T) {
	for _, c := range []struct {
		columns int // with that of the run
		params  string
		says    string
	}{
		{1596, "", ""},
		{1597, "", "its view predictions would have 1601 columns"},
		{1600, "", "its view predictions would have 1604 columns"},
		{1600, "&views=no", ""},
		{1601, "&views=no", "it would have 1601 columns"},
		{1601, "", "it would have 1601 columns"},
	} {
		target, err := ParseTarget("postgres:///air?table=t" + c.params)
		if err != nil {
			t.Fatal(err)
		}
		there := &Table{Columns: []Column{{Name: target.RunColumn}}}
		var fields []arrow.Field
		for i := range c.columns - 1 {
			name := fmt.Sprintf("c%d", i)
			fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Float64})
			there.Columns = append(there.Columns, Column{Name: name})
		}
		_, err = target.TypesOf(arrow.NewSchema(fields, nil))
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrTable) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%d columns%s: %v; want %q", c.columns, c.params, err, c.says)
		}
		_, err = target.Fit(there, arrow.NewSchema(fields[:1], nil)) // whose types do not fit
		if says := "its view predictions would have"; strings.Contains(err.Error(), says) != strings.Contains(c.says, says) && c.columns <= maxColumns {
			t.Errorf("a table of %d columns%s: %v", c.columns, c.params, err)
		}
	}
}
