package dataset

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// partition gives every source its values of the partition columns, and the dataset
// the columns. Types are found over all paths.
func (d *Dataset) partition(opts *Options) error {
	p := opts.Partitions
	if !p.Auto && len(p.Columns) == 0 {
		return nil
	}
	keys := make([][]pathKey, len(d.unique))
	errs := make([]error, len(d.unique))
	for i, src := range d.unique {
		if keys[i], errs[i] = pathKeys(opts.folders(src.path)); errs[i] == nil && p.Auto {
			errs[i] = onceEach(src.path, keys[i])
		}
	}
	if err := joinListed(errs); err != nil {
		return err
	}
	inferred := p.Auto
	if p.Auto {
		p = Partitions{}
		for _, k := range keys[0] {
			p.Columns = append(p.Columns, PartitionColumn{Name: k.name})
		}
		if err := d.sameKeys(keys, p.names()); err != nil {
			return err
		}
	} else if err := d.allKeys(keys, p.names()); err != nil {
		return err
	}
	d.partitions, d.inferred = p, inferred
	typed := make([]error, len(p.Columns))
	for c := range p.Columns {
		typed[c] = d.partitionColumn(c, keys)
	}
	return joinListed(typed)
}

// onceEach refuses a path whose directories say a key twice.
func onceEach(path string, keys []pathKey) error {
	for i, k := range keys {
		if slices.ContainsFunc(keys[:i], func(b pathKey) bool { return b.name == k.name }) {
			return fmt.Errorf("input %q: %w: two folders say %q; --partitions %s=TYPE takes the inner one, --partitions none neither", path, ErrPartitions, k.name, escapeKey(k.name))
		}
	}
	return nil
}

// sameKeys holds all paths to the keys of the first.
func (d *Dataset) sameKeys(keys [][]pathKey, want []string) error {
	var other []string
	for i, src := range d.unique {
		got := keyNames(keys[i])
		if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			other = append(other, fmt.Sprintf("%q has %s", src.path, listKeys(got)))
		}
	}
	return d.unlike(other, fmt.Sprintf("%q has %s", d.unique[0].path, listKeys(want)))
}

// allKeys makes sure that each path has the wanted keys; it may have others.
func (d *Dataset) allKeys(keys [][]pathKey, want []string) error {
	var lack []string
	for i, src := range d.unique {
		got := keyNames(keys[i])
		missing := slices.DeleteFunc(slices.Clone(want), func(name string) bool { return slices.Contains(got, name) })
		if len(missing) > 0 {
			lack = append(lack, fmt.Sprintf("%q lacks %s", src.path, listKeys(missing)))
		}
	}
	return d.unlike(lack, "--partitions names "+listKeys(want))
}

// unlike words ErrPartitions; others are the files that are not as the rest.
func (d *Dataset) unlike(others []string, rest string) error {
	if len(others) == 0 {
		return nil
	}
	more := ""
	if n := len(others) - maxListed; n > 0 {
		others, more = others[:maxListed], fmt.Sprintf("\n  and %d more", n)
	}
	return fmt.Errorf("%w: %s, but\n  %s%s\nread files of one layout at a time, name the folders that all have (--partitions COLUMN=TYPE,...), or make no columns of folders (--partitions none)",
		ErrPartitions, rest, strings.Join(others, "\n  "), more)
}

func keyNames(keys []pathKey) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

func listKeys(names []string) string {
	if len(names) == 0 {
		return "no KEY=VALUE folder"
	}
	return quoteList(names, 10)
}

// partitionColumn fixes the type of the c-th column and reads its values.
func (d *Dataset) partitionColumn(c int, keys [][]pathKey) error {
	column := &d.partitions.Columns[c]
	texts := make([]pathKey, len(d.unique))
	for i, file := range keys {
		for _, k := range file { // the innermost, if there are several
			if k.name == column.Name {
				texts[i] = k
			}
		}
	}
	if column.Type == nil {
		column.Type = inferType(texts)
	}
	var errs []error
	known := map[pathKey]arrow.Array{} // most files share their values with others
	for i, src := range d.unique {
		value := known[texts[i]]
		if value == nil {
			var err error
			if value, err = parseValue(texts[i], column.Type); err != nil {
				errs = append(errs, asInput(fmt.Errorf("input %q: partition column %q: %q is no %s: %w", src.path, column.Name, texts[i].value, column.TypeName(), err)))
				continue
			}
			known[texts[i]] = value
		}
		src.partition = append(src.partition, value)
	}
	return joinListed(errs)
}

var wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)

// inferType is int64 where every value is a whole number that fits, date where every one
// is YYYY-MM-DD, and else string. Nulls are any type's.
func inferType(values []pathKey) arrow.DataType {
	ints, dates, all := 0, 0, 0
	for _, v := range values {
		if v.null {
			continue
		}
		all++
		if _, err := strconv.ParseInt(v.value, 10, 64); err == nil && wholeNumber.MatchString(v.value) {
			ints++
		} else if _, err := time.Parse(time.DateOnly, v.value); err == nil {
			dates++
		}
	}
	switch {
	case all > 0 && ints == all:
		return arrow.PrimitiveTypes.Int64
	case all > 0 && dates == all:
		return arrow.FixedWidthTypes.Date32
	}
	return stringType
}

// parseValue makes an array of the one value.
func parseValue(v pathKey, t arrow.DataType) (_ arrow.Array, err error) {
	if t == stringType {
		return constantText(v), nil
	}
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	if v.null {
		b.AppendNull()
		return b.NewArray(), nil
	}
	if date, isDate := b.(*array.Date32Builder); isDate {
		day, err := time.Parse(time.DateOnly, v.value)
		if err != nil {
			return nil, errors.New("it must be YYYY-MM-DD")
		}
		date.Append(arrow.Date32FromTime(day))
		return b.NewArray(), nil
	}
	if err := b.AppendValueFromString(v.value); err != nil {
		if number, ok := errors.AsType[*strconv.NumError](err); ok { // which names the text and Go's function again
			err = number.Err
		}
		return nil, err
	}
	return b.NewArray(), nil
}

// constantText is one text as a dictionary.
func constantText(v pathKey) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	if !v.null {
		b.Append(v.value)
	}
	entries := b.NewArray()
	defer entries.Release()
	index := array.NewInt32Builder(memory.DefaultAllocator)
	defer index.Release()
	if v.null {
		index.AppendNull()
	} else {
		index.Append(0)
	}
	indices := index.NewArray()
	defer indices.Release()
	return array.NewDictionaryArray(stringType, indices, entries)
}

// repeat is an array of n times the one value of another. All its memory is n values
// of a fixed width: a batch's worth stays in cache for whoever reads it again and again.
func repeat(value arrow.Array, n int) arrow.Array {
	if value == noProblem {
		return array.MakeArrayOfNull(memory.DefaultAllocator, value.DataType(), n)
	}
	bits := value.DataType().(arrow.FixedWidthDataType).BitWidth()
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(make([]byte, (n*bits+7)/8))}
	all, nulls := buffers[1].Bytes(), 0
	if value.NullN() > 0 {
		buffers[0], nulls = memory.NewBufferBytes(make([]byte, (n+7)/8)), n
	} else if one := value.Data().Buffers()[1].Bytes(); bits == 1 {
		if one[0]&1 != 0 {
			memory.Set(all, 0xff)
		}
	} else if n > 0 {
		copy(all, one[:bits/8])
		for at := bits / 8; at < len(all); at *= 2 {
			copy(all[at:], all[:at])
		}
	}
	// Not by the array's own method, which remembers: files share values.
	entries, _ := value.Data().Dictionary().(*array.Data)
	data := array.NewDataWithDictionary(value.DataType(), n, buffers, nulls, 0, entries)
	defer data.Release()
	return array.MakeFromData(data)
}
