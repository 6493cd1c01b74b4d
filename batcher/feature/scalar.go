package feature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Scalar is one value as a job file writes it.
type Scalar struct {
	Kind Kind
	// Text is the text of a Text, and a Number as it was written.
	Text   string
	Number float64 // of a Number; 1 or 0 of a Bool
}

// Kind is the kind of a Scalar.
type Kind int

// The kinds.
const (
	Null Kind = iota
	Bool
	Number
	Text
)

// NumberOf is the scalar of a number.
func NumberOf(v float64) Scalar {
	return Scalar{Kind: Number, Number: v, Text: strconv.FormatFloat(v, 'g', -1, 64)}
}

// TextOf is the scalar of a text.
func TextOf(s string) Scalar { return Scalar{Kind: Text, Text: s} }

// BoolOf is the scalar of a truth value.
func BoolOf(b bool) Scalar {
	if b {
		return Scalar{Kind: Bool, Number: 1, Text: "true"}
	}
	return Scalar{Kind: Bool, Text: "false"}
}

// ParseNumber reads a number as YAML writes it: .nan and .inf too. An integer keeps
// all its digits in Text.
func ParseNumber(s string) (Scalar, error) {
	v, err := strconv.ParseFloat(s, 64)
	switch s {
	case ".nan", ".NaN", ".NAN":
		v, err = math.NaN(), nil
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		v, err = math.Inf(1), nil
	case "-.inf", "-.Inf", "-.INF":
		v, err = math.Inf(-1), nil
	}
	if err != nil {
		return Scalar{}, fmt.Errorf("%q is not a number", s)
	}
	return Scalar{Kind: Number, Number: v, Text: s}, nil
}

// String writes the scalar for people.
func (s Scalar) String() string {
	switch s.Kind {
	case Null:
		return "null"
	case Text:
		return strconv.Quote(s.Text)
	default:
		return s.Text
	}
}

// MarshalJSON writes a number with the digits that it was read with. One that JSON
// has no way to write becomes {"number": ".nan"}, with YAML's word for it.
func (s Scalar) MarshalJSON() ([]byte, error) {
	switch s.Kind {
	case Null:
		return []byte("null"), nil
	case Bool:
		return strconv.AppendBool(nil, s.Number != 0), nil
	case Number:
		if json.Valid([]byte(s.Text)) {
			return []byte(s.Text), nil
		}
		switch {
		case math.IsNaN(s.Number):
			return []byte(`{"number":".nan"}`), nil
		case math.IsInf(s.Number, 1):
			return []byte(`{"number":".inf"}`), nil
		case math.IsInf(s.Number, -1):
			return []byte(`{"number":"-.inf"}`), nil
		}
		return strconv.AppendFloat(nil, s.Number, 'g', -1, 64), nil
	default:
		return json.Marshal(s.Text)
	}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Scalar) UnmarshalJSON(data []byte) error {
	switch data = bytes.TrimSpace(data); {
	case string(data) == "null":
		*s = Scalar{}
	case string(data) == "true":
		*s = BoolOf(true)
	case string(data) == "false":
		*s = BoolOf(false)
	case len(data) > 0 && data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*s = TextOf(text)
	case len(data) > 0 && data[0] == '{':
		var special struct {
			Number string `json:"number"`
		}
		if err := json.Unmarshal(data, &special); err != nil {
			return err
		}
		v, err := ParseNumber(special.Number)
		if err != nil {
			return err
		}
		*s = v
	default:
		v, err := ParseNumber(string(data))
		if err != nil {
			return err
		}
		*s = v
	}
	return nil
}
