package runpage

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/page"
)

// setting reads one of the settings that a manifest has; it is the zero value where that
// has none of the name, or another kind of it.
func setting[T any](m *ledger.Manifest, name string) T {
	var value, none T
	text, err := json.Marshal(m.Settings[name])
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		return none
	}
	return value
}

// toldElsewhere are settings that the page tells in words.
var toldElsewhere = []string{"agreement", "duplicates", "rewrite_check"}

// settingRunes bounds a setting's text: the manifest has all of it.
const settingRunes = 400

// settingRows lists the settings that say something.
func settingRows(m *ledger.Manifest) []page.Fact {
	var rows []page.Fact
	for _, name := range slices.Sorted(maps.Keys(m.Settings)) {
		text, err := json.Marshal(m.Settings[name])
		if err != nil || slices.Contains(toldElsewhere, name) {
			continue
		}
		value := string(text)
		switch value {
		case "null", `""`, "[]", "{}", "false", "0":
			continue
		}
		var word string
		if json.Unmarshal(text, &word) == nil {
			value = word
		}
		rows = append(rows, page.Fact{Name: page.Plain(name), Cells: []string{page.PlainTo(value, settingRunes)}})
	}
	return rows
}
