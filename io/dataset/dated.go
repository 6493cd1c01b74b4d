package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Look says of an input, which is none of standard input, what can be said without
// reading it: size, time of change and version.
func Look(ctx context.Context, path string, stores map[string]Store) (FileInfo, error) {
	if store := stores[Scheme(path)]; store != nil {
		facts, err := lookUp(ctx, store, path)
		if err != nil {
			return FileInfo{}, asInput(err)
		}
		return FileInfo{Path: path, Format: facts.Format, Size: facts.Size, ModTime: facts.ModTime, Version: facts.Version}, nil
	}
	stat, err := os.Stat(path)
	if err != nil {
		return FileInfo{}, statError(path, err)
	}
	return FileInfo{Path: path, Size: stat.Size(), ModTime: stat.ModTime()}, nil
}

func lookUp(ctx context.Context, store Store, uri string) (Facts, error) {
	if looker, ok := store.(Looker); ok {
		return looker.Look(ctx, uri)
	}
	object, err := store.Open(ctx, uri)
	if err != nil {
		return Facts{}, err
	}
	return object.Facts(), object.Close()
}

// Gone says that Look found nothing.
func Gone(err error) bool { return errors.Is(err, ErrNoSuchFile) || errors.Is(err, os.ErrNotExist) }

// Dated is the time, in UTC, that the folders of a path name, from its beginning to
// before its end: date=2026-11-22, or dt=20261122, or year=2026/month=11 with day and
// hour if need be. ok is false where no folder names a time, or two do.
func Dated(path string) (from, to time.Time, ok bool) {
	keys, err := pathKeys(path)
	if err != nil {
		return from, to, false
	}
	found := 0
	for _, k := range keys {
		if day, ok := dayOf(k); ok {
			found++
			from, to = day, day.AddDate(0, 0, 1)
		}
	}
	if found == 0 {
		return calendar(keys)
	}
	return from, to, found == 1
}

// dayOf is the day that a key's value is. Eight digits are one where the key says so.
func dayOf(k pathKey) (time.Time, bool) {
	if day, err := time.Parse(time.DateOnly, k.value); err == nil {
		return day, true
	}
	if !slices.Contains([]string{"date", "dt", "ds", "day"}, strings.ToLower(k.name)) {
		return time.Time{}, false
	}
	day, err := time.Parse("20060102", k.value)
	return day, err == nil
}

// calendar is the time that year, month, day and hour name, down to the first of them
// that is missing.
func calendar(keys []pathKey) (from, to time.Time, ok bool) {
	units := []struct {
		name        string
		least, most int
	}{{"year", 1, 9999}, {"month", 1, 12}, {"day", 1, 31}, {"hour", 0, 23}}
	at, known := []int{0, 1, 1, 0}, 0
	for i, u := range units {
		k := slices.IndexFunc(keys, func(k pathKey) bool { return strings.EqualFold(k.name, u.name) })
		if k < 0 {
			break
		}
		n, err := strconv.Atoi(keys[k].value)
		if err != nil || n < u.least || n > u.most {
			return from, to, false
		}
		at[i], known = n, i+1
	}
	date := func(at []int) time.Time {
		return time.Date(at[0], time.Month(at[1]), at[2], at[3], 0, 0, 0, time.UTC)
	}
	if from = date(at); known == 0 || from.Day() != at[2] { // 30 February is none
		return from, to, false
	}
	at[known-1]++
	return from, date(at), true
}

// ParseSince reads a time: a date or a timestamp, which are in UTC unless they say
// otherwise, or how long before now, such as 36h, 7d or 2w.
func ParseSince(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if ago, err := parseAgo(text); err == nil && ago >= 0 {
		return now.Add(-ago).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("must be a date (2026-11-22), a timestamp (2026-11-22T06:00:00Z) or how long ago (36h, 7d, 2w), not %q", text)
}

// parseAgo is time.ParseDuration with days and weeks.
func parseAgo(text string) (time.Duration, error) {
	for unit, hours := range map[string]int{"d": 24, "w": 7 * 24} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			count, err := strconv.Atoi(n)
			const most = 100_000 // hours of which fit a Duration
			return time.Duration(min(count, most)*hours) * time.Hour, cmp.Or(err, outOf(count, most))
		}
	}
	return time.ParseDuration(text)
}

func outOf(count, most int) error {
	if count < 0 || count > most {
		return fmt.Errorf("%d is not between 0 and %d", count, most)
	}
	return nil
}
