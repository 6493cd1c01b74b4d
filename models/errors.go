package models

import (
	"errors"
	"fmt"
)

// ErrModel is under every error of this package, and under those of engine/ort
// that say a model cannot be loaded.
var ErrModel = errors.New("model cannot be used")

// The reasons why a model is refused; each is an ErrModel.
var (
	// ErrNotONNX: the file is something else.
	ErrNotONNX = fmt.Errorf("%w: not an ONNX file", ErrModel)
	// ErrDamaged: the file is ONNX but cut short or at odds with itself.
	ErrDamaged = fmt.Errorf("%w: damaged", ErrModel)
	// ErrUnsafe: the model reaches outside its folder or asks for more than the
	// limits allow.
	ErrUnsafe = fmt.Errorf("%w: unsafe", ErrModel)
	// ErrTooLarge: the file is larger than the limits allow.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrModel)
	// ErrUnsupported: the model is valid but uses what ONNX Runtime or this
	// program does not have.
	ErrUnsupported = fmt.Errorf("%w: unsupported", ErrModel)
	// ErrMissingData: a file of external data is not there.
	ErrMissingData = fmt.Errorf("%w: external data missing", ErrModel)
)

func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

func unsafef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnsafe}, args...)...)
}
