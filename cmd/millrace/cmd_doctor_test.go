package main

import (
	"slices"
	"strings"
	"testing"
)

// Every library that a provider may lack has an advice with a name to install it by.
func TestCUDAAdvice(t *testing.T) {
	for name, want := range map[string]string{
		"libcudart.so.13":                      "install cuda-cudart-13-0 of NVIDIA's package repository, or by pip: nvidia-cuda-runtime;",
		"libcublasLt.so.13":                    "or by pip: nvidia-cublas;",
		"libcudnn.so.9":                        "or by pip: nvidia-cudnn-cu13;",
		"libnvinfer.so.10":                     "install libnvinfer10 of NVIDIA's package repository, or by pip: 'tensorrt-cu13<11' --extra-index-url https://pypi.nvidia.com;",
		"libnvonnxparser.so.10":                "install libnvonnxparsers10 of",
		"libonnxruntime_providers_tensorrt.so": "`make runtime-cuda` brings both",
		"libsomething.so.1":                    "libsomething.so.1 is not found: install it",
	} {
		if got := cudaAdvice(name); !strings.Contains(got, want) || !strings.HasPrefix(got, name) {
			t.Errorf("cudaAdvice(%q) = %q; want %q in it", name, got, want)
		}
	}
}

// TensorRT is told apart: a library without the provider, and one that lacks it.
func TestExamineTensorRT(t *testing.T) {
	without := &libraryReport{Path: "lib/libonnxruntime.so", Providers: []string{"CUDAExecutionProvider"}}
	if r, advice := examineTensorRT(without); !strings.Contains(r.Note, "built without") || len(r.Missing)+len(advice) != 0 {
		t.Errorf("without a provider: %+v, %q; want a note alone", r, advice)
	}
	lacking := &libraryReport{Path: t.TempDir() + "/libonnxruntime.so", Providers: []string{"TensorrtExecutionProvider"}}
	r, advice := examineTensorRT(lacking)
	want := "libonnxruntime_providers_tensorrt.so"
	if !slices.Equal(r.Missing, []string{want}) || !strings.Contains(r.Note, "lacks "+want) || r.Version != "" {
		t.Errorf("without its library: %+v; want it missing", r)
	}
	if len(advice) != 1 || !strings.HasPrefix(advice[0], "for --provider tensorrt alone: "+want) {
		t.Errorf("without its library: advice %q; want that it is for TensorRT alone", advice)
	}
}
