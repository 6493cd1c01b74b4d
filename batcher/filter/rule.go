package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/expr-lang/expr/file"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/internal/storage"
)

// Rule is what the values of a column have to be; a row for which it is false is bad.
// A null breaks no rule but NotNull, as in SQL's checks, and a NaN lies in no range.
type Rule struct {
	Column  string           `json:"column,omitempty" doc:"the column that the rule is about"`
	NotNull bool             `json:"not_null,omitempty" doc:"a null makes the row bad"`
	Range   *Range           `json:"range,omitempty" doc:"values outside of it make the row bad"`
	In      []feature.Scalar `json:"in,omitempty" doc:"a value that is not on this list makes the row bad"`
	Regex   string           `json:"regex,omitempty" doc:"a text in which this regular expression (RE2) matches nothing makes the row bad; ^ and $ stand for its ends"`
	Expr    string           `json:"expr,omitempty" expand:"expression" doc:"an expression of the language of where, on any columns; a row for which it is false is bad"`
}

// Range is an interval that has its ends. At least one is set: a number, or a text that
// is a date or a time for a column of such.
type Range struct {
	Min *feature.Scalar `json:"min,omitempty" doc:"the least value that is allowed: a number, or a date or time as text"`
	Max *feature.Scalar `json:"max,omitempty" doc:"the largest value that is allowed"`
}

// Rules are rules on the columns of a schema. They are immutable.
type Rules struct {
	columns []string
	checks  []check
}

// check is one condition of one rule.
type check struct {
	filter *Filter
	column string // that is blamed; empty where an expression has several
	at     []int  // of the filter's columns in Rules.columns
	// wants says what the condition wants, for the reason.
	wants string
}

// NewRules checks rules against a schema; its error lists all that is wrong with them
// and wraps ErrExpression.
func NewRules(rules []Rule, schema *arrow.Schema) (*Rules, error) {
	out := &Rules{}
	var problems []error
	for i := range rules {
		if err := out.add(&rules[i], schema); err != nil {
			name := ""
			if rules[i].Column != "" {
				name = fmt.Sprintf(" (column %q)", rules[i].Column)
			}
			problems = append(problems, fmt.Errorf("rule %d%s: %w", i+1, name, err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		if errors.Is(err, ErrExpression) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrExpression, err)
	}
	return out, nil
}

// add compiles one rule's conditions.
func (r *Rules) add(rule *Rule, schema *arrow.Schema) error {
	if rule.In != nil && len(rule.In) == 0 {
		return errors.New("in: [] lists nothing, so every row would break it: list the values, or leave it out")
	}
	before := len(r.checks)
	c := &ruleCompiler{compiler{schema: schema}, rule, r}
	if rule.Column != "" {
		if err := c.conditions(); err != nil {
			if at, ok := errors.AsType[*Error](err); ok {
				return errors.New(at.Reason) // there is no text to point at
			}
			return err
		}
	} else if rule.NotNull || rule.Range != nil || len(rule.In) > 0 || rule.Regex != "" {
		return errors.New("column is missing: not_null, range, in and regex are about one")
	}
	if rule.Expr != "" {
		f, err := Parse(rule.Expr, schema)
		if err != nil {
			return fmt.Errorf("expr: %w", err)
		}
		r.check(f, rule.Column, f.String()+" is false")
	}
	if len(r.checks) == before {
		return errors.New("it says nothing: give not_null, range, in, regex or expr")
	}
	return nil
}

// check adds a condition.
func (r *Rules) check(f *Filter, column, wants string) {
	c := check{filter: f, column: column, wants: wants}
	if column == "" && len(f.columns) == 1 {
		c.column = f.columns[0]
	}
	for _, name := range f.columns {
		at := slices.Index(r.columns, name)
		if at < 0 {
			at = len(r.columns)
			r.columns = append(r.columns, name)
		}
		c.at = append(c.at, at)
	}
	r.checks = append(r.checks, c)
}

// ruleCompiler makes conditions of one rule's column.
type ruleCompiler struct {
	compiler

	rule  *Rule
	rules *Rules
}

func (c *ruleCompiler) conditions() error {
	col, err := c.column(c.rule.Column, file.Location{})
	if err != nil {
		return err
	}
	x := operand{column: col}
	add := func(p predicate, wants string) {
		c.rules.check(&Filter{columns: c.names, root: p}, c.rule.Column, wants)
	}
	if c.rule.NotNull {
		p, err := c.compareNil(file.Location{}, opNotEqual, x)
		if err != nil {
			return err
		}
		add(p, "is null, and the rule is not_null")
	}
	if r := c.rule.Range; r != nil {
		p, wants, err := c.within(x, r)
		if err != nil {
			return err
		}
		add(p, wants)
	}
	if len(c.rule.In) > 0 {
		p, err := c.among(x, c.rule.In)
		if err != nil {
			return err
		}
		add(p, "is none of "+listed(c.rule.In))
	}
	if c.rule.Regex != "" {
		p, err := c.textTest("matches", x, operand{literal: &literal{kind: literalText, text: c.rule.Regex}})
		if err != nil {
			return err
		}
		add(p, fmt.Sprintf("does not match %q", c.rule.Regex))
	}
	return nil
}

// within is a range as a condition.
func (c *ruleCompiler) within(x operand, r *Range) (p predicate, wants string, err error) {
	var ends []*literal
	for _, end := range []struct {
		op    comparison
		value *feature.Scalar
		words string
	}{{opGreaterEqual, r.Min, "is below the least of its range, "}, {opLessEqual, r.Max, "is above the largest of its range, "}} {
		if end.value == nil {
			continue
		}
		l, err := literalOf(*end.value)
		if err != nil {
			return nil, "", fmt.Errorf("range: %w", err)
		}
		if l.kind == literalBool {
			return nil, "", errors.New("range: true and false have no order")
		}
		one, err := c.compare(file.Location{}, end.op, x, operand{literal: l})
		if err != nil {
			return nil, "", err
		}
		ends = append(ends, l)
		if p == nil {
			p, wants = one, end.words+end.value.String()
			continue
		}
		if compareEnds(x.column, ends[0], ends[1]) > 0 {
			return nil, "", fmt.Errorf("range: min is %s, and max is less: %s", r.Min, r.Max)
		}
		p, wants = join(false, p, one), fmt.Sprintf("is outside of its range, %s to %s", r.Min, r.Max)
	}
	if p == nil {
		return nil, "", errors.New("range: min and max are both missing")
	}
	return p, wants, nil
}

// compareEnds compares literals that a column's values were compared with, as these are.
func compareEnds(col *column, least, most *literal) int {
	if least.kind == literalNumber {
		return least.number.Cmp(most.number)
	}
	if col.kind.isTime() {
		from, err := timeOf(least.text, col)
		to, err2 := timeOf(most.text, col)
		if err == nil && err2 == nil {
			return from.Cmp(to)
		}
	}
	return strings.Compare(least.text, most.text)
}

// among is a list as a condition.
func (c *ruleCompiler) among(x operand, list []feature.Scalar) (predicate, error) {
	values := make([]operand, len(list))
	for i, s := range list {
		l, err := literalOf(s)
		if err != nil {
			return nil, fmt.Errorf("in: %w", err)
		}
		values[i] = operand{literal: l}
	}
	return c.memberOf(x, values)
}

// literalOf is a scalar as a value of the expression language.
func literalOf(s feature.Scalar) (*literal, error) {
	switch s.Kind {
	case feature.Bool:
		return &literal{kind: literalBool, truth: s.Number != 0}, nil
	case feature.Text:
		return &literal{kind: literalText, text: s.Text}, nil
	case feature.Number:
		if l, ok := parseNumber(s.Text); ok {
			return l, nil
		}
		return nil, fmt.Errorf("%s is no finite number", s)
	default:
		return nil, errors.New("null is no value here: nulls break no rule but not_null")
	}
}

// listedValues is how many values of a list a reason names.
const listedValues = 8

func listed(list []feature.Scalar) string {
	texts := make([]string, 0, listedValues+1)
	for i, s := range list {
		if i == listedValues {
			texts = append(texts, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		texts = append(texts, s.String())
	}
	return strings.Join(texts, ", ")
}

// Columns are the columns that the rules read, each once.
func (r *Rules) Columns() []string { return slices.Clone(r.columns) }

// Conditions are the rules as they are understood, one a condition.
func (r *Rules) Conditions() []string {
	texts := make([]string, len(r.checks))
	for i := range r.checks {
		texts[i] = r.checks[i].filter.String()
	}
	return texts
}

// Checker holds rows to rules. It belongs to one goroutine.
type Checker struct {
	rules *Rules
	evals []*Evaluator
}

// NewChecker makes a Checker.
func (r *Rules) NewChecker() *Checker {
	c := &Checker{rules: r}
	for i := range r.checks {
		c.evals = append(c.evals, r.checks[i].filter.NewEvaluator())
	}
	return c
}

// Broken is a row that breaks a rule.
type Broken struct {
	Row    int
	Column string // empty where the rule is about several
	Reason string
}

// Check finds rows of columns, which are those of Rules.Columns, that break a rule:
// rule by rule, each in the order of rows. As with Evaluator.Eval, nobody else may use
// the same arrays meanwhile. It keeps none of them.
func (c *Checker) Check(columns []arrow.Array, rows int) (broken []Broken) {
	for i := range c.rules.checks {
		k := &c.rules.checks[i]
		of := make([]arrow.Array, len(k.at))
		for j, at := range k.at {
			of[j] = columns[at]
		}
		_, failed := c.evals[i].Eval(of, rows)
		for row := range failed.Rows {
			broken = append(broken, Broken{Row: row, Column: k.column, Reason: k.reason(of, row)})
		}
		c.evals[i].Close() // dictionaries of a batch are not the next one's
	}
	return broken
}

// shownValue is how much of a value a reason shows.
const shownValue = 80

// reason says what is wrong with a row.
func (k *check) reason(columns []arrow.Array, row int) string {
	// An expression may be of another column than the one that is blamed.
	own := len(columns) == 1 && k.filter.columns[0] == k.column
	texts := make([]string, len(columns))
	for i, a := range columns {
		value := "null"
		if a.IsValid(row) {
			value = shown(a, row)
		}
		texts[i] = value
		if !own {
			texts[i] = k.filter.columns[i] + " = " + value
		}
	}
	if len(columns) == 1 && columns[0].IsNull(row) {
		return k.wants
	}
	if own {
		return fmt.Sprintf("value %s %s", texts[0], k.wants)
	}
	return fmt.Sprintf("%s, where %s", k.wants, strings.Join(texts, ", "))
}

func shown(a arrow.Array, row int) string {
	if d, ok := a.(*array.Dictionary); ok {
		return shown(d.Dictionary(), d.GetValueIndex(row))
	}
	if kindOf(storage.Array(a).DataType()) == kindText {
		return fmt.Sprintf("%.*q", shownValue, textOf(storage.Array(a))(row))
	}
	return fmt.Sprintf("%.*s", shownValue, a.ValueStr(row))
}
