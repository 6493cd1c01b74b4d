package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
)

// badRowOptions are the flags that say what a bad row is, and what becomes of it.
type badRowOptions struct {
	onBadRow string
	finite   []string
	limit    badRowLimit
}

// allColumns stands for all features in --finite.
const allColumns = "all"

func (o *badRowOptions) AddFlags(fs *pflag.FlagSet, opts *engine.Options) {
	o.limit.rows = -1
	fs.StringVar(&o.onBadRow, "on-bad-row", "fail", "`WHAT` becomes of a row that cannot be scored: fail (the run does, and names the row), null (it stays in the output with null predictions), or reject (it is left out); both list it in rejects.parquet with its reason and columns, to be scored again")
	fs.Var(&o.limit, "max-bad-rows", "most `ROWS` that may be rejected or null, or a share of the input's rows, such as 0.1%; above that nothing is published and the rejects are kept (default any number)")
	fs.StringArrayVar(&o.finite, "finite", nil, "comma separated `COLUMNS` in which a NaN or an infinity makes a bad row, or all for every feature; a null that becomes NaN by --nulls does not (default none)")
	fs.BoolVar(&opts.RefuseNaN, "refuse-nan-output", false, "a NaN in the model's output makes a bad row")
}

// set puts the flags into the engine's options.
func (o *badRowOptions) set(opts *engine.Options) {
	opts.OnBadRow = engine.OnBadRow(o.onBadRow)
	opts.MaxRejects, opts.MaxRejectPercent = o.limit.rows, o.limit.percent
	opts.Finite = finitePolicy(joinColumns(o.finite))
}

// finitePolicy is the policy of columns that must be finite.
func finitePolicy(columns []string) batcher.FinitePolicy {
	if len(columns) == 1 && columns[0] == allColumns {
		return batcher.FinitePolicy{All: true}
	}
	return batcher.FinitePolicy{Columns: columns}
}

// badRowLimit is the value of --max-bad-rows: a number of rows, below 0 for any, or a
// share in percent.
type badRowLimit struct {
	rows    int64
	percent float64
}

// String writes the flag's value; any number is said in words.
func (l *badRowLimit) String() string {
	switch {
	case l.percent != 0:
		return strconv.FormatFloat(l.percent, 'f', -1, 64) + "%"
	case l.rows >= 0:
		return strconv.FormatInt(l.rows, 10)
	default:
		return ""
	}
}

// Set reads the flag's value.
func (l *badRowLimit) Set(text string) error {
	*l = badRowLimit{}
	var err error
	share, isShare := strings.CutSuffix(text, "%")
	if isShare {
		l.percent, err = strconv.ParseFloat(share, 64)
	} else {
		l.rows, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil || l.rows < 0 || !(l.percent >= 0 && l.percent <= 100) {
		return errors.New("must be a number of rows >= 0, or a share from 0% to 100%, such as 0.1%")
	}
	return nil
}

// Type names the value in help.
func (*badRowLimit) Type() string { return "ROWS" }
