package embedded

import "fmt"

// ManifestPlace names the row that has it.
func (d Destination) ManifestPlace(output, run string) string { return d.place(output, "run", run) }

// RejectsPlace names the rows.
func (d Destination) RejectsPlace(output, run string) string { return d.place(output, "reject", run) }

func (d Destination) place(output, name, run string) string {
	t, err := parse(d.Dialect, output)
	if err != nil {
		return "" // of what Check took there is none
	}
	return fmt.Sprintf("%s, where run = '%s'", t.own(d.Dialect, name), run)
}
