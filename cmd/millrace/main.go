// Command millrace scores large columnar data sets with ONNX models.
package main

import (
	"context"
	"io"
	"log"
	"os"
)

func main() {
	crashBySignal()
	log.SetOutput(io.Discard) // libraries write there what their errors say: S3's uploads do
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
