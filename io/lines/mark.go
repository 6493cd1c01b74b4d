package lines

import (
	"bytes"
	"fmt"

	"github.com/millrace/millrace/io/format"
)

// SkipMark is where a text begins behind a byte-order mark of UTF-8; those of UTF-16
// and UTF-32 are refused.
func SkipMark(head []byte) (int, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		return 3, nil
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}),
		bytes.HasPrefix(head, []byte{0, 0, 0xfe, 0xff}):
		return 0, fmt.Errorf("%w: its text is UTF-16 or UTF-32, by its byte-order mark; say --encoding utf-16, or convert it first", format.ErrUnsupported)
	}
	return 0, nil
}
