package batcher

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace/models"
)

// NullAction is what happens to a null where the model wants a value.
type NullAction int

// The actions.
const (
	NullError  NullAction = iota // the run fails; the default
	NullNaN                      // becomes NaN; floating tensors only
	NullFill                     // becomes a constant
	NullReject                   // the row is rejected
)

// NullPolicy is a NullAction with its constant, as text, for NullFill.
type NullPolicy struct {
	Action NullAction
	Value  string
}

// ParseNullPolicy reads error, nan, reject, or a constant. A constant that is
// one of these words is written with a leading equals sign, as in =error.
func ParseNullPolicy(s string) NullPolicy {
	switch strings.ToLower(s) {
	case "error":
		return NullPolicy{Action: NullError}
	case "nan":
		return NullPolicy{Action: NullNaN}
	case "reject":
		return NullPolicy{Action: NullReject}
	default:
		return NullPolicy{Action: NullFill, Value: strings.TrimPrefix(s, "=")}
	}
}

// String writes the policy as ParseNullPolicy reads it.
func (p NullPolicy) String() string {
	switch p.Action {
	case NullNaN:
		return "nan"
	case NullReject:
		return "reject"
	case NullFill:
		if strings.HasPrefix(p.Value, "=") || ParseNullPolicy(p.Value).Action != NullFill {
			return "=" + p.Value
		}
		return p.Value
	default:
		return "error"
	}
}

// MarshalText writes the policy as ParseNullPolicy reads it.
func (p NullPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// rejects says that a null has no value in a tensor: its row is bad, or rejected.
func (p NullPolicy) rejects() bool { return p.Action == NullError || p.Action == NullReject }

// NullPolicies are the policies of a run: one for all features, and others for
// some by the name of their column.
type NullPolicies struct {
	Default  NullPolicy
	ByColumn map[string]NullPolicy
}

// fillValue is a constant as both of its readings; which one counts is decided
// by the tensor's type.
type fillValue struct {
	float float64
	int   int64
	uint  uint64
	text  string
}

// resolve checks a column's policy against the tensor's element type. A policy
// of nan that was given for all columns leaves those that cannot hold NaN at
// error; one that was given for the column by name is a mistake there.
func (p NullPolicies) resolve(column string, elem models.ElementType) (NullPolicy, fillValue, error) {
	policy, named := p.ByColumn[column]
	if !named {
		policy = p.Default
	}
	number := elementNumbers[elem]
	switch policy.Action {
	case NullNaN:
		if number.class == classFloat {
			return policy, fillValue{float: math.NaN()}, nil
		}
		if !named {
			return NullPolicy{Action: NullError}, fillValue{}, nil
		}
		return policy, fillValue{}, fmt.Errorf("--nulls %s=nan: %s tensors have no NaN; use a constant or reject", column, elem)
	case NullFill:
		fill, err := parseFill(policy.Value, elem)
		if err != nil {
			where := column + "="
			if !named {
				where = ""
			}
			return policy, fill, fmt.Errorf("--nulls %s%s does not fit column %q, which becomes %s: %w (give that column its own: --nulls %s=...)",
				where, policy.Value, column, elem, err, column)
		}
		return policy, fill, nil
	default:
		return policy, fillValue{}, nil
	}
}

func parseFill(s string, elem models.ElementType) (fillValue, error) {
	number := elementNumbers[elem]
	switch number.class {
	case classText:
		return fillValue{text: s}, nil
	case classFloat:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fillValue{}, fmt.Errorf("%q is not a number", s)
		}
		if !math.IsInf(v, 0) && overflows(v, elem) {
			return fillValue{}, fmt.Errorf("%q is out of its range", s)
		}
		return fillValue{float: v}, nil
	case classSigned:
		v, err := strconv.ParseInt(s, 10, number.bits)
		if err != nil {
			return fillValue{}, fmt.Errorf("%q is not an integer of %d bits", s, number.bits)
		}
		return fillValue{int: v, uint: uint64(v), float: float64(v)}, nil
	case classUnsigned:
		v, err := strconv.ParseUint(s, 10, number.bits)
		if err != nil {
			return fillValue{}, fmt.Errorf("%q is not an unsigned integer of %d bits", s, number.bits)
		}
		return fillValue{uint: v, int: int64(v), float: float64(v)}, nil
	case classBool:
		v, err := strconv.ParseBool(s)
		if err != nil {
			return fillValue{}, fmt.Errorf("%q is not true or false", s)
		}
		if v {
			return fillValue{uint: 1, int: 1, float: 1}, nil
		}
		return fillValue{}, nil
	default:
		return fillValue{}, fmt.Errorf("%s tensors take no constant", elem)
	}
}

// overflows reports whether a number becomes infinite as an element.
func overflows(v float64, elem models.ElementType) bool {
	if format, ok := halfFormats[elem]; ok {
		return format.Narrow([]uint16{0}, []float64{v}, nil, 0).OutOfRange >= 0
	}
	return elem == models.Float32 && math.IsInf(float64(float32(v)), 0)
}
