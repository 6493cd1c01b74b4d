package ort

// #include <stdlib.h>
// #include "driver.h"
import "C"

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// ErrEngineCache says that the folder for TensorRT's engines cannot be used.
var ErrEngineCache = fmt.Errorf("%w: folder for TensorRT's engines", ErrProvider)

// noTF32 is the one way to have TensorRT compute in float32: the provider has no
// setting for it, and TensorRT rounds factors to TF32 unless told otherwise. All
// of NVIDIA's libraries in the process heed it.
const noTF32 = "NVIDIA_TF32_OVERRIDE"

// tensorRTSettings are the TensorRT provider's, for a model. Shapes are not among
// them: TensorRT compiles for those that it first meets, which are those of every
// Run, since batches are padded for it.
func (o *SessionOptions) tensorRTSettings(lib *Library, m *models.Model) (map[string]string, error) {
	settings := map[string]string{"device_id": strconv.Itoa(o.Device)}
	if o.DeviceMemory > 0 {
		settings["trt_max_workspace_size"] = strconv.FormatInt(o.DeviceMemory, 10)
	}
	if _, said := os.LookupEnv(noTF32); !o.TF32 && !said {
		if err := os.Setenv(noTF32, "0"); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProvider, err)
		}
	}
	if o.EngineCache == "" {
		return settings, nil
	}
	folder := filepath.Join(o.EngineCache, o.engineKey(lib, m))
	for _, dir := range []string{o.EngineCache, folder} {
		if err := ownFolder(dir); err != nil {
			return nil, err
		}
	}
	settings["trt_engine_cache_enable"], settings["trt_engine_cache_path"] = "1", folder
	settings["trt_timing_cache_enable"], settings["trt_timing_cache_path"] = "1", folder
	return settings, nil
}

// engineKey names the folder of engines that a session may take: those of the same
// model, rewrites and weights among it, device, versions, and settings. ONNX
// Runtime looks for a file by the names in the graph alone, and takes one with
// other weights just as well.
func (o *SessionOptions) engineKey(lib *Library, m *models.Model) string {
	digest := sha256.New()
	write := func(format string, args ...any) { _, _ = fmt.Fprintf(digest, format+"\n", args...) }
	write("%x", sha256.Sum256(m.Data()))
	for _, e := range m.External {
		write("%q %s", e.Location, e.SHA256)
	}
	write("%q %s", o.Outputs, lib.Version)
	write("%q", TensorRTVersion(lib.Path))
	devices, driver, _ := Devices() // without a driver there is no session
	for _, d := range devices {
		if d.Number == o.Device {
			write("%q %d %s", d.Name, d.Bytes, driver)
		}
	}
	write("%d rows, tf32 %v, %d bytes", o.BatchRows, o.TF32, o.DeviceMemory)
	return m.SHA256[:min(16, len(m.SHA256))] + "-" + hex.EncodeToString(digest.Sum(nil))[:16]
}

// ownFolder makes a folder for nobody else, unless it is there, and refuses one
// that others could have put something into: an engine is a program.
func ownFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrEngineCache, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEngineCache, err)
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%w: %s is no folder", ErrEngineCache, dir)
	case known && int(owner.Uid) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to another user; name one of your own, or none", ErrEngineCache, dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%w: others may use %s (mode %04o); `chmod 700` it, if you trust what is in it", ErrEngineCache, dir, info.Mode().Perm())
	}
	return nil
}

// tensorRTVersions are those that were asked for, of libraries that stay loaded.
var tensorRTVersions sync.Map // by path of ONNX Runtime's

// TensorRTVersion is the version of the TensorRT that the provider beside an ONNX
// Runtime library would load, such as 10.16.1; empty where there is none.
func TensorRTVersion(library string) string {
	if known, ok := tensorRTVersions.Load(library); ok {
		return known.(string)
	}
	needed, _ := importedBy(providerFile(library, TensorRT))
	at := slices.IndexFunc(needed, func(n string) bool { return strings.HasPrefix(n, "libnvinfer.so") })
	version := ""
	if at >= 0 {
		version = versionOf(needed[at])
	}
	tensorRTVersions.Store(library, version)
	return version
}

// versionOf asks a libnvinfer.
func versionOf(name string) string {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	n := int(C.mr_tensorrt_version(text))
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", n/10000, n/100%100, n%100) // NvInferVersion.h of TensorRT 10
}
