package feature

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/nearest"
)

// compiled is a transform that is known to fit what it gets.
type compiled struct {
	out  valueType
	make func() runner // of one goroutine
	// width is the number of values a row, and names their names after the
	// feature's; of transforms that give one value 0 and nil.
	width int
	names func(i int) string
	// glances says that the step takes no longer for a text than to look up the text.
	glances bool
	// rejects says that a row can be rejected here because its feature asks for it.
	rejects bool
}

// transforms are the names of the transforms in a job file, in order of Step's fields.
var transforms = func() (names []string) {
	for field := range reflect.TypeFor[Step]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}()

// Transform is the name of the step's transform; its error says that not exactly one
// is set.
func (s *Step) Transform() (string, error) {
	var set []string
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			set = append(set, transforms[i])
		}
	}
	switch len(set) {
	case 1:
		return set[0], nil
	case 0:
		return "", fmt.Errorf("names no transform: one of %s", strings.Join(transforms, ", "))
	default:
		return "", fmt.Errorf("has %s at once; write a step for each", strings.Join(set, " and "))
	}
}

// combines says whether the step makes one value of several columns.
func (s *Step) combines() bool {
	return s.Ratio != nil || s.Diff != nil || s.Product != nil || s.Haversine != nil
}

// errCombines says that a transform of several columns stands where there is one.
var errCombines = errors.New("combines columns, so it is the first transform of a feature whose columns list them")

// compile fits a step of one column to the values that it gets, which are settled.
func (s *Step) compile(in valueType) (compiled, error) {
	switch {
	case s.Fill != nil:
		return compileFill(s.Fill, in)
	case s.Clip != nil:
		return compileClip(s.Clip, in)
	case s.Scale != nil:
		return compileScale(s.Scale, in)
	case s.Log1p != nil:
		return compileEach(log1p, in)
	case s.Abs != nil:
		return compileEach(abs, in)
	case s.Bucketize != nil:
		return compileBucketize(s.Bucketize, in)
	case s.Map != nil:
		return compileMap(s.Map, in)
	case s.OneHot != nil:
		return compileOneHot(s.OneHot, in)
	case s.Hash != nil:
		return compileHash(s.Hash, in)
	case s.DateTime != nil:
		return compileDateTime(s.DateTime, in)
	case s.Cast != nil:
		return compileCast(s.Cast, in)
	case s.Equals != nil:
		return compileEquals(*s.Equals, in)
	default:
		return compiled{}, errCombines
	}
}

// settle says what the nulls of a column of type null are taken for: what the step is
// for.
func (s *Step) settle() valueType {
	switch {
	case s.DateTime != nil:
		return valueType{form: formTime, time: timeType{class: instant, perSecond: 1, zone: "UTC"}}
	case s.Map != nil, s.OneHot != nil, s.Hash != nil, s.Equals != nil, s.Fill != nil && s.Fill.Kind == Text && !reserved(s.Fill.Text):
		return valueType{form: formText}
	default:
		return valueType{form: formFloat64}
	}
}

// word is a setting's text of few.
type word interface {
	~string
	Values() []string
}

// oneOf is the error of a setting that is none of its words; nil for one that is not
// given.
func oneOf[W word](setting string, w W) error {
	words := w.Values()
	if w == "" || slices.Contains(words, string(w)) {
		return nil
	}
	return fmt.Errorf("%s is %q, which is none of %s%s", setting, string(w), strings.Join(words, ", "), nearest.DidYouMean(string(w), words))
}

// wantsNumber is the error of numbers' transforms for other values; nil for numbers.
func wantsNumber(in valueType) error {
	switch {
	case in.isNumber():
		return nil
	case in.form == formText:
		return errors.New("wants a number, and gets text: cast it before (cast: {to: float64}), or give it a number (map, onehot, hash)")
	case in.form == formTime:
		return fmt.Errorf("wants a number, and gets a %s: take a part of it before, such as datetime: {part: epoch}", in.time.class)
	default:
		return fmt.Errorf("wants a number, and gets %s", in)
	}
}

// wantsCategory is the error of transforms of categories for times.
func wantsCategory(in valueType) error {
	if in.form == formTime {
		return fmt.Errorf("wants a category, and gets a %s: take a part of it before, such as datetime: {part: weekday}", in.time.class)
	}
	if !in.isNumber() && in.form != formText {
		return fmt.Errorf("wants a category, and gets %s", in)
	}
	return nil
}
