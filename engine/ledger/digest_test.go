package ledger_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
)

// xxhashInput is what the test vectors of xxHash are digests of
// (Cyan4973/xxHash:cli/xsum_sanity_check.c): the high bytes of a 64-bit number that
// is multiplied by a prime.
func xxhashInput(n int) []byte {
	const prime32, prime64 = 2654435761, 11400714785074694797
	data, gen := make([]byte, n), uint64(prime32)
	for i := range data {
		data[i] = byte(gen >> 56)
		gen *= prime64
	}
	return data
}

func TestDigestFile(t *testing.T) {
	tests := []struct {
		name      string
		data      []byte
		algorithm string
		want      string // hex
	}{
		// FIPS 180-2's example.
		{"sha256 of abc", []byte("abc"), ledger.SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		// XXH128 without a seed, from the same file of xxHash.
		{"xxh3 of nothing", nil, ledger.XXH3, "99aa06d3014798d86001c324468d497f"},
		{"xxh3 of 1 byte", xxhashInput(1), ledger.XXH3, "a6cd5e9392000f6ac44bdff4074eecdb"},
		{"xxh3 of 6 bytes", xxhashInput(6), ledger.XXH3, "082afe0b8162d12a3e7039bdda43cfc6"},
		{"xxh3 of 12 bytes", xxhashInput(12), ledger.XXH3, "6e3efd8fc7802b18061a192713f69ad9"},
		{"xxh3 of 24 bytes", xxhashInput(24), ledger.XXH3, "0ce966e4678d37611e7044d28b1b901d"},
		{"xxh3 of 48 bytes", xxhashInput(48), ledger.XXH3, "a002ac4e5478227ef942219aed80f67b"},
		{"xxh3 of 81 bytes", xxhashInput(81), ledger.XXH3, "4952f58181ab00425e8bafb9f95fb803"},
		{"xxh3 of 222 bytes", xxhashInput(222), ledger.XXH3, "337e09641b948717f1aebd597cec6b3a"},
		{"xxh3 of 403 bytes", xxhashInput(403), ledger.XXH3, "1b6de21e332dd73dcdeb804d65c6dea4"},
		{"xxh3 of 512 bytes", xxhashInput(512), ledger.XXH3, "18d2d110dcc9bca1617e49599013cb6b"},
		{"xxh3 of 2048 bytes", xxhashInput(2048), ledger.XXH3, "f736557fd47073a5dd59e2c3a5f038e0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data")
			if err := os.WriteFile(path, test.data, 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := ledger.DigestFile(path, test.algorithm); err != nil || got != test.algorithm+":"+test.want {
				t.Errorf("DigestFile() = %q, %v; want %s:%s", got, err, test.algorithm, test.want)
			}
		})
	}
}

// TestDigestFileAsSha256sum compares with coreutils, on a file of many reads whose
// last is short.
func TestDigestFileAsSha256sum(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, xxhashInput(3_000_001), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sha256sum", path).Output()
	if err != nil {
		t.Skip("no sha256sum here: ", err)
	}
	want, _, _ := strings.Cut(string(out), " ")
	if got, err := ledger.DigestFile(path, ledger.SHA256); err != nil || got != "sha256:"+want {
		t.Errorf("DigestFile() = %q, %v; want sha256:%s", got, err, want)
	}
}

func TestDigestFileRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if got, err := ledger.DigestFile(path, ledger.XXH3); !errors.Is(err, fs.ErrNotExist) || got != "" {
		t.Errorf("DigestFile() of no file = %q, %v; want fs.ErrNotExist", got, err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := ledger.DigestFile(path, "md5"); !errors.Is(err, ledger.ErrDigest) || got != "" || !strings.Contains(err.Error(), `"md5"`) {
		t.Errorf("DigestFile() by md5 = %q, %v; want ErrDigest that names it", got, err)
	}
}
