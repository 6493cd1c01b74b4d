package objects

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
)

// Adopt uploads the part that another process staged on this machine, and records it.
func (s *staging) Adopt(dir string, part int) (ledger.PartRecord, error) {
	from, record, err := ledger.FindApart(dir, s.opts.RunID, part)
	if err != nil {
		return record, outputError(s.place, err)
	}
	if r := record.Rejects; r != nil {
		file, err := s.PartRejects(part)
		if err != nil {
			return record, err
		}
		if *r, err = adopt(file, filepath.Join(from, r.Name), r.Rows); err != nil {
			return record, s.failed(err)
		}
	}
	if s.opts.Pieces {
		file, err := s.Part(part)
		if err != nil {
			return record, err
		}
		o := &record.Outputs[0]
		if *o, err = adopt(file, filepath.Join(from, "data", o.Name), o.Rows); err != nil {
			return record, s.failed(err)
		}
		return record, s.Record(record)
	}
	var files []stagedFile
	for i := range record.Outputs {
		o := &record.Outputs[i]
		name := s.adoptedName(part, o.Name)
		u, err := s.newUpload(s.stagedKey(name), name, pieceBytes, func(f stagedFile) { files = append(files, f) })
		if err != nil {
			return record, err
		}
		if *o, err = adopt(u, filepath.Join(from, "data", filepath.FromSlash(o.Name)), o.Rows); err != nil {
			return record, s.failed(err)
		}
	}
	s.putPart(part, files)
	return record, s.Record(record)
}

// adoptedName is the name here of a file that was staged where the first part has the
// number 0.
func (s *staging) adoptedName(part int, name string) string {
	if s.opts.Single {
		return s.place.name
	}
	folder, base := path.Split(name)
	return folder + s.partStem(part) + strings.TrimPrefix(base, fmt.Sprintf("part-%05d", part))
}

// adopt uploads a file.
func adopt(to sink.File, file string, rows int64) (_ ledger.Output, err error) {
	f, err := os.Open(file)
	if err != nil {
		return ledger.Output{}, errors.Join(err, to.Abort())
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(to, f); err != nil {
		return ledger.Output{}, errors.Join(err, to.Abort())
	}
	return to.Commit(rows)
}
