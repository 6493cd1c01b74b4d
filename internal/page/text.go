package page

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// Unknown stands for what is not known.
const Unknown = "–"

// Significant writes v with three digits that count.
func Significant(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.001:
		return fmt.Sprintf("%.2g", v)
	case a < 0.0999:
		return fmt.Sprintf("%.3g", v)
	case a < 9.995:
		return fmt.Sprintf("%.2f", v)
	case a < 99.95:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// Count writes a large number with k, M, G or T.
func Count(v float64) string {
	if v <= 0 {
		return Unknown
	}
	number, unit := CountParts(v)
	return strings.TrimRight(number+" "+unit, " ")
}

// CountParts is a number and its prefix, apart so that a column of numbers with
// one prefix can be aligned.
func CountParts(v float64) (number, prefix string) {
	for _, prefix = range []string{"", "k", "M", "G", "T"} {
		if v < 999.5 {
			break
		}
		if prefix != "T" {
			v /= 1000
		}
	}
	return Significant(v), prefix
}

// Whole writes a number in full.
func Whole(v float64) string {
	if v >= 1e15 {
		return Count(v)
	}
	return humanize.Comma(int64(v + 0.5))
}

// Time writes seconds with the unit that fits.
func Time(seconds float64) string {
	switch {
	case seconds <= 0:
		return Unknown
	case seconds < 999.5e-9:
		return Significant(seconds*1e9) + " ns"
	case seconds < 999.5e-6:
		return Significant(seconds*1e6) + " µs"
	case seconds < 0.9995:
		return Significant(seconds*1e3) + " ms"
	case seconds < 59.95:
		return Significant(seconds) + " s"
	case seconds < 48*3600:
		d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
		if d < time.Hour {
			return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
		}
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return Count(seconds/86400) + " days"
	}
}

// Memory writes bytes with the binary unit that fits.
func Memory(n int64) string {
	if n <= 0 {
		return Unknown
	}
	return humanize.IBytes(uint64(n))
}

// Percent writes a ratio as a percentage.
func Percent(ratio float64) string {
	if ratio <= 0 {
		return Unknown
	}
	return fmt.Sprintf("%.1f%%", ratio*100)
}

// Change writes how far a ratio is from 1, with its sign.
func Change(ratio float64) string {
	if ratio <= 0 {
		return Unknown
	}
	change := (ratio - 1) * 100
	if math.Abs(change) < 0.05 {
		return "0.0%"
	}
	return strings.Replace(fmt.Sprintf("%+.1f%%", change), "-", "−", 1)
}

// Number writes a number of things.
func Number(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return humanize.Comma(int64(n)) + " " + thing + "s"
}

// PlainRunes bounds how much of a string from a file is shown.
const PlainRunes = 80

// Plain makes a string from a file fit to show: one line, nothing that moves the
// cursor, turns the writing direction or hides, and not endless.
func Plain(s string) string { return PlainTo(s, PlainRunes) }

// PlainTo is Plain with another bound.
func PlainTo(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteRune('…')
			break
		}
		if r == unicode.ReplacementChar || r != ' ' && !unicode.IsPrint(r) { // controls, bidi and zero-width are not printable
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}
