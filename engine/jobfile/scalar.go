package jobfile

import (
	"math/big"
	"regexp"
	"strings"
)

// The numbers of YAML 1.2's core schema (yaml.org/spec/1.2.2, 10.3.2). What is none
// of them, nor null nor a boolean, is a text: no, on, 1_000 and 2026-11-22 are.
var (
	decimalInteger = regexp.MustCompile(`^[-+]?[0-9]+$`)
	otherInteger   = regexp.MustCompile(`^(0o[0-7]+|0x[0-9a-fA-F]+)$`)
	floatNumber    = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	specialNumber  = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// maxNumberBytes bounds the digits of a number.
const maxNumberBytes = 400

// resolvePlain says what a scalar without quotes is. The text of a number is as it
// stands; that of an integer in hexadecimal or octal digits is decimal.
func resolvePlain(text string) (kind, string) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nullNode, "null"
	case "true", "True", "TRUE":
		return boolNode, "true"
	case "false", "False", "FALSE":
		return boolNode, "false"
	}
	if len(text) > maxNumberBytes {
		return textNode, text
	}
	switch {
	case decimalInteger.MatchString(text), floatNumber.MatchString(text), specialNumber.MatchString(text):
		return numberNode, text
	case otherInteger.MatchString(text):
		n, ok := new(big.Int).SetString(text, 0)
		if !ok {
			return textNode, text
		}
		return numberNode, n.String()
	default:
		return textNode, text
	}
}

// wholeNumber are the forms of numbers that wholeDigits looks at: those of an exponent of more
// digits are none that a file means, and take memory.
var wholeNumber = regexp.MustCompile(`^[-+]?[0-9.]+([eE][-+]?[0-9]{1,3})?$`)

// wholeDigits are the digits of a number that is whole, however it is written: JSON Schema takes
// 4096.0 for an integer, and programs that fill in templates write 1e+06.
func wholeDigits(text string) (digits string, ok bool) {
	if digits, ok = integerDigits(text); ok || !wholeNumber.MatchString(text) {
		return digits, ok
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || !r.IsInt() {
		return "", false
	}
	return r.Num().String(), true
}

// integerDigits are the digits of a number that is written as an integer, without
// leading zeros and a plus; ok is false for another.
func integerDigits(text string) (digits string, ok bool) {
	if !decimalInteger.MatchString(text) {
		return "", false
	}
	sign := ""
	switch text[0] {
	case '-':
		sign, text = "-", text[1:]
	case '+':
		text = text[1:]
	}
	text = strings.TrimLeft(text, "0")
	if text == "" {
		return "0", true
	}
	return sign + text, true
}
