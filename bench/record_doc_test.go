package bench

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The document of the records names every field, and no stage or kind is missing.
func TestRecordsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "records.md"))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(of reflect.Type)
	walk = func(of reflect.Type) {
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of.PkgPath() != reflect.TypeFor[Record]().PkgPath() {
			return
		}
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(string(text), "`"+name+"`") && !strings.Contains(string(text), "## "+name+":") {
				t.Errorf("docs/records.md does not name %s.%s, `%s`", of.Name(), field.Name, name)
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[Record]())
	for _, stage := range append([]Stage{StageEndToEnd, StageInferExported}, Stages...) {
		if !strings.Contains(string(text), "`"+string(stage)+"`") {
			t.Errorf("docs/records.md does not name the stage %s", stage)
		}
	}
}
