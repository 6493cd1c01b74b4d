package sqlite

import (
	"database/sql/driver"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// timeForms are those of SQLite's own date and time functions (sqlite.org/lang_datefunc.html)
// that have a date.
var timeForms = []string{
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
}

// parseTime reads a text as SQLite's functions do: what stands for a zone is taken off, and
// without one it is what it says.
func parseTime(v driver.Value) (arrow.Timestamp, bool) {
	s, ok := v.(string)
	if !ok {
		return 0, false
	}
	for _, form := range timeForms {
		for _, zone := range []string{"", "Z07:00", " Z07:00"} {
			t, err := time.Parse(form+zone, s)
			if err != nil {
				continue
			}
			if t.Nanosecond()%1000 != 0 { // finer than what the column holds
				return 0, false
			}
			return arrow.Timestamp(t.UnixMicro()), true
		}
	}
	return 0, false
}

// parseDate reads a text of a date alone.
func parseDate(v driver.Value) (arrow.Date32, bool) {
	s, ok := v.(string)
	if !ok {
		return 0, false
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, false
	}
	return arrow.Date32FromTime(t), true
}
