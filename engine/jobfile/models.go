package jobfile

import (
	"maps"
	"strings"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/dataset"
)

// ModelEntry is one of several models of a job; see engine.ModelOptions.
type ModelEntry struct {
	Name         string               `json:"name" pattern:"^[A-Za-z][A-Za-z0-9_-]{0,63}$" form:"letters, digits, _ and -, a letter first, 64 at most" doc:"what the model is called in columns, rejects and the summary"`
	Model        string               `json:"model" expand:"path" doc:"path of the .onnx file"`
	ModelSHA256  string               `json:"model_sha256,omitempty" pattern:"^[0-9a-fA-F]{64}$" form:"64 hexadecimal digits" expand:"text" doc:"any model file with another SHA-256 is refused"`
	Features     OneOrMore            `json:"features,omitempty" doc:"columns or features of the model's one [N,F] input, in order; default: the model's metadata, else those of the job"`
	Bind         map[string]OneOrMore `json:"bind,omitempty" doc:"by model input, the columns or features that it is made of; default: those of the job for inputs that the model has"`
	Nulls        Nulls                `json:"nulls,omitzero" doc:"what a null becomes, as for the job; default: the job's"`
	ModelOutputs OneOrMore            `json:"model_outputs,omitempty" doc:"the model's outputs to write; default: all"`
	OutputPrefix *string              `json:"output_prefix,omitempty" expand:"text" doc:"what is put before the name of each prediction column; default: the job's own, the model's name and _"`
	OutputLayout engine.Layout        `json:"output_layout,omitempty" values:"auto,list,columns" doc:"as for the job; default: the job's"`
	Compare      map[string]string    `json:"compare,omitempty" doc:"which prediction of the first model each of this one is compared with, both without prefix; default: outputs of the same kind"`
}

// checkModels refuses a list of no models, which is none of those that need one.
func (d *decoder) checkModels(root *node) {
	if n := root.field("models"); n != nil && n.kind == listNode && len(n.items) == 0 {
		d.bad(n.at, "models lists none: give each model with its name, or say the one by model")
	}
}

// options are the entry as the engine takes it.
func (m *ModelEntry) options() engine.ModelOptions {
	o := engine.ModelOptions{
		Name: m.Name, Model: m.Model, ModelSHA256: m.ModelSHA256, Features: m.Features, ModelOutputs: m.ModelOutputs,
		OutputPrefix: m.OutputPrefix, OutputLayout: m.OutputLayout, Compare: m.Compare, Nulls: m.Nulls.texts(),
	}
	if m.Bind != nil {
		o.Bind = map[string][]string{}
		for input, names := range m.Bind {
			o.Bind[input] = names
		}
	}
	return o
}

// ModelOptions are the job's models as the engine takes them.
func (j *Job) ModelOptions() []engine.ModelOptions {
	if j.Models == nil {
		return nil
	}
	all := make([]engine.ModelOptions, 0, len(j.Models))
	for i := range j.Models {
		all = append(all, j.Models[i].options())
	}
	return all
}

// texts are the policies by column, and under * for all others; nil for none.
func (p *Nulls) texts() map[string]string {
	if p.All == nil && p.Columns == nil {
		return nil
	}
	all := map[string]string{}
	maps.Copy(all, p.Columns)
	if p.All != nil {
		all[othersKey] = *p.All
	}
	return all
}

// Partitions says which columns are made of KEY=VALUE folders, as --partitions takes it.
type Partitions string

func (p *Partitions) fromNode(d *decoder, n *node, f tags) {
	if n.kind != mapNode {
		if text, ok := d.text(n, f); ok {
			if _, err := dataset.ParsePartitions(text); err != nil {
				d.bad(n.at, "%v", err)
				return
			}
			*p = Partitions(text)
		}
		return
	}
	var all dataset.Partitions
	for _, e := range d.owned(n, f) {
		c := dataset.PartitionColumn{Name: e.key, Type: dataset.PartitionType(e.value.text)}
		switch {
		case e.value.kind != textNode || c.Type == nil:
			d.bad(e.value.at, "the type of partition column %s must be %s%s", quoted(e.key), oneOf(dataset.PartitionTypes()), didYouMean(e.value.text, dataset.PartitionTypes()))
		case strings.TrimSpace(e.key) == "":
			d.bad(e.at, "a partition column has no name")
		default:
			all.Columns = append(all.Columns, c)
		}
	}
	*p = Partitions(all.String())
}
