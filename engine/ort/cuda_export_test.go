package ort

import (
	"testing"
	"unsafe"
)

// StandIn makes sessions of a test run the operators for devices, on a driver
// whose devices are the processor.
func StandIn(tb testing.TB, driver unsafe.Pointer) {
	tb.Helper()
	standInDriver(driver)
	tb.Cleanup(func() { standInDriver(nil) })
}

// StandInUntil is StandIn until end is called.
func StandInUntil(driver unsafe.Pointer) (end func()) {
	standInDriver(driver)
	return func() { standInDriver(nil) }
}
