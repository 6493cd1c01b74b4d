package runpage

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/internal/page"
)

// filesView is a table of files; Folded where they are many.
type filesView struct {
	Say    string
	Below  string // the folder that all names are below; empty for none
	Rows   []fileRow
	Folded bool
	More   string // what is not listed
}

type fileRow struct{ Name, Address, Rows, Rejected, Filtered, Bytes, Digest string }

// Bounds on the files that are listed: the manifest has all.
const (
	listedFiles = 100
	foldedFiles = 12
	nameRunes   = 160
)

func newOutputsView(a *Account, folder string) *filesView {
	m := a.Manifest
	v := &filesView{Folded: len(m.Outputs) > foldedFiles}
	var bytes int64
	for i, o := range m.Outputs {
		bytes += o.Bytes
		if i < listedFiles {
			v.Rows = append(v.Rows, fileRow{
				Name: page.PlainTo(o.Name, nameRunes), Address: a.link(o.Name, folder),
				Rows: humanize.Comma(o.Rows), Bytes: humanize.IBytes(uint64(max(o.Bytes, 0))), Digest: short(o.SHA256),
			})
		}
	}
	v.Say = fmt.Sprintf("%s, %s.", rowsText(int64(len(m.Outputs)), "file"), humanize.IBytes(uint64(max(bytes, 0))))
	if len(m.PartitionBy) > 0 {
		v.Say += " Folders are named by " + plainList(m.PartitionBy) + "."
	}
	if more := len(m.Outputs) - listedFiles; more > 0 {
		v.More = rowsText(int64(more), "more file")
	}
	return v
}

// newInputsView lists the files that were read; of many, those with the most rejected rows
// first.
func newInputsView(a *Account) *filesView {
	m := a.Manifest
	v := &filesView{Folded: len(m.Inputs) > foldedFiles}
	files := slices.Clone(m.Inputs)
	var bytes, rows int64
	paths := make([]string, 0, len(files))
	for i := range files {
		bytes, rows, paths = bytes+files[i].Bytes, rows+files[i].Rows, append(paths, files[i].Path)
	}
	v.Say = fmt.Sprintf("%s of %s, %s.", rowsText(int64(len(files)), "file"), rowsText(rows, "row"), humanize.IBytes(uint64(max(bytes, 0))))
	if more := len(files) - listedFiles; more > 0 {
		slices.SortStableFunc(files, func(a, b ledger.Input) int { return cmp.Compare(b.Ledger.Rejected, a.Ledger.Rejected) })
		v.More = rowsText(int64(more), "more file")
		files = files[:listedFiles]
	}
	folder := commonFolder(paths)
	if folder != "" {
		v.Below = page.PlainTo(folder, nameRunes)
	}
	for i := range files {
		f := &files[i]
		digest := page.Unknown
		if algorithm, hex, ok := strings.Cut(f.Digest, ":"); ok {
			digest = page.Plain(algorithm) + " " + short(hex)
		}
		row := fileRow{
			Name: page.PlainTo(strings.TrimPrefix(f.Path, folder), nameRunes), Rows: humanize.Comma(f.Ledger.Read),
			Rejected: humanize.Comma(f.Ledger.Rejected), Filtered: humanize.Comma(f.Ledger.Filtered),
			Bytes: humanize.IBytes(uint64(max(f.Bytes, 0))), Digest: digest,
		}
		if a.Failure != "" { // accounts of files are made up by publishing
			row.Rows, row.Rejected, row.Filtered = humanize.Comma(f.Rows), page.Unknown, page.Unknown
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

// commonFolder is the folder that all paths lie below, with its slash.
func commonFolder(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	folder := paths[0][:strings.LastIndexByte(paths[0], '/')+1]
	for _, p := range paths {
		for !strings.HasPrefix(p, folder) {
			folder = folder[:strings.LastIndexByte(strings.TrimSuffix(folder, "/"), '/')+1]
		}
	}
	return folder
}

// links are the run's own files, as seen from the page's folder.
func (a *Account) links(folder string) []link {
	var out []link
	for _, name := range []string{"manifest.json", "manifest.sha256"} {
		if path := a.sideFile(name); path != "" && stands(path) {
			out = append(out, link{name, address(path, folder)})
		}
	}
	switch {
	case a.RejectsPath == "":
	case stands(a.RejectsPath):
		out = append(out, link{filepath.Base(a.RejectsPath), address(a.RejectsPath, folder)})
	default:
		out = append(out, link{page.PlainTo(a.RejectsPath, nameRunes), ""})
	}
	if _, elsewhere := sink.Scheme(a.output); elsewhere && a.SHA256 != "" {
		out = append(out, link{page.PlainTo(engine.ManifestPlace(a.output, a.Manifest.Run), nameRunes), ""})
	}
	return out
}

// proof are the facts of who, with what and by which versions.
func (a *Account) proof() []page.Fact {
	m := a.Manifest
	var facts []page.Fact
	add := func(name string, cells ...string) {
		if text := strings.Join(cells, ""); text != "" {
			facts = append(facts, page.Fact{Name: name, Cells: []string{text}})
		}
	}
	add("run", page.Plain(m.Run))
	if m.Parent != nil {
		add("run before", page.Plain(m.Parent.Run)+", its manifest's sha256 "+page.Plain(m.Parent.SHA256))
	}
	add("published", modeText(m.Mode))
	add("started", moment(m.Started))
	add("finished", moment(m.Finished))
	if m.By.User != "" {
		add("by", page.Plain(m.By.User), " on ", page.Plain(m.By.Host))
	}
	add("scheduler", page.PlainTo(strings.Join(m.By.Scheduler, ", "), 200))
	if len(m.Models) == 0 {
		add("model", page.PlainTo(m.Model.Path, nameRunes))
		addModel(add, "model ", &m.Model)
	}
	for i := range m.Models {
		name := page.Plain(m.Models[i].Name)
		add("model "+name, page.PlainTo(m.Models[i].Path, nameRunes))
		addModel(add, name+" ", &m.Models[i].ModelFile)
	}
	for _, r := range setting[[]string](m, "model_rewrites") {
		add("as run", page.PlainTo(r, 200))
	}
	add("manifest sha256", page.Plain(a.SHA256))
	add("job digest", page.Plain(m.Job))
	add("millrace", page.Plain(strings.TrimSpace(m.Versions.Millrace+" "+m.Versions.Commit)))
	add("ONNX Runtime", page.Plain(m.Versions.ORT))
	add("Arrow", page.Plain(m.Versions.Arrow))
	add("Go", page.Plain(m.Versions.Go))
	add("CUDA of the driver", page.Plain(m.Versions.Driver))
	add("TensorRT", page.Plain(m.Versions.TensorRT))
	if m.Machine.CPU != "" {
		add("machine", page.Plain(m.Machine.CPU), ", ", rowsText(int64(m.Machine.Cores), "core"))
	}
	add("GPUs", page.PlainTo(strings.Join(m.Machine.GPUs, ", "), 200))
	return facts
}

func addModel(add func(string, ...string), prefix string, f *ledger.ModelFile) {
	add(prefix+"sha256", page.Plain(f.SHA256))
	if f.Version != 0 {
		add(prefix+"version", strconv.FormatInt(f.Version, 10))
	}
	add(prefix+"made by", page.Plain(f.Producer))
}

func modeText(mode ledger.Mode) string {
	switch mode {
	case ledger.ModeFresh:
		return "fresh: nothing was there"
	case ledger.ModeReplace:
		return "in place of the output of the run before"
	case ledger.ModeAppend:
		return "beside the files of the run before"
	default:
		return page.Plain(string(mode))
	}
}

// commands are those that prove what the page says.
func (a *Account) commands() []string {
	if a.Failure != "" || !a.Live {
		return nil
	}
	output := quote(a.output)
	return []string{"millrace verify " + output, "millrace verify " + output + " --inputs", "millrace runs " + output}
}

// quote is a name as a shell takes it.
func quote(name string) string {
	name = page.PlainTo(name, 300)
	if name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=+:,@") == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
