package feature

import (
	"cmp"
	"fmt"
	"strconv"
)

// Describe are the feature's transforms, one a line, for people.
func (p *Program) Describe() []string {
	lines := make([]string, len(p.feature.Transforms))
	for i := range p.feature.Transforms {
		lines[i] = p.feature.Transforms[i].String()
	}
	return lines
}

// Sources are the names that the feature is made of, as they are written.
func (p *Program) Sources() []string {
	if p.feature.Column != "" {
		return []string{p.feature.Column}
	}
	return p.feature.Columns
}

// String is the step for people.
func (s *Step) String() string {
	switch {
	case s.Fill != nil:
		return "fill " + s.Fill.String()
	case s.Clip != nil:
		return s.Clip.String()
	case s.Scale != nil:
		return "scale " + s.Scale.String()
	case s.Bucketize != nil:
		return s.Bucketize.String()
	case s.Map != nil:
		return s.Map.String()
	case s.OneHot != nil:
		return fmt.Sprintf("onehot of %d categories, others %s", len(s.OneHot.Categories), cmp.Or(s.OneHot.Unknown, UnknownReject))
	case s.Hash != nil:
		return s.Hash.String()
	case s.DateTime != nil:
		return s.DateTime.String()
	case s.Cast != nil:
		return s.Cast.String()
	case s.Equals != nil:
		return "equals " + s.Equals.String()
	case s.Ratio != nil && s.Ratio.OnZero != nil:
		return "ratio, on zero " + s.Ratio.OnZero.String()
	case s.Haversine != nil:
		return "haversine in " + string(cmp.Or(s.Haversine.Unit, Kilometres))
	default:
		name, _ := s.Transform()
		return name
	}
}

func (c *Clip) String() string {
	switch {
	case c.Max == nil:
		return "clip at least " + digits(*c.Min)
	case c.Min == nil:
		return "clip at most " + digits(*c.Max)
	default:
		return "clip " + digits(*c.Min) + " to " + digits(*c.Max)
	}
}

func digits(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func (s *Scale) String() string {
	f, _ := s.linear()
	if f.div == 0 {
		return fmt.Sprintf("x * %s + %s", digits(f.mul), digits(f.add))
	}
	return fmt.Sprintf("(x - %s) / %s", digits(f.sub), digits(f.div))
}

func (b *Bucketize) String() string {
	return fmt.Sprintf("bucketize by %d edges, %s to %s", len(b.Edges), digits(b.Edges[0]), digits(b.Edges[len(b.Edges)-1]))
}

func (m *Map) String() string {
	others := wordReject
	if m.Default != nil {
		others = m.Default.String()
	}
	return fmt.Sprintf("map of %d categories, others %s", len(m.Values), others)
}

func (h *Hash) String() string {
	text := fmt.Sprintf("hash %s into %d buckets", cmp.Or(h.Algorithm, XXH64), h.Buckets)
	if h.Seed != 0 {
		text += fmt.Sprintf(", seed %d", h.Seed)
	}
	if h.OneHot {
		text += ", onehot"
	}
	return text
}

func (d *DateTime) String() string {
	text := "datetime " + string(d.Part)
	if d.FromZone != "" {
		text += " from " + d.FromZone
	}
	if d.Zone != "" {
		text += " in " + d.Zone
	}
	if d.Cyclic != "" {
		text += ", cyclic " + string(d.Cyclic)
	}
	return text
}

func (c *Cast) String() string {
	if c.Round != "" {
		return fmt.Sprintf("cast to %s, round %s", c.To, c.Round)
	}
	return "cast to " + string(c.To)
}
