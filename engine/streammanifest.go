package engine

import (
	"fmt"
	"path/filepath"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
)

// openManifest makes the file of the manifest where one is asked for: that it cannot be
// written is better known before the first row is.
func (o *streamOut) openManifest(piped Piped) (err error) {
	if piped.Manifest == "" {
		return nil
	}
	if filepath.Clean(piped.Manifest) == filepath.Clean(piped.Rejects) {
		return fmt.Errorf("%w: --rejects and --manifest name one file, %q", ErrUsage, piped.Manifest)
	}
	o.manifest, err = newBesideFile(piped.Manifest)
	return err
}

// dropManifest removes the file, unless it has its name.
func (o *streamOut) dropManifest() error {
	if o.manifest == nil {
		return nil
	}
	return o.manifest.drop()
}

// writeManifest writes the manifest where one is asked for, which then only lacks its name.
func (c *collector) writeManifest(lib *ort.Library, m *ledger.Manifest) error {
	if c.stream.manifest == nil {
		return nil
	}
	job, err := c.plan.job(lib)
	if err != nil {
		return err
	}
	m.Version, m.Mode, m.Job = ledger.ManifestVersion, ledger.ModeStream, job.Digest()
	text, err := m.Encode()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInternal, err)
	}
	if _, err := c.stream.manifest.Write(text); err != nil {
		return err
	}
	return c.stream.manifest.sync()
}
