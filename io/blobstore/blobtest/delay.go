package blobtest

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Delay stands before a server as a long cable does: what is sent to it arrives after some
// time, in order, and what it answers at once. It looks at no byte, so that it takes as
// little of the processor as it can. It gives its URL, and ends with the test.
func Delay(tb testing.TB, server string, latency time.Duration) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go join(client, strings.TrimPrefix(server, "http://"), latency)
		}
	}()
	return "http://" + l.Addr().String()
}

func join(client net.Conn, address string, latency time.Duration) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		_ = client.Close()
		return
	}
	go func() {
		defer server.Close()
		if latency == 0 {
			_, _ = io.Copy(server, client)
			return
		}
		late(server, client, latency)
	}()
	defer client.Close()
	_, _ = io.Copy(client, server) // by splice(2)
}

// late copies what comes, some time after it came.
func late(to io.Writer, from io.Reader, latency time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	way := make(chan piece, 256) // what is under way: as much as a window of TCP
	go func() {
		defer close(way)
		for {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			if n > 0 {
				way <- piece{data[:n], time.Now().Add(latency)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range way {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			for range way { // whoever reads must come to an end
			}
			return
		}
	}
}
