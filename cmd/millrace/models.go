package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/internal/secret"
)

// modelFlags are the flags that say which models score the rows.
type modelFlags struct {
	models, sums, limits []string
}

func (o *modelFlags) AddFlags(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&o.models, "model", "m", nil, "the model: path or URI of an .onnx `FILE`; or, repeated, NAME=FILE of several that score the same rows in one pass, the first of which the others are compared with (docs/models.md)")
}

// addSumFlag adds the flag that pins models.
func (o *modelFlags) addSumFlag(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.sums, "model-sha256", nil, "refuse any model file with another SHA-256 (`HEX`, or NAME=HEX of one of several models)")
}

// addLimitFlag adds the flag of limits on agreement.
func (o *modelFlags) addLimitFlag(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.limits, "agreement-limit", nil, "`NAME=NUMBER` beyond which nothing is published: how far predictions of other models may be from the first's; one of "+strings.Join(engine.LimitNames(), ", ")+"; repeatable")
}

// namedFile is NAME=FILE; a path that looks like it is given as ./NAME=FILE.
var namedFile = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*)=(.+)$`)

// set puts the flags into the engine's options.
func (o *modelFlags) set(opts *engine.Options) error {
	if err := o.setModels(opts); err != nil {
		return err
	}
	if err := o.setSums(opts); err != nil {
		return err
	}
	return o.setLimits(opts)
}

func (o *modelFlags) setModels(opts *engine.Options) error {
	var all []engine.ModelOptions
	for _, text := range o.models {
		if err := secret.In(text); err != nil {
			return fmt.Errorf("%w: --model: %w", engine.ErrUsage, err)
		}
		m := namedFile.FindStringSubmatch(text)
		switch {
		case m != nil:
			all = append(all, engine.ModelOptions{Name: m[1], Model: m[2]})
		case len(o.models) > 1:
			path := text
			if name, rest, ok := strings.Cut(text, "="); ok && !strings.Contains(name, "/") {
				path = rest // what stands before it is meant for a name
			}
			return fmt.Errorf("%w: --model (%s): of several models each has a name, of letters, digits, _ and -, a letter first: NAME=FILE, such as challenger=%s", engine.ErrUsage, text, path)
		default:
			opts.Model = text
		}
	}
	if len(all) > 0 {
		opts.Models = all
	}
	return nil
}

func (o *modelFlags) setSums(opts *engine.Options) error {
	for _, text := range o.sums {
		name, sum, named := strings.Cut(text, "=")
		if !named {
			if len(opts.Models) > 0 || len(o.sums) > 1 {
				return fmt.Errorf("%w: --model-sha256 (%s): of several models, say whose it is: NAME=HEX", engine.ErrUsage, text)
			}
			opts.ModelSHA256 = text
			continue
		}
		at := slices.IndexFunc(opts.Models, func(m engine.ModelOptions) bool { return m.Name == name })
		if at < 0 {
			names := make([]string, len(opts.Models))
			for i := range opts.Models {
				names[i] = opts.Models[i].Name
			}
			return fmt.Errorf("%w: --model-sha256 (%s): no model is named %q%s", engine.ErrUsage, text, name, nearest.DidYouMean(name, names))
		}
		opts.Models[at].ModelSHA256 = sum
	}
	return nil
}

func (o *modelFlags) setLimits(opts *engine.Options) error {
	for _, text := range o.limits {
		name, number, ok := strings.Cut(text, "=")
		value, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil {
			return fmt.Errorf("%w: --agreement-limit (%s) must be NAME=NUMBER, such as max_psi=0.1", engine.ErrUsage, text)
		}
		if err := opts.AgreementLimits.Set(name, value); err != nil {
			return fmt.Errorf("%w: --agreement-limit (%s): %w", engine.ErrUsage, text, err)
		}
	}
	return nil
}

// modelsText names the models of a run.
func modelsText(opts *engine.Options) string {
	if len(opts.Models) == 0 {
		return filepath.Base(opts.Model)
	}
	names := make([]string, len(opts.Models))
	for i, m := range opts.Models {
		names[i] = m.Name + "=" + filepath.Base(m.Model)
	}
	return strings.Join(names, ", ")
}

// movedModels are where a replay finds models, from its --model flags.
func movedModels(texts []string) (one string, byName map[string]string, err error) {
	var o modelFlags
	o.models = texts
	var opts engine.Options
	if err := o.setModels(&opts); err != nil {
		return "", nil, err
	}
	byName = map[string]string{}
	for _, m := range opts.Models {
		if _, twice := byName[m.Name]; twice {
			return "", nil, fmt.Errorf("%w: --model names %q twice", engine.ErrUsage, m.Name)
		}
		byName[m.Name] = m.Model
	}
	return opts.Model, byName, nil
}
