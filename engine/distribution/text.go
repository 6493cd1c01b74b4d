package distribution

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// tallyText is a tally as JSON, for the journal's record of a part.
type tallyText struct {
	Kind       Kind         `json:"kind"`
	Rows       int64        `json:"rows"`
	Nulls      int64        `json:"nulls,omitempty"`
	NaNs       int64        `json:"nans,omitempty"`
	Infinities int64        `json:"infinities,omitempty"`
	Least      *float64     `json:"least,omitempty"` // none without numbers
	Most       *float64     `json:"most,omitempty"`
	Moments    Moments      `json:"moments,omitzero"`
	Sketch     []byte       `json:"sketch,omitempty"`
	Labels     []LabelCount `json:"labels,omitempty"`
	Many       bool         `json:"many_labels,omitempty"`
}

// MarshalJSON writes the tally.
func (t *Tally) MarshalJSON() ([]byte, error) {
	text := tallyText{Kind: t.kind, Rows: t.rows, Nulls: t.nulls, NaNs: t.nans, Infinities: t.endless, Moments: t.Moments(), Many: t.labels.many}
	if t.kind == Label {
		text.Labels, text.Moments = t.labels.all(), Moments{}
	}
	if t.least <= t.most {
		text.Least, text.Most = &t.least, &t.most
		var err error
		if text.Sketch, err = t.bins.encode(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(text)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Tally) UnmarshalJSON(data []byte) error {
	var text tallyText
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*t = Tally{
		kind: text.Kind, rows: text.Rows, nulls: text.Nulls, nans: text.NaNs, endless: text.Infinities,
		least: math.Inf(1), most: math.Inf(-1), moments: &text.Moments,
	}
	if text.Least != nil && text.Most != nil {
		t.least, t.most = *text.Least, *text.Most
		b, err := decodeBins(text.Sketch)
		if err != nil {
			return err
		}
		t.bins = *b
	}
	for _, l := range text.Labels {
		if l.Rows < 1 {
			return fmt.Errorf("label %q has %d rows", l.Label, l.Rows)
		}
		t.labels.addText(l.Label, l.Rows)
	}
	if text.Many {
		t.labels.drop()
	}
	if t.kind == Number && t.bins.count() != t.rows-t.nulls-t.nans-t.endless {
		return errors.New("the bins of a distribution have other rows than it counts")
	}
	return nil
}
