package models

import "testing"

// A sum of columns has no kernel without fused multiply-add, where a sum of rows has one.
func TestTakesColumns(t *testing.T) {
	for _, c := range []struct {
		operator  string
		fma, want bool
	}{
		{"Linear", true, true},
		{"Linear", false, false},
		{"Dense", false, false},
		{"TreesRegressor", false, true},
		{"TreesClassifierString", true, true},
		{"Affine", true, false},
	} {
		if got := takesColumns(c.operator, c.fma); got != c.want {
			t.Errorf("takesColumns(%q, %t) = %t; want %t", c.operator, c.fma, got, c.want)
		}
	}
}
