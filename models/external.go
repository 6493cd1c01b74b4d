package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/millrace/millrace/models/onnxpb"
)

// externalRef is where one tensor's bytes lie in a file beside the model.
// Keys: https://github.com/onnx/onnx/blob/v1.23.2/docs/ExternalData.md.
type externalRef struct {
	tensor        string
	location      string
	offset, bytes int64
}

func externalOf(t *onnxpb.TensorProto, size int64) (externalRef, error) {
	ref := externalRef{tensor: t.GetName(), bytes: size}
	for _, e := range t.GetExternalData() {
		switch e.GetKey() {
		case "location":
			ref.location = e.GetValue()
		case "offset":
			v, err := strconv.ParseInt(e.GetValue(), 10, 64)
			if err != nil || v < 0 {
				return ref, damagedf("tensor %.80q has the external offset %.80q", ref.tensor, e.GetValue())
			}
			ref.offset = v
		case "length":
			v, err := strconv.ParseInt(e.GetValue(), 10, 64)
			if err != nil || v != size {
				return ref, damagedf("tensor %.80q has %.80q bytes of external data where its dimensions take %d",
					ref.tensor, e.GetValue(), size)
			}
		}
	}
	switch {
	case ref.location == "":
		return ref, damagedf("tensor %.80q is external but names no file", ref.tensor)
	// ONNX Runtime reads such a "location" as an address in its own memory
	// (onnxruntime:core/framework/tensorprotoutils.h, kTensorProtoMemoryAddressTag).
	case strings.Contains(ref.location, "_ORT_MEM_ADDR_"):
		return ref, unsafef("tensor %.80q names a memory address as its external file", ref.tensor)
	case strings.ContainsRune(ref.location, 0) || !filepath.IsLocal(ref.location):
		return ref, unsafef("tensor %.80q names the external file %.80q, outside the model's folder", ref.tensor, ref.location)
	case t.RawData != nil || len(t.GetFloatData())+len(t.GetInt32Data())+len(t.GetInt64Data()) > 0:
		return ref, damagedf("tensor %.80q has both external data and its own", ref.tensor)
	}
	return ref, nil
}

// checkExternal opens every named file inside folder, following symbolic links
// only as long as they stay there, checks that each tensor lies within its
// file, and hashes the files.
func checkExternal(folder string, refs []externalRef) (files []ExternalFile, err error) {
	switch {
	case len(refs) == 0:
		return nil, nil
	case folder == "":
		return nil, fmt.Errorf("%w: weights lie in other files (%.80q is one), which are not fetched from a store: copy the model's folder to a disk, or save the model as one file", ErrMissingData, refs[0].location)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMissingData, err)
	}
	defer root.Close()
	sizes := map[string]int64{}
	for _, ref := range refs {
		location := filepath.Clean(ref.location)
		size, seen := sizes[location]
		if !seen {
			f, err := hashExternal(root, location)
			if err != nil {
				return nil, fmt.Errorf("tensor %.80q: %w", ref.tensor, err)
			}
			size = f.Bytes
			sizes[location] = size
			files = append(files, f)
		}
		if ref.offset > size || ref.bytes > size-ref.offset {
			return nil, damagedf("tensor %.80q ends at byte %s of the external file %.80q, which has %d (cut short?)",
				ref.tensor, strconv.FormatUint(uint64(ref.offset)+uint64(ref.bytes), 10), ref.location, size)
		}
	}
	return files, nil
}

func hashExternal(root *os.Root, location string) (file ExternalFile, err error) {
	f, err := root.OpenFile(location, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return file, fmt.Errorf("%w: %w", ErrMissingData, err)
	case err != nil: // what is left is a link that leads out
		return file, unsafef("the external file %.80q cannot be opened inside the model's folder: %s", location, err)
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return file, fmt.Errorf("%w: %w", ErrMissingData, err)
	}
	if !info.Mode().IsRegular() {
		return file, unsafef("the external file %.80q is not a regular file", location)
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return file, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return ExternalFile{Location: location, Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil)), info: info}, nil
}

// Changed says which external file is not the one any more that was digested, by its size, time
// of change and inode: to be asked when a session has been made. Its error wraps ErrModel.
func (m *Model) Changed() error {
	return m.eachExternal(func(e *ExternalFile, now fs.FileInfo, err error) bool {
		return err != nil || !os.SameFile(now, e.info) || !e.sameTime(now)
	})
}

// Overwritten says which external file has been written to since it was digested: sessions map
// such files, so their weights are others then. One that was replaced by another is theirs still.
// Its error wraps ErrModel.
func (m *Model) Overwritten() error {
	return m.eachExternal(func(e *ExternalFile, now fs.FileInfo, err error) bool {
		return err == nil && os.SameFile(now, e.info) && !e.sameTime(now)
	})
}

func (e *ExternalFile) sameTime(now fs.FileInfo) bool {
	return now.Size() == e.info.Size() && now.ModTime().Equal(e.info.ModTime())
}

func (m *Model) eachExternal(differs func(e *ExternalFile, now fs.FileInfo, err error) bool) error {
	for i := range m.External {
		e := &m.External[i]
		if now, err := os.Stat(filepath.Join(m.folder, e.Location)); differs(e, now, err) {
			return fmt.Errorf("%w: its external file %.80q changed after its digest was taken: run again when nobody writes to it", ErrModel, e.Location)
		}
	}
	return nil
}

// digestOfAll is Model.SHA256 of a model whose own file has a digest.
func digestOfAll(own string, files []ExternalFile) string {
	if len(files) == 0 {
		return own
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s  -\n", own)
	for _, f := range files {
		_, _ = fmt.Fprintf(h, "%s  %s\n", f.SHA256, f.Location)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readExternal reads the bytes of a tensor whose external data were checked when
// the model was opened.
func readExternal(folder string, t *onnxpb.TensorProto, size int64) (data []byte, err error) {
	ref, err := externalOf(t, size)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMissingData, err)
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.Clean(ref.location), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMissingData, err)
	}
	defer f.Close() // it was only read
	data = make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, ref.offset, size), data); err != nil {
		return nil, fmt.Errorf("%w: tensor %.80q: %w", ErrMissingData, ref.tensor, err)
	}
	return data, nil
}
