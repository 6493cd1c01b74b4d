package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestCleanKeepsNoSecret(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
	t.Setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2020&sig=c2VjcmV0")
	base := errors.New("connection refused")
	for name, err := range map[string]error{
		"a signature in a URL":        &url.Error{Op: "Get", URL: "https://x.blob.core.windows.net/c/k?sv=2020&sig=c2VjcmV0", Err: base},
		"a password in a URL":         &url.Error{Op: "Get", URL: "http://me:wJalrXUtnFEMI@host/k", Err: base},
		"a key in words":              fmt.Errorf("cannot sign with wJalrXUtnFEMI: %w", base),
		"lines of a server's answer":  fmt.Errorf("<a>\n<b>wJalrXUtnFEMI</b>\n%w", base),
		"one that was cleaned before": Clean(fmt.Errorf("wJalrXUtnFEMI: %w", base)),
	} {
		got := Clean(fmt.Errorf("read: %w", err))
		if text := got.Error(); strings.Contains(text, "wJal") || strings.Contains(text, "c2Vj") || strings.Contains(text, "\n") || !strings.Contains(text, "connection refused") {
			t.Errorf("%s: Clean() says %q", name, text)
		}
		if !errors.Is(got, ErrStore) || !errors.Is(got, base) {
			t.Errorf("%s: Clean() = %v; want ErrStore and what it was", name, got)
		}
	}
	if got := Clean(fmt.Errorf("read: %w", context.Canceled)); !errors.Is(got, context.Canceled) || errors.Is(got, ErrStore) {
		t.Errorf("Clean() of a cancellation = %v", got)
	}
}
