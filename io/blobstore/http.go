package blobstore

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
		return &stallConn{Conn: c, stall: o.Stall, unsent: -1}, nil
	}
	t.TLSHandshakeTimeout = o.Stall
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*o.Requests, 2*o.Requests
	t.IdleConnTimeout = time.Minute
	t.ReadBufferSize = 64 << 10
	t.DisableCompression = true
	t.ForceAttemptHTTP2 = false // a connection for each request is faster for large bodies
}

// stallConn is a connection that is given up when it comes to nothing for a while: it neither
// gave leastBytes in that time nor took anything.
//
// What is to be sent is taken when the other end says that it has it, which may be long after
// Write returned: on a slow link the buffers of the operating system hold megabytes. The
// client reads all the while, for an answer that cannot come before.
type stallConn struct {
	net.Conn

	stall time.Duration

	mu     sync.Mutex
	since  time.Time     // when it last came to something
	waited time.Duration // by Read since then
	given  int           // bytes read since then
	unsent int           // bytes that were written and not taken, at the last look; -1 before
}

// leastBytes is what a connection must give in the time of a stall: a server that gives a byte a
// second gives nothing that a run can wait for.
const leastBytes = 4 << 10

// Read waits as long as the connection comes to something.
func (c *stallConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		left := c.stall - c.waited
		c.mu.Unlock()
		began := time.Now()
		if err := c.SetReadDeadline(began.Add(left)); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(p)
		c.gave(n, began)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !c.moved() {
			return n, err
		}
	}
}

// Write waits as long as the connection comes to something.
func (c *stallConn) Write(p []byte) (n int, err error) {
	c.took()
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return n, err
		}
		k, err := c.Conn.Write(p[n:])
		if n += k; k > 0 {
			c.took()
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || k == 0 && !c.drained() {
			return n, err
		}
	}
}

// gave notes what a Read came to.
func (c *stallConn) gave(bytes int, began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.After(began) {
		began = c.since
	}
	c.waited += time.Since(began)
	if c.given += bytes; c.given >= leastBytes {
		c.cameLocked()
	}
}

// took notes that bytes were written.
func (c *stallConn) took() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cameLocked()
	c.unsent = -1
}

// cameLocked notes that the connection came to something.
func (c *stallConn) cameLocked() { c.since, c.waited, c.given = time.Now(), 0, 0 }

// moved says whether the connection came to something while Read waited.
func (c *stallConn) moved() bool {
	c.mu.Lock()
	waited := c.waited
	c.mu.Unlock()
	return waited < c.stall || c.drained()
}

// drained says whether the connection took something in the time of a stall.
func (c *stallConn) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.since) < c.stall/2 { // Read and Write ask at the same time
		return true
	}
	before := c.unsent
	if c.unsent = unsent(c.Conn); c.unsent == 0 || c.unsent == before {
		return false
	}
	c.cameLocked()
	return true
}

// unsent is how many bytes the other end of a connection has not taken: tcp(7), SIOCOUTQ.
func unsent(c net.Conn) (bytes int) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // of a closed one nothing is to be known
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			bytes = n
		}
	})
	return bytes
}
