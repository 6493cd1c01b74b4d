package jobfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine"
)

// Job is what a job file can say; each field's tags say how (see decoder). What is
// missing is left to flags, variables and defaults.
type Job struct {
	Parameters map[string]Parameter `json:"parameters,omitempty" doc:"values that --set NAME=VALUE gives when a run is started; ${name} stands for one. Without this key every ${name} is a text that must be given"`

	Model       string            `json:"model,omitempty" flag:"-" expand:"path" doc:"the model: path or URI of an .onnx file"`
	ModelSHA256 string            `json:"model_sha256,omitempty" flag:"-" pattern:"^[0-9a-fA-F]{64}$" form:"64 hexadecimal digits" expand:"text" doc:"any model file with another SHA-256 is refused"`
	Models      []ModelEntry      `json:"models,omitempty" doc:"in place of model, several models that score the same rows in one pass; the others are compared with the first"`
	Input       OneOrMore         `json:"input,omitempty" alike:"inputs,data,dataset" expand:"path" doc:"a file, directory or glob of Parquet, Arrow, CSV or JSON Lines files, or a list of them, read in that order; - is standard input, an Arrow IPC stream"`
	Query       string            `json:"query,omitempty" alike:"sql" expand:"query" doc:"what is read of the database that input names: one statement that gives rows, with an ORDER BY (docs/queries.md); a parameter in it is a literal"`
	Unordered   bool              `json:"unordered,omitempty" doc:"let a query or a table be read in whatever order the database gives"`
	Partitions  Partitions        `json:"partitions,omitempty" doc:"columns made of the KEY=VALUE folders in the input's paths: auto, the default; none; or these alone, with their types"`
	InputFormat string            `json:"input_format,omitempty" values:"auto,csv,jsonl" doc:"format of all inputs: csv; jsonl; or auto, the default: what their first bytes and names say"`
	Types       map[string]string `json:"types,omitempty" doc:"types of columns of CSV and JSON Lines, such as int64, float32, string, date, timestamp[us, UTC] or decimal(10, 2); those of others are inferred"`
	NullValues  OneOrMore         `json:"null_values,omitempty" doc:"texts that stand for no value in CSV and JSON Lines, besides an empty field without quotes"`
	Delimiter   string            `json:"delimiter,omitempty" doc:"what stands between the fields of CSV input: one character, or tab; default: a comma, and tab in files named .tsv"`
	Header      string            `json:"header,omitempty" values:"auto,first,none" doc:"where the names of CSV's columns are: auto, the default, and first: the first line, which auto refuses where it is of numbers alone; or none: they are f0, f1, ..."`
	Encoding    string            `json:"encoding,omitempty" doc:"encoding of CSV and JSON Lines: utf-8, the default; utf-16, utf-16le, utf-16be, latin-1, or a page of one byte a character such as windows-1252"`
	Quote       string            `json:"quote,omitempty" doc:"what stands around fields of CSV input: one character, or none; default: a double quote"`
	Comment     string            `json:"comment,omitempty" doc:"the character with which lines of CSV input begin that are none of its rows, such as \"#\"; default: no line is such"`
	SkipLines   int               `json:"skip_lines,omitempty" min:"0" doc:"lines at the beginning of each CSV file to pass over, before its header"`
	ColumnNames OneOrMore         `json:"column_names,omitempty" doc:"names of the columns of CSV files without a header line, or with header first in place of it"`
	Decimal     string            `json:"decimal_separator,omitempty" alike:"decimal" pattern:"^[.,]$" form:". or ," doc:"what stands before the fraction of numbers in CSV: a point, the default, or a comma"`
	Thousands   string            `json:"thousands_separator,omitempty" alike:"thousands" doc:"what stands between groups of three digits of numbers in CSV: one of . , ' _ or space; default: nothing"`
	TrueValues  OneOrMore         `json:"true_values,omitempty" doc:"texts of CSV that are true, besides true and 1"`
	FalseValues OneOrMore         `json:"false_values,omitempty" doc:"texts of CSV that are false, besides false and 0"`
	DateFormat  string            `json:"date_format,omitempty" doc:"how dates in CSV and JSON Lines are written, by strptime's letters, such as \"%d.%m.%Y\"; default: ISO 8601"`
	TimeFormat  string            `json:"timestamp_format,omitempty" doc:"how times in CSV and JSON Lines are written, by strptime's letters, such as \"%d.%m.%Y %H:%M:%S\"; default: ISO 8601"`
	Nested      string            `json:"nested,omitempty" values:"refuse,dots" doc:"objects within the objects of JSON Lines: refuse, the default; or dots, and their members are columns such as a.b"`
	Where       string            `json:"where,omitempty" alike:"filter,filters" expand:"expression" doc:"an expression on the input's columns, such as dep_delay != nil && distance > 0; rows for which it is not true are left out and counted as filtered (docs/filters.md)"`
	Rules       []filter.Rule     `json:"rules,omitempty" doc:"what the values of columns must be; a row that breaks one is bad"`
	Unique      Unique            `json:"unique,omitzero" doc:"columns whose values, taken together, only one row may have; all others but the first are duplicates"`
	Output      string            `json:"output,omitempty" expand:"path" doc:"where predictions go: a directory, or one file that ends in .parquet, .arrow, .csv or .jsonl, the last two with .gz or .zst if need be; or -, an Arrow IPC stream on standard output"`
	Endpoint    string            `json:"endpoint,omitempty" expand:"text" pattern:"^https?://[^/?@# ]+(/[^?@# ]*)?$" form:"a URL such as https://minio.example:9000, without credentials" doc:"URL of a server that speaks as an object store does, for all s3://, gs:// and az:// URIs; default: the store's own"`
	Rejects     string            `json:"rejects,omitempty" expand:"folder" doc:"with output \"-\", the Parquet file that rejected rows go to, or none to drop them"`
	Manifest    string            `json:"manifest,omitempty" expand:"path" doc:"with output \"-\", the file that the run's manifest goes to"`
	OnlyNew     bool              `json:"only_new,omitempty" doc:"leave out files that a published run of output has read"`
	OnChanged   string            `json:"on_changed,omitempty" values:"fail,skip,score" doc:"what becomes of a file that a run has read and that is another since, with only_new: fail, the default; skip; or score, as if it were new"`
	Since       string            `json:"since,omitempty" doc:"leave out files from before a time: a date, a timestamp, or how long ago, such as 36h or 7d"`
	IfExists    string            `json:"if_exists,omitempty" values:"error,replace,append,upsert" doc:"what to do when the output exists: error, the default; replace it; append to it; or, in a table, upsert: replace the rows of the same ids"`

	IDs  OneOrMore `json:"ids,omitempty" doc:"columns that identify a row; they come first in the output, and in rejects"`
	Keep OneOrMore `json:"keep,omitempty" doc:"columns to pass through to the output"`

	Features        []FeatureEntry       `json:"features,omitempty" doc:"what the model's one [N,F] input, or bind, is made of, in order: names of columns, features, and fitted files"`
	Bind            map[string]OneOrMore `json:"bind,omitempty" doc:"by model input, the columns or features that it is made of; default: the one of the input's name"`
	Nulls           Nulls                `json:"nulls,omitzero" doc:"what a null becomes: error, the default; nan; reject; or a constant. For all columns, or by column, with \"*\" for all others"`
	Finite          OneOrMore            `json:"finite,omitempty" doc:"columns or features of the model in which a NaN or an infinity makes a bad row, or all"`
	AllowLossyCasts bool                 `json:"allow_lossy_casts,omitempty" doc:"let casts round, such as float64 to float32, and count rounded values"`

	ModelOutputs    OneOrMore `json:"model_outputs,omitempty" doc:"the model's outputs to write; default: all"`
	OutputPrefix    string    `json:"output_prefix,omitempty" expand:"text" doc:"what is put before the name of each prediction column"`
	OutputLayout    string    `json:"output_layout,omitempty" values:"auto,list,columns" doc:"several values a row as list, one column of lists; columns, one each; or auto, the default: columns for class scores"`
	OutputFormat    string    `json:"output_format,omitempty" alike:"format" values:"parquet,arrow,csv,jsonl" doc:"parquet, arrow, csv or jsonl; default: by the output's ending, else parquet"`
	Compression     string    `json:"compression,omitempty" values:"zstd,snappy,gzip,lz4,none" doc:"zstd, for Parquet the default where it pays; snappy; gzip; lz4; or none. CSV and JSON Lines have gzip and zstd; default: by the output's ending"`
	OutputDelimiter string    `json:"output_delimiter,omitempty" pattern:"^(,|;|\\||tab)$" form:", ; | or tab" doc:"what stands between fields of CSV output: , ; | or tab; default: a comma, and a tab where the output ends in .tsv"`
	SpreadsheetSafe bool      `json:"spreadsheet_safe,omitempty" doc:"put an apostrophe before texts in CSV output that a spreadsheet would take for a formula; numbers stay numbers"`
	PartitionBy     OneOrMore `json:"partition_by,omitempty" doc:"columns of ids or keep whose values name the output's folders, such as date=2026-11-22/, in place of standing in the files"`
	TargetFileSize  Setting   `json:"target_file_size,omitempty" min:"1" pattern:"^[0-9]+(\\.[0-9]+)? ?([kKMGTP]i?)?B?$" form:"a size such as 256MiB" doc:"about how large an output file becomes at most, in bytes or with a unit; default: one file for each part, and for each folder of it"`
	PartRows        int64     `json:"part_rows,omitempty" min:"1" doc:"least rows of an output part file; default 1048576"`

	OnBadRow        string `json:"on_bad_row,omitempty" alike:"on_bad_rows,on_error" values:"fail,null,reject" doc:"what becomes of a row that cannot be scored: fail, the default, and the run does; null, and its predictions are; or reject, and it is left out"`
	RefuseNaNOutput bool   `json:"refuse_nan_output,omitempty" doc:"a NaN in the model's output makes a bad row"`
	Limits          Limits `json:"limits,omitzero" doc:"what a run must not exceed"`
	Digest          string `json:"digest,omitempty" values:"auto,sha256,xxh3,size-mtime" doc:"what the manifest proves inputs by: sha256; xxh3; size-mtime; or auto, the default: the strongest that takes at most 3% of the run"`

	Provider       string  `json:"provider,omitempty" pattern:"^(cpu|auto|(cuda|tensorrt)(:[0-9]+(,[0-9]+)*)?)$" form:"cpu, auto, cuda or tensorrt, the last two with :DEVICE,... if need be" doc:"execution provider: cpu, the default; cuda or tensorrt, with :DEVICE,... if need be; or auto"`
	Kernels        string  `json:"kernels,omitempty" values:"auto,onnxruntime" doc:"whose kernels compute: auto, the default, or onnxruntime"`
	Streams        int     `json:"streams,omitempty" min:"1" doc:"Runs in flight on each device; default 4"`
	AllowCPUNodes  bool    `json:"allow_cpu_nodes,omitempty" doc:"let nodes that the device has no kernel for run on the CPU"`
	TF32           bool    `json:"tf32,omitempty" doc:"let matrix products on devices round to TF32"`
	EngineCache    string  `json:"engine_cache,omitempty" expand:"folder" doc:"folder in which the provider tensorrt keeps what it has compiled, or none"`
	BatchSize      Setting `json:"batch_size,omitempty" min:"1" pattern:"^(auto|[1-9][0-9]*)$" form:"a number of rows, or auto" doc:"rows of one Run, or auto, the default"`
	Workers        int     `json:"workers,omitempty" min:"1" doc:"how many goroutines read, assemble and score; default: the cores that the cgroup grants"`
	Readers        int     `json:"readers,omitempty" min:"1" doc:"spans decoded at a time; default: like workers"`
	IntraOpThreads int     `json:"intra_op_threads,omitempty" min:"1" doc:"threads within one Run; default 1"`
	Grace          string  `json:"grace,omitempty" pattern:"^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$" form:"a time, such as 20s" doc:"most time to finish parts that are begun when the run is asked to stop; default 20s"`
	Report         string  `json:"report,omitempty" expand:"path" doc:"write a page of the run for people to this .html file, beside the output"`
	ReportExamples bool    `json:"report_examples,omitempty" doc:"false: no rejected rows on that page, not even their ids; default true"`
	ProfileDir     string  `json:"profile_dir,omitempty" expand:"folder" doc:"folder of tuned profiles, or none"`

	// Specs are the features of Features, those of fitted files too; nil where it
	// only names columns, which Names are then.
	Specs []feature.Feature `json:"-"`
	Names []string          `json:"-"`
	// Record is for the manifest.
	Record engine.JobFile `json:"-"`

	origins *origins
	file    *source
}

// Limits are what a run must not exceed.
type Limits struct {
	MaxBadRows   Setting `json:"max_bad_rows,omitempty" flag:"max-bad-rows" min:"0" pattern:"^([0-9]+|[0-9]+(\\.[0-9]+)?%)$" form:"a number of rows, or a share such as 0.1%" doc:"most rows that may be rejected or null, or a share of the input's rows, such as 0.1%; above it nothing is published"`
	Memory       Setting `json:"memory,omitempty" flag:"memory-limit" min:"1" pattern:"^(auto|none|[0-9]+(\\.[0-9]+)? ?([kKMGTP]i?)?B?)$" form:"a size such as 2GiB, none or auto" doc:"most memory that the run may take, in bytes or with a unit, such as 2GiB; none; or auto, the default: the cgroup's limit less 10%"`
	DeviceMemory Setting `json:"device_memory,omitempty" flag:"device-memory" min:"1" pattern:"^[0-9]+(\\.[0-9]+)? ?([kKMGTP]i?)?B?$" form:"a size such as 2GiB" doc:"most memory that the run may take of each device"`

	Agreement engine.AgreementLimits `json:"agreement,omitzero" flag:"agreement-limit" doc:"how far predictions of other models may be from the first's; beyond it nothing is published"`
}

// Given is what a job file is read with.
type Given struct {
	// Parameters are those of --set, as texts.
	Parameters map[string]string
	// LookupEnv gives variables of the environment.
	LookupEnv func(string) (string, bool)
	// ReadFile reads a fitted file of at most so many bytes.
	ReadFile func(path string, most int64) ([]byte, error)
}

// Read reads the job file at path. Its error wraps ErrJob and has all problems.
func Read(path string, parameters map[string]string) (*Job, error) {
	if scheme, _, ok := strings.Cut(path, "://"); ok {
		return nil, fmt.Errorf("%w: it is read from a path of this machine, and not from %s://; a shell's <(aws s3 cp URI -) is such a path", ErrJob, scheme)
	}
	text, err := readFile(path, maxSourceBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJob, err)
	}
	return Decode(path, text, Given{Parameters: parameters, LookupEnv: os.LookupEnv, ReadFile: readFile})
}

// readFile reads a whole file of at most so many bytes. A pipe may be one: the shell's
// <(...) makes some.
func readFile(path string, most int64) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("%s has more than %d KiB", path, most>>10)
	}
	return text, nil
}

// Decode reads the text of a job file that lies at path; relative paths in it are from
// its folder.
func Decode(path string, text []byte, given Given) (*Job, error) {
	s := newSource(path, text)
	root := parseYAML(s, text)
	if root == nil {
		return nil, problemsOf(path, s)
	}
	if root.kind == nullNode {
		root.kind = mapNode // all comments
	}
	d := &decoder{source: s, origins: newOrigins(), vars: &variables{dir: filepath.Dir(path), lookup: given.LookupEnv, used: map[string]bool{}}}
	d.parameters(root, given.Parameters)
	job := &Job{origins: d.origins, file: s}
	d.value(root, reflect.ValueOf(job).Elem(), tags{name: "a job file"})
	d.checkModels(root)
	fitted := job.include(d, given)
	d.unusedParameters(root, given.Parameters)
	if err := problemsOf(path, append([]*source{s}, fitted...)...); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	job.Record.Path, job.Record.SHA256 = path, hex.EncodeToString(digest[:])
	job.Record.Parameters = d.vars.texts()
	return job, nil
}

// Problem is what is wrong with the value of a key, by its path.
type Problem struct {
	Path string
	Err  error
}

// Problems is an error about values; nil for none.
func (j *Job) Problems(found []Problem) error {
	s := &source{file: j.file.file, lines: j.file.lines}
	for _, p := range found {
		s.bad(j.origins.places[p.Path], "%s: %v", p.Path, p.Err)
	}
	return problemsOf(s.file, s)
}

// FlagSetting is one scalar of a job as its flag takes it.
type FlagSetting struct{ Path, Flag, Text string }

// FlagSettings are the job's scalars that flags can say, in order. Lists are not among
// them, since a name in a list may have a comma, nor is the model, whose path may have
// the form of several models' flags.
func (j *Job) FlagSettings() []FlagSetting {
	var all []FlagSetting
	v := reflect.ValueOf(*j)
	for _, f := range fieldsOf(v.Type()) {
		all = j.flagSettings(all, v.FieldByIndex(f.index), f, f.key)
	}
	return all
}

func (j *Job) flagSettings(all []FlagSetting, v reflect.Value, f tags, path string) []FlagSetting {
	var text string
	switch v.Kind() {
	case reflect.Struct:
		for _, inner := range fieldsOf(v.Type()) {
			all = j.flagSettings(all, v.FieldByIndex(inner.index), inner, path+"."+inner.key)
		}
		return all
	case reflect.String:
		text = v.String()
	case reflect.Bool, reflect.Int, reflect.Int64:
		text = fmt.Sprint(v.Interface())
	default:
		return all
	}
	if _, given := j.origins.places[path]; !given || f.flag == noFlag {
		return all
	}
	return append(all, FlagSetting{Path: path, Flag: f.flagName(), Text: text})
}

// noFlag is the tag of a key whose flag has another form.
const noFlag = "-"

// flagName is the flag that says the same as a key.
func (f *tags) flagName() string {
	if f.flag != "" {
		return f.flag
	}
	return strings.ReplaceAll(f.key, "_", "-")
}
