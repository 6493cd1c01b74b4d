package sink

import "errors"

// ErrPasses says that an error may pass by itself, such as a connection that broke: what is
// recorded is kept, and the same command goes on.
var ErrPasses = errors.New("this may pass: run the same command again")

// ErrRows says that rows of the run cannot be published together. Going on cannot pass it, and
// other rows are another job's: nothing of the run is kept.
var ErrRows = errors.New("the run's rows cannot be published")
