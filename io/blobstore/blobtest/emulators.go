package blobtest

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// The account that azurite has, which its documentation names: nobody's secret.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// StartAzure starts azurite, which speaks as Azure Blob Storage does, with a container that
// is called "bucket", and points the variables of Azure to its account. It gives its URL, and
// ends with the test, which it skips where there is no azurite: make test-emulators gets one.
func StartAzure(tb testing.TB) string {
	tb.Helper()
	program := tool(tb, "azurite/node_modules/azurite/dist/src/blob/main.js")
	node, err := exec.LookPath("node")
	if err != nil {
		tb.Skipf("SKIPPED FOR WANT OF NODE: %v", err)
	}
	tb.Setenv("AZURE_STORAGE_ACCOUNT", azureAccount)
	tb.Setenv("AZURE_STORAGE_KEY", azureKey)
	for _, name := range []string{"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN"} {
		tb.Setenv(name, "")
	}
	host, port, _ := strings.Cut(freeAddress(tb), ":")
	at := "http://" + host + ":" + port
	start(tb, at, exec.CommandContext(context.Background(), node, program, "--blobHost", host, "--blobPort", port,
		"--location", tb.TempDir(), "--silent", "--skipApiVersionCheck", "--disableTelemetry"))
	key, err := azblobblob.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(at+"/"+azureAccount+"/bucket", key, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := client.Create(tb.Context(), nil); err != nil {
		tb.Fatal(err)
	}
	return at
}

// StartGoogle starts fake-gcs-server, which speaks as Google Cloud Storage does, with a
// bucket that is called "bucket", as StartAzure does azurite.
func StartGoogle(tb testing.TB) string {
	tb.Helper()
	program := tool(tb, "fake-gcs-server")
	address := freeAddress(tb)
	host, port, _ := strings.Cut(address, ":")
	at := "http://" + address
	tb.Setenv("STORAGE_EMULATOR_HOST", "")
	start(tb, at, exec.CommandContext(context.Background(), program, "-scheme", "http", "-host", host, "-port", port,
		"-public-host", address, "-backend", "memory", "-log-level", "error"))
	r, err := http.Post(at+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"bucket"}`))
	if err != nil || r.StatusCode != http.StatusOK {
		tb.Fatalf("make a bucket: %v, %v", r, err)
	}
	_ = r.Body.Close()
	return at
}

// tool is a program of .tools; without it the test is skipped.
func tool(tb testing.TB, name string) string {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	program := filepath.Join(filepath.Dir(here), "../../../.tools", name)
	if _, err := os.Stat(program); err != nil {
		tb.Skipf("SKIPPED FOR WANT OF A SERVER: run make test-stores for S3, make test-emulators for gs and az (%v)", err)
	}
	return program
}

// start starts a server and waits until it answers.
func start(tb testing.TB, at string, server *exec.Cmd) {
	tb.Helper()
	if err := server.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = server.Process.Kill() // it has nothing to save
		_ = server.Wait()
	})
	for range 400 {
		if r, err := http.Get(at); err == nil {
			_ = r.Body.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	tb.Fatal("the server does not answer")
}
