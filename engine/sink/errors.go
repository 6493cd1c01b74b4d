package sink

import "errors"

// ErrPasses says that an error may pass by itself, such as a connection that broke: what is
// recorded is kept, and the same command goes on.
var ErrPasses = errors.New("this may pass: run the same command again")
