package runpage

import "testing"

// Differences of counts are whole numbers, and others have the digits that tell.
func TestChange(t *testing.T) {
	for _, c := range []struct {
		before, now float64
		want        string
	}{{100, 151, "+51"}, {151, 100, "−51"}, {7, 7, "0"}, {0.5, 0.625, "+0.12"}, {1000.5, 3002, "+2,002"}, {1, 1.5, "+0.50"}} {
		if got := change(c.before, c.now); got != c.want {
			t.Errorf("change(%v, %v) = %q; want %q", c.before, c.now, got, c.want)
		}
	}
}
