package bench

// reportCompared is a comparison on the page.
type reportCompared struct {
	Verdict string // in a sentence
	Warn    bool   // it is no good news, or none
	Pairs   []reportPair
	Without []string // measurements that there is nothing to compare with
}

// reportPair is one old and new measurement.
type reportPair struct {
	Title         string
	Notes         []string
	Counts, Sweep []changeRow
	Others        string // of the sweep
}

func newReportCompared(c *Comparison) *reportCompared {
	if c == nil {
		return nil
	}
	out := &reportCompared{Verdict: c.sentence(), Warn: c.Verdict == Worse || c.Verdict == Unjudged, Without: c.Unpaired}
	for _, p := range c.Pairs {
		pair := reportPair{Title: p.title(), Notes: p.notes()}
		pair.Counts, _ = changeRows(p, true)
		sweep, others := changeRows(p, false)
		pair.Sweep, pair.Others = sweep, othersLine(len(sweep), others)
		out.Pairs = append(out.Pairs, pair)
	}
	return out
}
