package blobstore

import (
	"context"
	"net"
	"net/http"
	"time"
)

// httpClient makes a client whose connections are given up when they stall, in whatever
// they are doing: between requests too, which costs a new one. Bodies come as they are.
func httpClient(o *Options) *http.Client {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	setTransport(t, o)
	return &http.Client{Transport: t}
}

func setTransport(t *http.Transport, o *Options) {
	dialer := &net.Dialer{Timeout: min(10*time.Second, o.Stall), KeepAlive: 30 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &stallConn{Conn: c, stall: o.Stall}, nil
	}
	t.TLSHandshakeTimeout = o.Stall
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*o.Requests, 2*o.Requests
	t.IdleConnTimeout = time.Minute
	t.ReadBufferSize = 64 << 10
	t.DisableCompression = true
	t.ForceAttemptHTTP2 = false // a connection for each request is faster for large bodies
}

// stallConn is a connection whose every read and write must come to something in time.
type stallConn struct {
	net.Conn

	stall time.Duration
}

// Read waits as long as stall.
func (c *stallConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write waits as long as stall.
func (c *stallConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
