package objects

import (
	"fmt"
	"path"
	"strings"
	"unicode"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/format"
)

// Names in an output's own folder.
const (
	ownName      = "_millrace/"
	stagingName  = "staging/"
	logName      = "log/"
	manifestName = "manifest.json"
	sealName     = "manifest.sha256"
	rejectsName  = "rejects.parquet"
	successName  = "_SUCCESS"

	startName   = "start"
	beatName    = "beat"
	loadingName = "loading"
	stoppedName = "stopped"
	commitName  = "commit"
	journalName = "journal/"
	dataName    = "data/"
	piecesName  = "pieces/"
	badRowsName = "rejects/"
	stagedExt   = ".staged" // so that no glob of *.parquet finds them
)

// escapeMark begins what the driver of S3 writes in place of characters that it takes for
// risky: a name that has it would be written as another.
const escapeMark = "__0x"

// place is where an output lies in a store.
type place struct {
	shown  string             // as messages name it
	at     blobstore.Location // its bucket, without a key
	prefix string             // of the output's keys: empty, or with a slash at its end
	name   string             // of a single file, below prefix
	own    string             // prefix of the runs' own objects
}

// parsePlace takes an output's URI apart.
func parsePlace(output string, single bool) (*place, error) {
	at, err := blobstore.ParseURI(output)
	if err != nil {
		return nil, fmt.Errorf("--output: %w", err)
	}
	p, key := &place{shown: output, at: blobstore.Location{Scheme: at.Scheme, Bucket: at.Bucket}}, at.Key
	bad := func(what string) error { return fmt.Errorf("--output %s: %s", p.shown, what) }
	if trimmed := strings.TrimSuffix(key, "/"); trimmed != "" && path.Clean("/"+trimmed) != "/"+trimmed {
		return nil, bad(`a name cannot have parts that are empty, "." or ".."`)
	}
	if strings.Contains(key, escapeMark) {
		return nil, bad("a name cannot have " + escapeMark + " in it")
	}
	if i := strings.IndexFunc(key, unicode.IsControl); i >= 0 {
		return nil, fmt.Errorf("--output %q: a name cannot have control characters", p.shown)
	}
	if single {
		var dir string
		dir, p.name = path.Split(key)
		p.prefix, p.own = dir, dir+"_"+p.name+".millrace/"
		return p, nil
	}
	if key = strings.TrimSuffix(key, "/"); key != "" {
		p.prefix = key + "/"
	}
	p.own = p.prefix + ownName
	for part := range strings.SplitSeq(key, "/") {
		if strings.HasSuffix(part, ".millrace") && strings.HasPrefix(part, "_") || part == strings.TrimSuffix(ownName, "/") {
			return nil, bad("it lies in a folder that runs keep for themselves")
		}
	}
	return p, nil
}

// isFile says whether an output is a single file, by its name.
func isFile(output string) bool {
	at, err := blobstore.ParseURI(output)
	if err != nil {
		return false
	}
	_, file := format.KindOf(at.Key)
	return file
}

// run is the prefix of a run's own objects, and staging that of what it has staged.
func (p *place) run(run string) string     { return p.own + run + "/" }
func (p *place) staging(run string) string { return p.run(run) + stagingName }

// final is the key of a file of the output, by its name in a manifest.
func (p *place) final(name string) string { return p.prefix + name }

// label is the name in a manifest of one of the runs' own objects, by its key.
func (p *place) label(key string) string { return strings.TrimPrefix(key, p.prefix) }

// uri is what a key is called in messages.
func (p *place) uri(key string) string {
	at := p.at
	at.Key = key
	return at.String()
}

// keptRejects is where the rejects of a run lie that published nothing: beside the output,
// which would seem to be there otherwise.
func (p *place) keptRejects(run string) string {
	if p.name != "" || p.prefix == "" {
		return p.run(run) + rejectsName
	}
	dir, name := path.Split(strings.TrimSuffix(p.prefix, "/"))
	return dir + "_" + name + ".millrace/" + run + "/" + rejectsName
}
