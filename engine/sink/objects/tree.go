package objects

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
)

// tree is a listing of an output as files: what verify, runs and replay look at. What
// publishing needs, and no reader, is not in it.
type tree struct {
	store *store
	place *place
	ctx   func() context.Context // of the command that looks
	nodes map[string]*node       // by name, relative to the place's prefix
}

// node is a file or a folder.
type node struct {
	name    string // its last part
	size    int64
	modTime time.Time
	folder  map[string]*node // nil for a file
}

// newTree lists an output; of a single file only what is its own.
func (s *store) newTree(ctx context.Context, p *place) (*tree, error) {
	t := &tree{store: s, place: p, ctx: func() context.Context { return ctx }, nodes: map[string]*node{}}
	t.nodes["."] = &node{name: ".", folder: map[string]*node{}}
	prefixes := []string{p.prefix}
	if p.name != "" {
		prefixes = []string{p.own, p.prefix + p.name}
	}
	n := 0
	for _, prefix := range prefixes {
		err := s.list(ctx, prefix, "", func(o object) error {
			if n++; n > maxObjects {
				return errors.New("it has more objects than any run makes")
			}
			if p.name == "" || prefix == p.own || o.key == prefix {
				t.add(o)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// add puts an object into its folders.
func (t *tree) add(o object) {
	name := strings.TrimPrefix(o.key, t.place.prefix)
	if rest, own := strings.CutPrefix(o.key, t.place.own); own {
		run, inRun, _ := strings.Cut(rest, "/")
		if run+"/" == logName || strings.HasPrefix(inRun, stagingName) {
			return
		}
	}
	if name = strings.TrimSuffix(name, "/"); name == "" || !fs.ValidPath(name) || o.key[len(o.key)-1] == '/' {
		return // folders are what keys say; an empty object for one says nothing
	}
	n := &node{name: path.Base(name), size: o.size, modTime: o.modTime}
	t.nodes[name] = n
	for name != "." {
		dir := path.Dir(name)
		above := t.nodes[dir]
		if above == nil {
			above = &node{name: path.Base(dir)}
			t.nodes[dir] = above
		}
		if above.folder == nil { // a store can have both
			above.folder = map[string]*node{}
		}
		above.folder[n.name] = n
		n, name = above, dir
	}
}

func (t *tree) node(op, name string) (*node, error) {
	if n := t.nodes[name]; n != nil {
		return n, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Stat describes a name.
func (t *tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.node("stat", path.Clean(name))
	if err != nil {
		return nil, err
	}
	return nodeInfo{n}, nil
}

// ReadDir lists a folder.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.node("open", path.Clean(name))
	if err != nil {
		return nil, err
	}
	if n.folder == nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("it is an object")}
	}
	entries := make([]fs.DirEntry, 0, len(n.folder))
	for _, below := range n.folder {
		entries = append(entries, fs.FileInfoToDirEntry(nodeInfo{below}))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Path is the URI of a name.
func (t *tree) Path(name string) string { return t.place.uri(t.place.prefix + name) }

// Open reads an object from its beginning. Where the answer breaks off, it goes on from
// there.
func (t *tree) Open(name string) (fs.File, error) {
	n, err := t.node("open", path.Clean(name))
	if err != nil {
		return nil, err
	}
	return &openObject{tree: t, node: n, key: t.place.prefix + path.Clean(name)}, nil
}

// openObject is an object being read.
type openObject struct {
	tree *tree
	node *node
	key  string

	reader *blob.Reader
	at     int64
	tries  int
}

// Stat describes it, as it was listed.
func (o *openObject) Stat() (fs.FileInfo, error) { return nodeInfo{o.node}, nil }

// Read reads on.
func (o *openObject) Read(p []byte) (int, error) {
	ctx := o.tree.ctx()
	for {
		if o.at >= o.node.size {
			return 0, io.EOF
		}
		if o.reader == nil {
			r, err := o.tree.store.bucket.NewRangeReader(ctx, o.key, o.at, o.node.size-o.at, nil)
			if err != nil {
				return 0, missing(err)
			}
			o.reader = r
		}
		n, err := o.reader.Read(p)
		o.at += int64(n)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue
		}
		_ = o.reader.Close() // what broke off is said already
		o.reader = nil
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if o.tries++; o.tries >= readTries || ctx.Err() != nil {
			return 0, err
		}
	}
}

// Close ends the reading.
func (o *openObject) Close() error {
	if o.reader == nil {
		return nil
	}
	return o.reader.Close()
}

// nodeInfo describes a node as a file.
type nodeInfo struct{ *node }

func (i nodeInfo) Name() string       { return i.name }
func (i nodeInfo) Size() int64        { return i.size }
func (i nodeInfo) ModTime() time.Time { return i.modTime }
func (i nodeInfo) IsDir() bool        { return i.folder != nil }
func (i nodeInfo) Sys() any           { return nil }

func (i nodeInfo) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
