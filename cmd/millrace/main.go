// Command millrace scores large columnar data sets with ONNX models.
package main

import (
	"context"
	"os"
)

func main() {
	crashBySignal()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
