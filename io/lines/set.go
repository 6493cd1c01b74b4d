package lines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/format"
)

// NewSyntaxFunc makes the syntax of a file of one format.
type NewSyntaxFunc func(path string, opts *Options) (Syntax, error)

// Set is what is known of the files of lines of one dataset. Files are opened first,
// all of them; then Settle fixes the types of their columns, and they can be read.
type Set struct {
	opts     Options
	syntaxes map[format.Name]NewSyntaxFunc
	stop     func() error
	scratch  scratch
	nulls    [][]byte

	mu     sync.Mutex
	tables map[string]*opening
	order  []string          // of those that are settled
	joined map[string]*guess // by column, of all files
	// checked are the columns of which a value that does not fit is a problem of its
	// row, whichever are read.
	checked []string
}

// opening is a file that is looked at once, by whoever asks for it first.
type opening struct {
	once  sync.Once
	table *table
	err   error
}

// NewSet makes a Set of formats by syntax. stop is asked while files are opened, which
// its error ends. The caller closes the Set.
func NewSet(opts Options, syntaxes map[format.Name]NewSyntaxFunc, stop func() error) *Set {
	opts.EnsureDefaults()
	s := &Set{opts: opts, syntaxes: syntaxes, stop: stop, tables: map[string]*opening{}, scratch: scratch{dir: opts.ScratchDir}}
	for _, n := range opts.NullValues {
		s.nulls = append(s.nulls, []byte(n))
	}
	return s
}

// Has says whether files of a format are the Set's to open.
func (s *Set) Has(name format.Name) bool { return s.syntaxes[name] != nil }

// Empty says that no file was opened.
func (s *Set) Empty() bool { return len(s.tables) == 0 }

func (s *Set) isNull(value []byte) bool {
	return slices.ContainsFunc(s.nulls, func(n []byte) bool { return string(n) == string(value) })
}

// Open opens a file, which has the name read.Name where it stands in for another. Its
// error names it and wraps format.ErrDamaged,
// format.ErrUnsupported, or ErrOptions.
func (s *Set) Open(ctx context.Context, path string, name format.Name, read format.ReadOptions) (format.Reader, error) {
	read.EnsureDefaults()
	t, err := s.once(cmp.Or(read.Name, path), name, func(syntax Syntax) (*table, error) { return s.load(ctx, path, read.Name, syntax) })
	if err != nil {
		return nil, err
	}
	if err := t.text.open(path); err != nil {
		return nil, err
	}
	return newReader(t, read), nil
}

// once has a file looked at where nobody did yet; its error names it.
func (s *Set) once(key string, name format.Name, load func(syntax Syntax) (*table, error)) (*table, error) {
	s.mu.Lock()
	o := s.tables[key]
	if o == nil {
		o = &opening{}
		s.tables[key] = o
	}
	s.mu.Unlock()
	o.once.Do(func() {
		o.err = guarded(func() (err error) {
			syntax, err := s.syntaxes[name](key, &s.opts)
			if err == nil {
				o.table, err = load(syntax)
			}
			return err
		})
	})
	if o.err != nil {
		return nil, fmt.Errorf("open %s: %w", key, o.err)
	}
	return o.table, nil
}

// guarded turns a panic into an error.
func guarded(step func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: reading it panics: %v", format.ErrDamaged, v)
		}
	}()
	return step()
}

// Settle fixes the types of all columns of the files that were opened, which are among
// paths, in their order. Nobody may be reading.
func (s *Set) Settle(paths []string) error {
	s.order = slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return s.tables[path] == nil })
	s.shareNames()
	s.joined = map[string]*guess{}
	for _, path := range s.order {
		t := s.tables[path].table
		for i, name := range t.names {
			if s.joined[name] == nil {
				s.joined[name] = &guess{}
			}
			s.joined[name].join(&t.guess[i])
		}
	}
	for _, path := range s.order {
		s.tables[path].table.settle(s.joined)
	}
	names, known := s.unknownTypes()
	problems := make([]error, len(names))
	for i, name := range names {
		problems[i] = fmt.Errorf("%w: --types: no column %q in the data%s", ErrOptions, name, nearest.DidYouMean(name, known))
	}
	return errors.Join(problems...)
}

// shareNames gives files whose records name their own fields the names of all such
// files, and a file without any text the names of the first.
func (s *Set) shareNames() {
	seen := map[string]bool{}
	var own, first []string
	for _, path := range s.order {
		t := s.tables[path].table
		if first == nil {
			first = t.names
		}
		for _, name := range t.names {
			if t.own && !seen[name] {
				seen[name], own = true, append(own, name)
			}
		}
	}
	for _, path := range s.order {
		t := s.tables[path].table
		guesses := map[string]guess{}
		for i, name := range t.names {
			guesses[name] = t.guess[i]
		}
		switch {
		case t.own:
			t.names = own
		case len(t.names) == 0:
			t.names = first
		}
		t.guess = make([]guess, len(t.names))
		for i, name := range t.names {
			t.guess[i] = guesses[name]
		}
	}
}

// Schema is the schema of a file.
func (s *Set) Schema(path string) *arrow.Schema { return s.tables[path].table.schema }

// ValueBytes are about the sizes in bytes of values of a file's columns of text, on average of
// some rows beside each other where they are largest; 0 for other columns.
func (s *Set) ValueBytes(path string) []int64 { return s.tables[path].table.valueBytes() }

// Columns are the columns of the first file, and of others those that it does not have.
func (s *Set) Columns() (all []Column) {
	seen := map[string]bool{}
	for _, path := range s.order {
		t := s.tables[path].table
		for i, f := range t.schema.Fields() {
			if seen[f.Name] {
				continue
			}
			seen[f.Name] = true
			c := Column{Name: f.Name, Type: TypeName(f.Type), Given: t.given[i], Why: "given"}
			if !c.Given {
				c.Why = s.joined[f.Name].because()
			}
			all = append(all, c)
		}
	}
	return all
}

// Types are the types of some columns, as they can be given to another run.
func (s *Set) Types(names []string) (all []ColumnType) {
	left := make(map[string]bool, len(names))
	for _, name := range names {
		left[name] = true
	}
	for _, path := range s.order {
		for _, f := range s.tables[path].table.schema.Fields() {
			if left[f.Name] {
				all, left[f.Name] = append(all, ColumnType{f.Name, f.Type}), false
			}
		}
	}
	slices.SortFunc(all, func(a, b ColumnType) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Check has readers that are asked for problems find those of these columns, whichever
// are read. Nobody may be reading.
func (s *Set) Check(columns []string) { s.checked = columns }

// Close gives up what is known, and the scratch file. Nobody may be reading.
func (s *Set) Close() error { return s.scratch.close() }
