package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/millrace/millrace/io/dataset"
)

// contentWindow is how many bytes of a file's beginning, middle and end are looked at.
// The end of Parquet and Arrow files has the sizes, and of Parquet the statistics, of all
// that comes before.
const contentWindow = 32 << 10

// contentOf tells data by what they are, whatever their files are called and wherever
// they lie: by sizes, rows and some bytes of each file. Empty where a file is none of
// this machine's.
func contentOf(files []dataset.FileInfo, columns []string) string {
	lines := make([]string, 0, len(files))
	for i := range files {
		sum, err := windowsOf(files[i].Path)
		if err != nil {
			return "" // the run says why, if it cannot read it either
		}
		lines = append(lines, fmt.Sprintf("%d %d %s", files[i].Size, files[i].Rows, sum))
	}
	slices.Sort(lines) // other names sort otherwise
	return digestOf(fmt.Sprintf("%q %q", lines, columns))
}

func windowsOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	sum := sha256.New()
	last := max(info.Size()-contentWindow, 0)
	for _, at := range []int64{0, last / 2, last} {
		if _, err := io.Copy(sum, io.NewSectionReader(f, at, contentWindow)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// same says whether two measurements read the same data: by their name, or by what they are.
func (d *Data) same(o *Data) bool {
	return d.SHA256 == o.SHA256 || d.Content != "" && d.Content == o.Content
}

// sameData says whether all measurements read the same data.
func sameData(all []*Summary) bool {
	return !slices.ContainsFunc(all, func(s *Summary) bool { return !s.Head.Data.same(&all[0].Head.Data) })
}
