package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/query"
)

// queryOptions are the flags that say what is read of a database.
type queryOptions struct {
	text      string
	unordered bool
}

func (o *queryOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.text, "query", "", "`SQL` statement that gives the rows of the database that --input names, in an order by ORDER BY; in place of ?table=NAME there")
	fs.BoolVar(&o.unordered, "unordered", false, "let a query without ORDER BY, or a table without a key, be read in whatever order the database gives; a run that is continued then needs the same order again")
}

// set puts them into the one input that is a database: that names its rows, in messages
// and in the manifest.
func (o *queryOptions) set(opts *engine.Options) error {
	if o.text == "" && !o.unordered {
		return nil
	}
	flag := "--query"
	if o.text == "" {
		flag = "--unordered"
	}
	at := slices.IndexFunc(opts.Inputs, func(in string) bool { return query.SchemeOf(in) != "" })
	if at < 0 || len(opts.Inputs) > 1 && o.text != "" {
		return fmt.Errorf("%w: %s is of a database, and needs one --input that names it: postgres://HOST/NAME, sqlite:PATH or duckdb:PATH", engine.ErrUsage, flag)
	}
	opts.Inputs = slices.Clone(opts.Inputs)
	for i, input := range opts.Inputs {
		if query.SchemeOf(input) == "" {
			continue
		}
		u, err := query.Parse(input)
		if err != nil {
			return fmt.Errorf("%w: --input: %w", engine.ErrUsage, err)
		}
		if o.text != "" && (u.Spec.Table != "" || u.Spec.Text != "") {
			return fmt.Errorf("%w: --query says what is read, and --input has a table or a query too", engine.ErrUsage)
		}
		if o.text != "" {
			u.Spec.Text = o.text
		}
		u.Spec.Unordered = u.Spec.Unordered || o.unordered
		opts.Inputs[i] = u.String()
	}
	return nil
}
