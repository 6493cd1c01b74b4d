package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func newVersion(s streams, common *commonOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of millrace and of what it was built with.",
		Example: `  millrace version
  millrace version --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return common.print(s, buildReport()) },
	}
}

// versionReport is the answer of version.
type versionReport struct {
	Version  string            `json:"version"`
	Commit   string            `json:"commit"`
	Dirty    bool              `json:"dirty"` // built from files that the commit does not have
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Modules  map[string]string `json:"modules"`
}

// namedModules are those whose version a bug report needs.
var namedModules = []string{"github.com/apache/arrow-go/v18", "github.com/yalue/onnxruntime_go", "github.com/klauspost/compress"}

func buildReport() *versionReport {
	r := &versionReport{
		Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Modules: map[string]string{},
	}
	r.Dirty = strings.HasSuffix(version, "-dirty")
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return r
	}
	for _, name := range namedModules {
		for _, m := range info.Deps {
			if m.Path == name {
				r.Modules[name] = m.Version
			}
		}
	}
	if r.Commit != "" { // the linker was told
		return r
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			r.Commit = setting.Value
		case "vcs.modified":
			r.Dirty = setting.Value == "true"
		}
	}
	return r
}

// Text writes one line per version.
func (r *versionReport) Text(w io.Writer) error {
	c := r.Commit
	if c == "" {
		c = "unknown commit"
	}
	if _, err := fmt.Fprintf(w, "millrace %s (%s) %s %s\n", r.Version, c, r.Go, r.Platform); err != nil {
		return err
	}
	for _, name := range namedModules {
		if v := r.Modules[name]; v != "" {
			if _, err := fmt.Fprintf(w, "  %s %s\n", name, v); err != nil {
				return err
			}
		}
	}
	return nil
}
