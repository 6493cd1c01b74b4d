package feature_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
)

// TestTextsAreReadAsByStrconv: a text becomes the number that strconv makes of it, to the bit,
// whichever texts lie beside it, and is bad where that makes none.
func TestTextsAreReadAsByStrconv(t *testing.T) {
	t.Parallel()
	special := []string{
		"", "+", "-", ".", "1.", ".5", "+7", "-0", "-0.0", "0x1p-2", "0x_1p4", "1_000", "nan", "-nan", "NaN", "inf", "-Infinity", "+INF", "1e400", "-1e39", "1e-400", "1e", "1e+", " 1", "1 ",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "00000000000000000000000000000007", "2.5", "-2.5", "1e3", "16777217", "3.4028236e38", "x", "", "-3", "", "5", "é",
		"9007199254740992.5", "123456789012345678901234567890", strings.Repeat("9", 400), "5e-324", "1.00000017881393432617187499",
	}
	texts, random := slices.Clone(special), rand.New(rand.NewPCG(3, 4))
	for range 9000 { // so many that they pass in the end
		switch v := math.Float64frombits(random.Uint64()); random.IntN(4) {
		case 0:
			texts = append(texts, strconv.FormatFloat(v, 'g', -1, 64))
		case 1:
			texts = append(texts, strconv.FormatFloat(random.NormFloat64()*1000, 'f', random.IntN(20), 64))
		case 2:
			texts = append(texts, strconv.FormatInt(int64(random.Uint64())>>random.IntN(64), 10))
		default: // a few bytes of which most are those of numbers
			text := make([]byte, 1+random.IntN(5))
			for i := range text {
				text[i] = "0123456789+-.e_xn "[random.IntN(18)]
			}
			texts = append(texts, string(text))
		}
	}
	texts = append(texts, special...)
	column := array.NewStringBuilder(memory.DefaultAllocator)
	column.AppendValues(texts, nil)
	record := recordOf(t, []string{"text"}, column.NewArray())
	for _, to := range []feature.Cast{{To: feature.ToFloat64}, {To: feature.ToFloat32}, {To: feature.ToInt64}, {To: feature.ToInt64, Round: feature.RoundFloor}, {To: feature.ToBool}} {
		steps := []feature.Step{{Cast: &to}}
		matrix, bad := evaluateAll(t, compileAll(t, record.Schema(), []feature.Feature{{Column: "text", Transforms: steps}}), record)
		for row, text := range texts {
			want := loop(steps, []cell{text}, 's')
			if bad[row] != want.bad {
				t.Errorf("cast %q to %s: bad %v; want %v", text, to.To, bad[row], want.bad)
				continue
			}
			if want.bad {
				continue
			}
			number := toFloat(want.values[0])
			if to.To == feature.ToFloat32 {
				number = float64(want.values[0].(float32)) //nolint:forcetypeassert // it casts to float32
			}
			if got := matrix[row][0]; math.Float64bits(got) != math.Float64bits(number) && !(got != got && number != number) {
				t.Errorf("cast %q to %s: %v; want %v", text, to.To, got, number)
			}
		}
	}
}
