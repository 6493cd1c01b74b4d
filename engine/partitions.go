package engine

import "slices"

// ExplainedPartition is a column made of folders.
type ExplainedPartition struct {
	Column string `json:"column"`
	Type   string `json:"type"`
	// Shadows says that files have a column of that name too, which is not read.
	Shadows bool `json:"shadows_column_of_files"`
}

// partitions are the columns that were made of folders, with their types: a replay, which
// may open some of the files under other paths, must not find others.
func (p *Plan) partitions() string {
	if p.Dataset == nil {
		return p.Options.Partitions
	}
	return p.Dataset.Partitions().String()
}

func (p *Plan) explainPartitions() []ExplainedPartition {
	explained := []ExplainedPartition{}
	for _, c := range p.Dataset.Partitions().Columns {
		explained = append(explained, ExplainedPartition{Column: c.Name, Type: c.TypeName(), Shadows: slices.Contains(p.Dataset.Shadowed(), c.Name)})
	}
	return explained
}
