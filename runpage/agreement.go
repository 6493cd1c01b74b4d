package runpage

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/page"
)

// agreementView is how far other models agree with the first.
type agreementView struct {
	Numbers []agreementRow
	Labels  []labelRow
	Say     string
}

type agreementRow struct {
	Prediction, Beside, Mean, Size, P50, P90, P99, Largest, Rank, PSI string
}

type labelRow struct{ Prediction, Beside, Rows, Equal, Share string }

// newAgreementView is nil for a run of one model.
func newAgreementView(m *ledger.Manifest) *agreementView {
	all := setting[[]agreement.Summary](m, "agreement")
	if len(all) == 0 {
		return nil
	}
	v := &agreementView{}
	sampled := 0
	for i := range all {
		s := &all[i]
		name, beside := page.Plain(s.Challenger), page.Plain(s.Champion)
		if s.Kind == agreement.Label {
			v.Labels = append(v.Labels, labelRow{name, beside, humanize.Comma(s.Rows), humanize.Comma(s.Equal), fmt.Sprintf("%.3f%%", 100*s.EqualShare())})
			continue
		}
		row := agreementRow{Prediction: name, Beside: beside, Rank: pointed(s.RankCorrelation), PSI: pointed(s.PSI)}
		row.Mean, row.Size, row.P50, row.P90, row.P99, row.Largest = page.Unknown, page.Unknown, page.Unknown, page.Unknown, page.Unknown, page.Unknown
		if d := s.Difference; d != nil {
			row.Mean, row.Size, row.Largest = number(d.Mean), number(d.MeanAbsolute), number(d.Max)
			for _, q := range d.Absolute {
				switch q.Q {
				case 0.5:
					row.P50 = number(q.Value)
				case 0.9:
					row.P90 = number(q.Value)
				case 0.99:
					row.P99 = number(q.Value)
				}
			}
		}
		v.Numbers = append(v.Numbers, row)
		sampled = max(sampled, s.SampleRows)
	}
	v.Say = "Differences are the prediction less that of the first model; size is without the sign."
	if sampled > 0 {
		v.Say += fmt.Sprintf(" Rank correlation and PSI are of a sample of %s rows at most.", humanize.Comma(int64(sampled)))
	}
	return v
}

func pointed(v *float64) string {
	if v == nil {
		return page.Unknown
	}
	return number(*v)
}
