package ort

// #include <stdlib.h>
// #include "driver.h"
// #include "shim.h"
import "C"

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// Node is one node of a session's graph and where it runs.
type Node struct {
	Name     string
	Operator models.Operator // Nodes is 1
	Provider Provider        // or ONNX Runtime's name of one that has none here
}

// appendProvider adds the options' provider to a session's, before ONNX
// Runtime's CPU provider, which takes the nodes that it has no kernel for.
func (o *SessionOptions) appendProvider(lib *Library, m *models.Model, options *C.OrtSessionOptions) error {
	if o.Provider == CPU {
		return nil
	}
	if !slices.Contains(lib.Providers, providerNames[o.Provider]) {
		return fmt.Errorf("%w: %s of version %s was built without %s; `make runtime-cuda` brings one with it, and --ort-lib or %s names it",
			ErrProvider, lib.Path, lib.Version, o.Provider, EnvVariable)
	}
	var e C.mr_error
	if C.mr_driver_sleep_while_waiting(C.int(o.Device), &e) == 0 {
		return fmt.Errorf("%w: %s: %w", ErrProvider, o.Provider, driverError(&e))
	}
	if o.Provider == TensorRT {
		settings, err := o.tensorRTSettings(lib, m)
		if err != nil {
			return err
		}
		if err := o.append(options, TensorRT, settings); err != nil {
			return err
		}
	}
	return o.append(options, CUDA, o.cudaSettings()) // behind TensorRT, for what it does not take
}

// cudaSettings are the CUDA provider's.
func (o *SessionOptions) cudaSettings() map[string]string {
	settings := map[string]string{
		"device_id": strconv.Itoa(o.Device),
		// Every Run asks for the same sizes: growing in powers of two would only
		// keep more than is used.
		"arena_extend_strategy": "kSameAsRequested",
		"use_tf32":              boolText(o.TF32),
	}
	if o.DeviceMemory > 0 {
		settings["gpu_mem_limit"] = strconv.FormatInt(o.DeviceMemory, 10)
	}
	return settings
}

// append adds one provider with its settings.
func (o *SessionOptions) append(options *C.OrtSessionOptions, provider Provider, settings map[string]string) error {
	keys := slices.Sorted(maps.Keys(settings))
	texts := make([]*C.char, 0, 2*len(keys))
	defer func() {
		for _, t := range texts {
			C.free(unsafe.Pointer(t))
		}
	}()
	for _, k := range keys {
		texts = append(texts, C.CString(k))
	}
	for _, k := range keys {
		texts = append(texts, C.CString(settings[k]))
	}
	since := logEnd()
	var status *C.OrtStatus
	if provider == TensorRT {
		status = C.mr_append_tensorrt(options, &texts[0], &texts[len(keys)], C.size_t(len(keys)))
	} else {
		status = C.mr_append_cuda(options, &texts[0], &texts[len(keys)], C.size_t(len(keys)))
	}
	if err := statusError(status, since); err != nil {
		return fmt.Errorf("%w: %s: %w; `millrace doctor` says what it needs", ErrProvider, provider, err)
	}
	return nil
}

func boolText(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

// Placement lists the nodes of the session's graph and where each runs, as ONNX
// Runtime dealt them out after its basic optimisations, or nil for a session on
// the CPU, where all run.
func (s *Session) Placement() []Node { return s.placement }

// recordPlacement asks ONNX Runtime for the placement.
func (s *Session) recordPlacement() error {
	var n C.size_t
	if err := statusError(C.mr_placement(s.c, nil, 0, &n), logEnd()); err != nil || n == 0 {
		return err
	}
	nodes := make([]C.mr_node, n)
	if err := statusError(C.mr_placement(s.c, &nodes[0], n, &n), logEnd()); err != nil {
		return err
	}
	for i := range nodes {
		domain := C.GoString(nodes[i].domain)
		if domain == "ai.onnx" {
			domain = ""
		}
		s.placement = append(s.placement, Node{
			Name: C.GoString(nodes[i].name), Provider: shortProvider(C.GoString(nodes[i].provider)),
			Operator: models.Operator{Domain: domain, Name: C.GoString(nodes[i].op), Nodes: 1},
		})
	}
	return nil
}

// shortProvider is the short name of one of ONNX Runtime's, or else its own.
func shortProvider(name string) Provider {
	for short, long := range providerNames {
		if long == name {
			return short
		}
	}
	return Provider(strings.ToLower(strings.TrimSuffix(name, "ExecutionProvider")))
}
