package objects

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace/engine/ledger"
)

// past is what stands at the output's name, by its manifests.
type past struct {
	live []*ledger.Manifest // of the runs whose files make up the output, newest first
	sum  string             // SHA-256 of the newest manifest
}

// maxManifestBytes bounds what is read of a manifest.
const maxManifestBytes = 256 << 20

// readPast reads the newest manifest and, as long as they are appends, those before. The log
// says which is the newest; where there is none, as in a copy of a local output, the one that
// no other names as its parent.
func (s *store) readPast(ctx context.Context, p *place, o *own, newest string) (*past, error) {
	h := &past{}
	manifests, sums := map[string]*ledger.Manifest{}, map[string]string{}
	read := func(ctx context.Context, run string) error {
		m, sum, err := s.readManifest(ctx, p, run)
		if err == nil {
			manifests[run], sums[run] = m, sum
		}
		return err
	}
	if !o.manifests[newest] {
		for _, run := range slices.Sorted(maps.Keys(o.manifests)) {
			if err := read(ctx, run); err != nil {
				return nil, err
			}
		}
		newest = newestOf(manifests)
	}
	for run := newest; o.manifests[run]; {
		if manifests[run] == nil {
			if err := read(ctx, run); err != nil {
				return nil, err
			}
		}
		m := manifests[run]
		if m == nil || slices.Contains(h.live, m) {
			break
		}
		h.live = append(h.live, m)
		if m.Mode != ledger.ModeAppend || m.Parent == nil {
			break
		}
		run = m.Parent.Run
	}
	h.sum = sums[newest]
	return h, nil
}

// newestOf is the run that no other names as its parent and that finished last.
func newestOf(manifests map[string]*ledger.Manifest) string {
	named := map[string]bool{}
	for _, m := range manifests {
		if m != nil && m.Parent != nil {
			named[m.Parent.Run] = true
		}
	}
	var newest *ledger.Manifest
	for run, m := range manifests {
		if m != nil && !named[run] && (newest == nil || cmp.Or(m.Finished.Compare(newest.Finished), strings.Compare(m.Run, newest.Run)) > 0) {
			newest = m
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Run
}

// readManifest reads a run's manifest, and the digest of its bytes; nil where it cannot be
// understood, of which verify says more.
func (s *store) readManifest(ctx context.Context, p *place, run string) (*ledger.Manifest, string, error) {
	data, err := s.get(ctx, p.run(run)+manifestName, maxManifestBytes)
	if err != nil {
		return nil, "", err
	}
	m, err := ledger.ParseManifest(data)
	if err != nil || m.Run != run {
		return nil, "", nil //nolint:nilerr // verify says more
	}
	sum := sha256.Sum256(data)
	return m, hex.EncodeToString(sum[:]), nil
}

// base is what an append builds on.
func (h *past) base(how ledger.IfExists) string {
	if how == ledger.IfExistsAppend {
		return h.sum
	}
	return ""
}

// firstFile is the number of the run's first output file.
func (h *past) firstFile(how ledger.IfExists) int {
	first := 0
	if how != ledger.IfExistsAppend {
		return first
	}
	for _, m := range h.live {
		for _, o := range m.Outputs {
			var n int
			if _, err := fmt.Sscanf(path.Base(o.Name), "part-%d", &n); err == nil && n >= first {
				first = n + 1
			}
		}
	}
	return first
}

// publishedAlready returns a *PublishedError when an equal job made what stands there.
func (s *staging) publishedAlready(ctx context.Context) error {
	live := s.mu.before.live
	if s.opts.Job == nil || s.opts.Restart || s.opts.IfExists == ledger.IfExistsReplace && len(live) > 1 {
		return nil
	}
	job := s.opts.Job.Digest()
	for _, m := range live {
		if m.Job != job || len(m.Outputs) == 0 {
			continue
		}
		if err := each(ctx, m.Outputs, s.stands); err == nil {
			return &ledger.PublishedError{Output: s.place.shown, Manifest: m}
		}
	}
	return nil
}

// stands says that an output is there, with its size.
func (s *staging) stands(ctx context.Context, o ledger.Output) error {
	size, err := s.store.size(ctx, s.place.final(o.Name))
	if err == nil && size != o.Bytes {
		err = fmt.Errorf("%s has %d bytes and had %d", o.Name, size, o.Bytes)
	}
	return err
}

// standing is what stands at the output's name.
type standing struct {
	there   bool // something
	success bool // _SUCCESS
}

// present is standing, with the keys of the whole output where it is to be replaced.
type present struct {
	standing

	keys []string // in the order of the listing
}

func (p present) equal(other present) bool {
	return p.there == other.there && slices.Equal(p.keys, other.keys)
}

// look finds out what stands at the output's name.
func (s *staging) look(ctx context.Context) (present, error) {
	if s.opts.Single || s.opts.IfExists != ledger.IfExistsReplace {
		found, err := s.store.glance(ctx, s.place)
		return present{standing: found}, err
	}
	var found present
	err := s.store.list(ctx, s.place.prefix, "", func(o object) error {
		if strings.HasPrefix(o.key, s.place.own) {
			return nil
		}
		found.keys = append(found.keys, o.key)
		switch name := strings.TrimPrefix(o.key, s.place.prefix); name {
		case "", strings.TrimSuffix(ownName, "/"):
		case successName:
			found.standing = standing{there: true, success: true}
		default:
			found.there = true
		}
		return nil
	})
	return found, err
}

// lookAhead looks at all that stands at the output's name, where it is to be replaced, while
// rows are scored.
func (s *staging) lookAhead(stands standing) {
	s.mu.stood = func() (present, error) { return present{standing: stands}, nil }
	if s.opts.Single || s.opts.IfExists != ledger.IfExistsReplace || !stands.there {
		return
	}
	s.mu.stood = sync.OnceValues(func() (present, error) { return s.look(s.during()) })
	s.notes.Go(func() error {
		_, _ = s.mu.stood() // who asks has the error
		return nil
	})
}

// glance finds it out without looking into folders.
func (s *store) glance(ctx context.Context, p *place) (found standing, err error) {
	if p.name != "" {
		err = s.list(ctx, p.prefix+p.name, "/", func(o object) error {
			found.there = found.there || o.key == p.prefix+p.name
			return nil
		})
		return found, err
	}
	err = s.list(ctx, p.prefix, "/", func(o object) error {
		switch name := strings.TrimPrefix(o.key, p.prefix); name {
		case ownName, "", strings.TrimSuffix(ownName, "/"):
		case successName:
			found = standing{there: true, success: true}
			return errStop
		default:
			found.there = true
		}
		return nil
	})
	return found, err
}

// mayGiveWay returns an error if what stands at the output's name may not give way.
func (s *staging) mayGiveWay(found standing) error {
	live := len(s.mu.before.live) > 0
	switch {
	case !found.there:
		return nil
	case s.opts.Single:
		if s.opts.IfExists != ledger.IfExistsReplace {
			return s.exists("--if-exists replace replaces it when the new one is whole")
		}
		return nil
	case s.opts.IfExists == ledger.IfExistsError:
		return s.exists("--if-exists replace replaces it when the new one is whole, append adds to it")
	case s.opts.IfExists == ledger.IfExistsAppend && !live:
		return s.exists("it has no manifest, so nothing is known about what to append to; choose another place")
	case s.opts.IfExists == ledger.IfExistsAppend:
		return s.beside()
	case !live && !found.success:
		return s.exists("it has neither _SUCCESS nor a manifest, so it is no output and will not be removed; remove it yourself or choose another place")
	}
	return nil
}

// beside refuses to append files of another format or layout: a folder is read as one table.
func (s *staging) beside() error {
	if why := ledger.OtherFiles(s.mu.before.live, s.opts.Ext, s.opts.PartitionBy); why != "" {
		return s.exists(why)
	}
	return nil
}
