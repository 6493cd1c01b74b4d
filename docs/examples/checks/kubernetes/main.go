// Command kubernetes checks the manifests on stdin as an API server does that is asked to
// create them: strict decoding, defaults, validation. It is a module of its own, so that
// millrace's has none of Kubernetes.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
)

func main() {
	if err := check(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check validates every document of a YAML stream and prints a line for each.
func check(in io.Reader, out io.Writer) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(data)))
	buffer := make([]byte, len(data)+1)
	for {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		object, kind, err := decoder.Decode(buffer[:n], nil, nil)
		if err != nil {
			return err
		}
		if problems := validate(object); len(problems) > 0 {
			return fmt.Errorf("%s: %w", kind.Kind, problems.ToAggregate())
		}
		fmt.Fprintf(out, "%s: valid\n", kind.Kind)
	}
}

func validate(object runtime.Object) field.ErrorList {
	switch o := object.(type) {
	case *batch.CronJob:
		o.Namespace = "default" // as kubectl sets it
		return batchvalidation.ValidateCronJobCreate(o, corevalidation.PodValidationOptions{})
	case *core.PersistentVolumeClaim:
		o.Namespace = "default"
		return corevalidation.ValidatePersistentVolumeClaim(o, corevalidation.PersistentVolumeClaimSpecValidationOptions{})
	}
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("no validation for %T here", object))}
}
