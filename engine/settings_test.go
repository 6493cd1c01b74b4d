package engine

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// notRecorded are the options that no manifest has: they say where to look for
// something, or which program runs, and decide no prediction by themselves.
var notRecorded = []string{"ProfileDir", "Library", "Build", "Restart", "ScoreApart", "Stores", "Places", "Piped"}

// someFeatures have numbers that a float64 or JSON does not hold as they are written.
var someFeatures = []feature.Feature{
	{Name: "id_known", Column: "id", Transforms: []feature.Step{
		{Fill: &feature.Scalar{Kind: feature.Number, Number: math.Inf(1), Text: ".inf"}},
		{OneHot: &feature.OneHot{Categories: []feature.Category{{{}, feature.TextOf("12")}, {{Kind: feature.Number, Number: 1 << 53, Text: "9007199254740993"}}}, Unknown: feature.UnknownOther}},
	}},
	{Name: "ratio", Columns: []string{"a", "b"}, Transforms: []feature.Step{{Ratio: &feature.Ratio{}}, {Log1p: &feature.Plain{}}}, Hidden: true},
}

// Every option comes back from a manifest, so that a replay has it. An option
// that is new must be given a value here, and then a place in settings.
func TestOptionsComeBackFromAManifest(t *testing.T) {
	atLeast := feature.NumberOf(1)
	want := Options{
		Model: "/m.onnx", ModelSHA256: "ab", Models: []ModelOptions{{
			Name: "a", Model: "/a.onnx", ModelSHA256: "cd", Features: []string{"a"}, Bind: map[string][]string{"x": {"a"}}, Nulls: map[string]string{"*": "nan"},
			ModelOutputs: []string{"y"}, OutputPrefix: new(string), OutputLayout: LayoutList,
		}, {Name: "b", Model: "/b.onnx", ModelSHA256: "ef", Compare: map[string]string{"y": "z"}}},
		AgreementLimits: AgreementLimits{MaxPSI: new(float64)},
		InputFormat:     "csv",
		Lines: lines.Options{
			Types:      []lines.ColumnType{{Name: "a,=b", Type: arrow.PrimitiveTypes.Int64}, {Name: "c", Type: &arrow.Decimal128Type{Precision: 10, Scale: 2}}},
			NullValues: []string{"NA", "-"}, Delimiter: ";", Header: lines.HeaderNone, Nested: lines.NestedDots,
		},
		Inputs: []string{"data/*.parquet"}, Partitions: "date=date", OnlyNew: true, OnChanged: ChangedScore, Since: time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC), Output: "out", Format: format.ArrowFile, Compression: "zstd", Delimiter: "tab", SpreadsheetSafe: true,
		IDs: []string{"id"}, Keep: []string{"k"}, Where: "a > 1", FeatureSpecs: someFeatures, Features: []string{"a", "b"}, Bind: map[string][]string{"x": {"a", "b"}},
		Nulls: batcher.NullPolicies{
			Default:  batcher.NullPolicy{Action: batcher.NullReject},
			ByColumn: map[string]batcher.NullPolicy{"a": {Action: batcher.NullFill, Value: "nan"}, "b": {Action: batcher.NullNaN}, "c": {Action: batcher.NullFill}},
		},
		Rules: []filter.Rule{{Column: "a", NotNull: true, Range: &filter.Range{Min: &atLeast}}},
		Lossy: batcher.AllowLossy, ModelOutputs: []string{"y"}, OutputPrefix: "pred_", Layout: LayoutColumns,
		PartitionBy: []string{"k"}, TargetFileBytes: 1<<60 + 2,
		Provider: ort.CUDA, Kernels: KernelsONNXRuntime, BatchRows: 512, Workers: 3, Readers: 2,
		PartRows:       math.MaxInt64, // of a single file, which no float64 holds
		IntraOpThreads: 2, Devices: []int{1, 0}, Streams: 5, ProviderReason: "it is there", TF32: true, DeviceMemory: 1<<60 + 1, AllowCPUNodes: true, EngineCache: "/c",
		MemoryLimit: 1<<60 + 3, IfExists: ledger.IfExistsReplace, MaxRejects: 7, MaxRejectPercent: 2.5, OnBadRow: BadNull,
		Finite: batcher.FinitePolicy{All: true, Columns: []string{"a"}}, RefuseNaN: true,
		Digest:  DigestXXH3,
		Unique:  unique.Spec{Columns: []string{"id"}, On: unique.OnReject, Mode: unique.Exact},
		JobFile: JobFile{Path: "job.yaml", SHA256: "cd", Parameters: map[string]string{"date": "2026-11-22"}, Fitted: []FittedFile{{Path: "f.json", SHA256: "ef"}}},
	}
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() != slices.Contains(notRecorded, name) {
			t.Errorf("Options.%s: give it a value here, and a place in settings", name)
		}
	}
	one, several := want, want
	one.Models, several.Model, several.ModelSHA256 = nil, "", ""
	for _, want := range []Options{one, several} {
		plan := &Plan{Options: want, limit: want.MemoryLimit, choice: &Choice{BatchRows: 512}, digested: &DigestChoice{Asked: want.Digest}}
		got, err := OptionsOf(throughJSON(t, plan.Settings()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Places{})); diff != "" {
			t.Errorf("options after a round trip through a manifest (-want +got):\n%s", diff)
		}
	}
}

// Without a limit the run must not get that of the machine that replays.
func TestOptionsOfARunWithoutMemoryLimit(t *testing.T) {
	got, err := OptionsOf(throughJSON(t, (&Plan{}).Settings()))
	if err != nil || got.MemoryLimit != NoMemoryLimit {
		t.Errorf("OptionsOf() = memory limit %d, %v; want %d", got.MemoryLimit, err, NoMemoryLimit)
	}
}

func TestOptionsOfRefuses(t *testing.T) {
	for name, settings := range map[string]map[string]any{
		"a setting of a later version": {"shuffle": true},
		"a setting of another type":    {"batch_size": "all"},
	} {
		_, err := OptionsOf(&ledger.Manifest{Run: "r", Versions: ledger.Versions{Millrace: "9.9"}, Settings: settings})
		if !errors.Is(err, ledger.ErrManifest) || !strings.Contains(err.Error(), "millrace 9.9") {
			t.Errorf("%s: OptionsOf() = %v; want ErrManifest that names the version", name, err)
		}
	}
}

// throughJSON is the manifest of settings, written and read.
func throughJSON(t *testing.T, settings map[string]any) *ledger.Manifest {
	t.Helper()
	m := &ledger.Manifest{Model: ledger.ModelFile{Path: "/m.onnx", SHA256: "ab"}, Settings: settings, Models: []ledger.NamedModel{
		{Name: "a", ModelFile: ledger.ModelFile{Path: "/a.onnx", SHA256: "cd"}}, {Name: "b", ModelFile: ledger.ModelFile{Path: "/b.onnx", SHA256: "ef"}},
	}}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err = ledger.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
