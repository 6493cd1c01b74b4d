package ort

// #include <stdlib.h>
// #include "driver.h"
// #include "nvml.h"
// #include "shim.h"
import "C"

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// CUDAVersion is what the library that fetch.sh brings was built for.
const CUDAVersion = "13.0"

// cudnn is loaded by the provider when it starts, without being linked.
const cudnn = "libcudnn.so.9"

// MissingLibraries names the shared libraries that the provider beside an ONNX
// Runtime library needs and the loader does not find; the provider itself where
// it is not there. Those of TensorRT's are without those of CUDA's.
func MissingLibraries(library string, provider Provider) []string {
	name := providerFile(library, provider)
	needed, err := importedBy(name)
	if err != nil {
		return []string{filepath.Base(name)}
	}
	if provider == TensorRT {
		needed = slices.DeleteFunc(needed, func(n string) bool { return !strings.HasPrefix(n, "libnv") })
	} else {
		needed = append(needed, cudnn)
	}
	var missing []string
	for _, n := range needed {
		text := C.CString(n)
		if C.mr_driver_finds(text) == 0 {
			missing = append(missing, n)
		}
		C.free(unsafe.Pointer(text))
	}
	return missing
}

// providerFile is where the library of a provider is: beside ONNX Runtime's.
func providerFile(library string, provider Provider) string {
	return filepath.Join(filepath.Dir(library), "libonnxruntime_providers_"+string(provider)+".so")
}

// importedBy are the libraries that one is linked with.
func importedBy(file string) ([]string, error) {
	library, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = library.Close() }()
	return library.ImportedLibraries()
}

// ErrDevice says that NVIDIA's driver, or a device, is not there or does not
// work any more.
var ErrDevice = errors.New("device not available")

// DeviceInfo is one NVIDIA device.
type DeviceInfo struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"` // of its memory
	// Address is where the device sits on the bus, such as 0000:3b:00.0.
	Address string `json:"address"`
}

func driverError(e *C.mr_error) error { return fmt.Errorf("%w: %s", ErrDevice, C.GoString(&e.text[0])) }

// Devices lists the devices that NVIDIA's driver knows and the environment lets
// this process see (CUDA_VISIBLE_DEVICES), and the CUDA version of the driver, such
// as 13.0. An error wraps ErrDevice.
func Devices() (devices []DeviceInfo, driver string, err error) {
	var e C.mr_error
	n := C.mr_driver_devices(&e)
	if n < 0 {
		return nil, "", driverError(&e)
	}
	version := C.mr_driver_version(&e)
	for i := range n {
		var name [256]C.char
		if C.mr_driver_device_name(i, &name[0], C.int(len(name)), &e) == 0 {
			return nil, "", driverError(&e)
		}
		var address [32]C.char
		if C.mr_driver_device_address(i, &address[0], C.int(len(address)), &e) == 0 {
			return nil, "", driverError(&e)
		}
		bytes := C.mr_driver_device_memory(i, &e)
		if bytes == 0 {
			return nil, "", driverError(&e)
		}
		devices = append(devices, DeviceInfo{Number: int(i), Name: C.GoString(&name[0]), Bytes: int64(bytes), Address: C.GoString(&address[0])})
	}
	return devices, fmt.Sprintf("%d.%d", version/1000, version%1000/10), nil
}

// Joules are what the device has used since its driver was loaded; false where the
// system does not say (older devices, some virtual machines).
func (d *DeviceInfo) Joules() (float64, bool) {
	address := C.CString(d.Address)
	defer C.free(unsafe.Pointer(address))
	joules := float64(C.mr_nvml_joules(address))
	return joules, joules >= 0
}

// UsedBytes is how much of the device's memory is in use now, by whatever process;
// false where the system does not say.
func (d *DeviceInfo) UsedBytes() (int64, bool) {
	address := C.CString(d.Address)
	defer C.free(unsafe.Pointer(address))
	used := int64(C.mr_nvml_used_bytes(address))
	return max(used, 0), used >= 0
}

// HostMemory is page-locked memory of the host: devices read and write it by
// themselves while the processor goes on. Other memory the driver copies piece by
// piece, through memory of its own.
type HostMemory struct {
	data   []byte
	device int
}

// NewHostMemory takes page-locked memory, which every device can use, by way of
// one of them. The caller frees it. An error wraps ErrDevice.
func NewHostMemory(device, bytes int) (*HostMemory, error) {
	var e C.mr_error
	p := C.mr_driver_host_alloc(C.int(device), C.size_t(max(bytes, 1)), &e)
	if p == nil {
		return nil, fmt.Errorf("page-locked memory of %d bytes: %w", bytes, driverError(&e))
	}
	live.memory.Add(1)
	return &HostMemory{data: unsafe.Slice((*byte)(p), max(bytes, 1))[:bytes], device: device}, nil
}

// Bytes aliases the memory until Free.
func (m *HostMemory) Bytes() []byte { return m.data }

// Free gives the memory back. It may be called again.
func (m *HostMemory) Free() {
	if m.data == nil {
		return
	}
	C.mr_driver_host_free(C.int(m.device), unsafe.Pointer(unsafe.SliceData(m.data)))
	m.data = nil
	live.memory.Add(-1)
}

// DeviceMemory is memory of a device, for measurements: what a Run takes from and
// leaves in such memory is not copied.
type DeviceMemory struct {
	device int
	at     C.uint64_t
	bytes  int
}

// NewDeviceMemory takes memory of a device. The caller frees it. An error wraps
// ErrDevice.
func NewDeviceMemory(device, bytes int) (*DeviceMemory, error) {
	var e C.mr_error
	at := C.mr_driver_device_alloc(C.int(device), C.size_t(max(bytes, 1)), &e)
	if at == 0 {
		return nil, fmt.Errorf("%d bytes of device %d: %w", bytes, device, driverError(&e))
	}
	live.memory.Add(1)
	return &DeviceMemory{device: device, at: at, bytes: bytes}, nil
}

// Bytes is how large it is.
func (m *DeviceMemory) Bytes() int { return m.bytes }

// CopyFrom copies host memory, page-locked if that is to be fast, to the device.
func (m *DeviceMemory) CopyFrom(host []byte) error { return m.copy(host, 1) }

// CopyTo copies to host memory.
func (m *DeviceMemory) CopyTo(host []byte) error { return m.copy(host, 0) }

func (m *DeviceMemory) copy(host []byte, toDevice C.int) error {
	if len(host) > m.bytes {
		return fmt.Errorf("%w: %d bytes for %d of a device", ErrTensor, len(host), m.bytes)
	}
	if len(host) == 0 {
		return nil
	}
	var e C.mr_error
	if C.mr_driver_copy(C.int(m.device), m.at, unsafe.Pointer(unsafe.SliceData(host)), C.size_t(len(host)), toDevice, &e) == 0 {
		return driverError(&e)
	}
	return nil
}

// Tensor makes a tensor over the memory, which must outlive it. Only sessions on
// the same device take it, and nothing of it can be read here.
func (m *DeviceMemory) Tensor(elem models.ElementType, shape []int64) (*Tensor, error) {
	n, err := elementsOf(shape)
	if err != nil {
		return nil, err
	}
	if n*elem.Bytes() > m.bytes {
		return nil, fmt.Errorf("%w: %v of %s, but %d bytes of memory", ErrTensor, shape, elem, m.bytes)
	}
	t := &Tensor{kind: models.Tensor, elem: elem, shape: slices.Clone(shape)}
	status := C.mr_device_tensor(C.int(m.device), m.at, C.size_t(n*elem.Bytes()), dims(shape), C.size_t(len(shape)), C.int(elem), &t.c) //nolint:gocritic // dupSubExpr reads what cgo generates
	if err := statusError(status, logEnd()); err != nil {
		return nil, fmt.Errorf("%w: %v of %s: %w", ErrTensor, shape, elem, err)
	}
	t.count()
	return t, nil
}

// Free gives the memory back. It may be called again.
func (m *DeviceMemory) Free() {
	if m.at == 0 {
		return
	}
	C.mr_driver_device_free(C.int(m.device), m.at)
	m.at = 0
	live.memory.Add(-1)
}
