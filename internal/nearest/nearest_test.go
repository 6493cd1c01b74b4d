package nearest

import "testing"

func TestName(t *testing.T) {
	columns := []string{"dep_delay", "arr_delay", "distance", "Carrier"}
	tests := []struct{ why, name, want string }{
		{"a letter more", "dep_delayy", "dep_delay"},
		{"case aside", "CARRIER", "Carrier"},
		{"two of nine", "ar_dely", "arr_delay"},
		{"a third is the most", "xyz_delay", "dep_delay"},
		{"nothing near", "temperature", ""},
		{"no name", "", ""},
	}
	for _, test := range tests {
		if got := Name(test.name, columns); got != test.want {
			t.Errorf("%s: Name(%q) = %q; want %q", test.why, test.name, got, test.want)
		}
	}
}
