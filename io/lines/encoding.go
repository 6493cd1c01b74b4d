package lines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/millrace/millrace/io/format"
)

// encoding is how the characters of a text are bytes.
type encoding struct {
	name string
	of   *charmap.Charmap // one byte each; nil: UTF-16
	big  bool             // the higher byte of a unit comes first
	mark bool             // a byte-order mark says which does
}

// encodingForms are what --encoding can say, for messages.
const encodingForms = "utf-8, utf-16 (with a byte-order mark), utf-16le, utf-16be, latin-1, or a page of one byte a character such as windows-1252, iso-8859-15, ibm850 or koi8-r"

// shortEncoding is a name without what people write differently.
func shortEncoding(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// encodingOf finds an encoding by its name; nil is UTF-8.
func encodingOf(name string) (*encoding, error) {
	short := shortEncoding(name)
	switch short {
	case "", "utf8":
		return nil, nil
	case "utf16":
		return &encoding{name: name, mark: true}, nil
	case "utf16le":
		return &encoding{name: name}, nil
	case "utf16be":
		return &encoding{name: name, big: true}, nil
	case "latin1":
		short = "iso88591"
	case "latin9":
		short = "iso885915"
	}
	if page, ok := strings.CutPrefix(short, "cp"); ok {
		if short = "ibmcodepage" + page; strings.HasPrefix(page, "125") || page == "874" {
			short = "windows" + page
		}
	}
	if page, ok := strings.CutPrefix(short, "ibm"); ok && !strings.HasPrefix(page, "codepage") {
		short = "ibmcodepage" + page
	}
	for _, e := range charmap.All {
		if page, ok := e.(*charmap.Charmap); ok && shortEncoding(page.String()) == short {
			return &encoding{name: name, of: page}, nil
		}
	}
	return nil, fmt.Errorf("(%s) must be %s", name, encodingForms)
}

// toUTF8 reads a text as UTF-8. The decoders of golang.org/x/text write U+FFFD for what is no
// character of an encoding, and say nothing; here it is an error, with its place.
type toUTF8 struct {
	from    io.Reader
	is      encoding
	room    [rawBytes]byte
	raw     []byte // read into room, and not all taken
	all     []byte // converted
	out     []byte // of it, what is not given yet
	at      int64  // bytes that were taken
	failed  error  // of from, once there is no more
	started bool
}

// rawBytes is how much is converted at a time.
const rawBytes = 64 << 10

// reader converts a text.
func (e *encoding) reader(from io.Reader) io.Reader {
	return &toUTF8{from: from, is: *e}
}

// Read implements io.Reader.
func (r *toUTF8) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.failed != nil && (len(r.raw) == 0 || !errors.Is(r.failed, io.EOF)) {
			return 0, r.failed
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// fill converts what comes next.
func (r *toUTF8) fill() error {
	held := len(r.raw)
	copy(r.room[:], r.raw)
	if r.failed == nil {
		var n int
		n, r.failed = r.from.Read(r.room[held:])
		held += n
	}
	r.raw = r.room[:held]
	if !r.started && r.is.of == nil {
		if held < 2 && r.failed == nil {
			return nil
		}
		r.started = true
		if err := r.takeMark(); err != nil {
			return err
		}
	}
	convert := r.units
	if r.is.of != nil {
		convert = r.bytes
	}
	r.all = r.all[:0]
	err := convert()
	r.out = r.all
	return err
}

// takeMark reads a byte-order mark.
func (r *toUTF8) takeMark() error {
	big, little := bytes.HasPrefix(r.raw, []byte{0xfe, 0xff}), bytes.HasPrefix(r.raw, []byte{0xff, 0xfe})
	if r.is.mark {
		if !big && !little && len(r.raw) > 0 {
			return fmt.Errorf("%w: it has no byte-order mark, so that --encoding has to say utf-16le or utf-16be, or another", format.ErrUnsupported)
		}
		r.is.big = big
	}
	if r.is.big && big || !r.is.big && little {
		r.raw, r.at = r.raw[2:], 2
	}
	return nil
}

// bytes converts characters of a byte each.
func (r *toUTF8) bytes() error {
	for i, b := range r.raw {
		c := r.is.of.DecodeByte(b)
		if c == utf8.RuneError {
			return r.no(fmt.Sprintf("byte %#02x", b), int64(i))
		}
		r.all = utf8.AppendRune(r.all, c)
	}
	r.at, r.raw = r.at+int64(len(r.raw)), nil
	return nil
}

// unit is the one at an offset.
func (r *toUTF8) unit(at int) rune {
	if r.is.big {
		return rune(r.raw[at])<<8 | rune(r.raw[at+1])
	}
	return rune(r.raw[at+1])<<8 | rune(r.raw[at])
}

// units converts UTF-16.
func (r *toUTF8) units() error {
	at := 0
	for ; at+2 <= len(r.raw); at += 2 {
		c := r.unit(at)
		if utf16.IsSurrogate(c) {
			if at+4 > len(r.raw) && r.failed == nil {
				break
			}
			pair := utf8.RuneError
			if at+4 <= len(r.raw) {
				pair = utf16.DecodeRune(c, r.unit(at+2))
			}
			if pair == utf8.RuneError {
				return r.no(fmt.Sprintf("unit %#04x", c), int64(at))
			}
			c, at = pair, at+2
		}
		r.all = utf8.AppendRune(r.all, c)
	}
	r.at, r.raw = r.at+int64(at), r.raw[at:]
	if len(r.raw) > 0 && r.failed != nil && len(r.raw) < 4 && errors.Is(r.failed, io.EOF) {
		return fmt.Errorf("%w: it is cut off: UTF-16 has an even number of bytes", format.ErrDamaged)
	}
	return nil
}

// no says that a text is not of its encoding.
func (r *toUTF8) no(what string, at int64) error {
	return fmt.Errorf("%w: %s at %d is no character of %s: name another by --encoding", format.ErrDamaged, what, r.at+at, r.is.name)
}
