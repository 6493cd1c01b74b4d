package sink

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
)

// Local are files on this machine.
type Local struct{}

// Traits says that parts are files.
func (Local) Traits() Traits { return Traits{} }

// Check finds nothing: what can be wrong is wrong of files anywhere.
func (Local) Check(*Options) error { return nil }

// CheckFields finds nothing: formats say what they hold.
func (Local) CheckFields([]arrow.Field) error { return nil }

// Held asks the lock's file.
func (Local) Held(_ context.Context, output string) error { return ledger.Held(output) }

// Stage stages the output beside its place.
func (Local) Stage(_ context.Context, opts Options) (Staging, error) {
	s, err := ledger.Stage(opts.StageOptions)
	if err != nil {
		return nil, err
	}
	return LocalStaging(s), nil
}

// Verify is ledger.Verify.
func (Local) Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (*ledger.Verification, error) {
	return ledger.Verify(ctx, output, opts)
}

// FindHistories is ledger.FindHistories.
func (Local) FindHistories(ctx context.Context, path string) (*ledger.Found, error) {
	return ledger.FindHistories(ctx, path)
}

// WithHistory is ledger.ReadHistory.
func (Local) WithHistory(_ context.Context, output string, read func(*ledger.History) error) error {
	h, err := ledger.ReadHistory(output)
	if err != nil {
		return err
	}
	return read(h)
}

// ManifestPlace is ledger.ManifestPath.
func (Local) ManifestPlace(output, run string) string { return ledger.ManifestPath(output, run) }

// RejectsPlace is ledger.RejectsPath.
func (Local) RejectsPlace(output, run string) string { return ledger.RejectsPath(output, run) }

// Seen is ledger.ReadSeen.
func (Local) Seen(_ context.Context, output string) (*ledger.Seen, error) {
	return ledger.ReadSeen(output)
}

// LocalStaging is a ledger's Staging as one of files.
func LocalStaging(s *ledger.Staging) Files { return local{s} }

type local struct{ *ledger.Staging }

// orNil keeps a nil pointer from becoming an interface that is not nil.
func orNil(f *ledger.PartFile, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (l local) Part(part int) (File, error)        { return orNil(l.Staging.Part(part)) }
func (l local) Whole() (File, error)               { return orNil(l.Staging.Whole()) }
func (l local) PartRejects(part int) (File, error) { return orNil(l.Staging.PartRejects(part)) }
func (l local) Rejects() (File, error)             { return orNil(l.Staging.Rejects()) }

func (l local) PartRejectsPath(part int) (string, error) {
	return l.Staging.PartRejectsPath(part), nil
}

func (l local) PartFiles(part int) (PartFiles, error) {
	files, err := l.Staging.PartFiles(part)
	if err != nil {
		return nil, err
	}
	return localFiles{files}, nil
}

func (l local) Scratch(name string) (ScratchFile, string, error) {
	file, path, err := l.Staging.Scratch(name)
	if err != nil {
		return nil, "", err
	}
	return file, path, nil
}

type localFiles struct{ *ledger.PartFiles }

func (f localFiles) Create(folder string) (CountedFile, error) {
	file, err := f.PartFiles.Create(folder)
	if err != nil {
		return nil, err
	}
	return file, nil
}
