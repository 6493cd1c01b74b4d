package feature

// Bounds has columns' texts looked up until so many are known, and then so many rows pass
// where most brought another one.
func (e *Evaluator) Bounds(texts, rows int) {
	for _, s := range e.order {
		if s.texts != nil {
			s.texts.limit, s.texts.pass = texts, rows
		}
	}
}
