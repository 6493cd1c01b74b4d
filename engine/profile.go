package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/renameio/v2"
	"github.com/klauspost/cpuid/v2"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
)

// Profile is the settings that a bench found best for one model on one
// machine.
type Profile struct {
	Schema int `json:"schema"`
	ProfileKey
	BatchRows      int       `json:"batch_rows"`
	Workers        int       `json:"workers"`
	IntraOpThreads int       `json:"intra_op_threads"`
	RowsPerSecond  float64   `json:"rows_per_second"` // end to end, when measured
	Bench          string    `json:"bench"`           // id of the measurement
	Measured       time.Time `json:"measured"`
}

// ProfileKey is what a profile holds for: with any other model, provider,
// hardware or ONNX Runtime another choice may be best.
type ProfileKey struct {
	ModelSHA256 string       `json:"model_sha256"`
	Provider    ort.Provider `json:"provider"`
	Hardware    string       `json:"hardware"`
	ORT         string       `json:"onnxruntime"`
}

const profileSchema = 1

// maxProfileBytes bounds a profile; it is a file that anyone may have written.
const maxProfileBytes = 64 << 10

// ErrProfile says that a profile's file cannot be used.
var ErrProfile = errors.New("tuned profile")

// Hardware names what a profile depends on: the processor, its caches, the cores
// that are granted, and the device, unless the provider is the CPU.
func Hardware(provider ort.Provider, device int) string {
	c := &cpuid.CPU
	name := fmt.Sprintf("%s, family %d model %d, %d cores, L2 %d, L3 %d",
		c.BrandName, c.Family, c.Model, runtime.GOMAXPROCS(0), max(c.Cache.L2, 0), max(c.Cache.L3, 0))
	if provider == ort.CPU {
		return name
	}
	devices, _, _ := ort.Devices() // without any there is nothing to tune
	for _, d := range devices {
		if d.Number == device {
			return name + ", " + d.Name
		}
	}
	return name
}

// NewProfile makes a profile of this machine, and of the provider's first device,
// without settings.
func NewProfile(modelSHA256, provider, ortVersion string) *Profile {
	p := ort.Provider(provider)
	return &Profile{ProfileKey: ProfileKey{ModelSHA256: modelSHA256, Provider: p, Hardware: Hardware(p, 0), ORT: ortVersion}}
}

// path of the key's profile within a folder.
func (k *ProfileKey) path(dir string) string {
	text, _ := json.Marshal(k) // strings alone
	sum := sha256.Sum256(text)
	return filepath.Join(dir, hex.EncodeToString(sum[:12])+".json")
}

// Save writes the profile into a folder, which it makes if need be, in place of
// an older one of the same key, and returns the file's path.
func (f *Profile) Save(dir string) (string, error) {
	f.Schema = profileSchema
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrProfile, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrProfile, err)
	}
	path := f.path(dir)
	if err := ledger.Replaceable(path); err != nil {
		return "", fmt.Errorf("%w: %w", ErrProfile, err)
	}
	if err := renameio.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("%w: %w", ErrProfile, err)
	}
	return path, nil
}

// LoadProfile reads the profile of a key from a folder; nil when there is none.
func LoadProfile(dir string, key ProfileKey) (*Profile, string, error) {
	path := key.path(dir)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path, nil
	}
	switch {
	case err != nil:
	case !info.Mode().IsRegular(): // a pipe would be waited for
		err = fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxProfileBytes:
		err = fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	if err != nil {
		return nil, path, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, path, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	f := &Profile{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, path, fmt.Errorf("%w: %s: %w", ErrProfile, path, err)
	}
	switch {
	case f.Schema != profileSchema:
		return nil, path, fmt.Errorf("%w: %s: schema %d, and this millrace knows %d", ErrProfile, path, f.Schema, profileSchema)
	case f.ProfileKey != key:
		return nil, path, fmt.Errorf("%w: %s is of another model or machine than its name says", ErrProfile, path)
	case f.BatchRows < 1, f.Workers < 1 || f.Workers > MostThreads, f.IntraOpThreads < 1 || f.IntraOpThreads > MostThreads:
		return nil, path, fmt.Errorf("%w: %s: batches of %d rows, %d workers and %d threads cannot be", ErrProfile, path, f.BatchRows, f.Workers, f.IntraOpThreads)
	}
	return f, path, nil
}

// ProfileKey is the key of the plan's model on this machine.
func (p *Plan) ProfileKey(lib *ort.Library) ProfileKey {
	device := 0
	if len(p.Options.Devices) > 0 {
		device = p.Options.Devices[0] // the others are taken to be like it
	}
	return ProfileKey{ModelSHA256: p.modelsDigest(), Provider: p.Options.Provider, Hardware: Hardware(p.Options.Provider, device), ORT: lib.Version}
}

// tuned is the plan's profile and where it is from, or nil and why there is
// none, if that is worth a word.
func (p *Plan) tuned(lib *ort.Library) (f *Profile, reason string) {
	if p.Options.ProfileDir == "" {
		return nil, ""
	}
	f, path, err := LoadProfile(p.Options.ProfileDir, p.ProfileKey(lib))
	switch {
	case err != nil:
		return nil, err.Error()
	case f == nil:
		return nil, ""
	case f.BatchRows > p.mostBatchRows():
		return nil, fmt.Sprintf("%s has batches of %d rows, whose tensors would be more than %d MiB", path, f.BatchRows, p.mostBatchBytes()>>20)
	}
	workers := f.Workers
	if p.asked.workers || p.Options.Provider != ort.CPU { // there those of a profile are streams
		workers = p.Options.Workers
	}
	if !p.fits(f.BatchRows, workers) {
		return nil, fmt.Sprintf("%s has batches of %d rows and %d workers, which the memory limit has no room for", path, f.BatchRows, f.Workers)
	}
	return f, fmt.Sprintf("tuned on %s, %s", f.Measured.Format(time.DateOnly), path)
}
