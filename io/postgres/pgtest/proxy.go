package pgtest

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Proxy stands before a server, on a socket of its own, and breaks connections: once so many
// bytes went one way, it lets no more through and cuts all that are open. Those that come
// later are let through whole.
type Proxy struct {
	Dir string // of its socket

	to   string
	mu   sync.Mutex
	left map[Way]int64 // bytes until the cut; none where there is no cut to come
	open map[net.Conn]bool
	Cuts int
	seen map[Way]int64
}

// Way is a direction.
type Way string

// The ways.
const (
	ToServer   Way = "to the server"
	FromServer Way = "from the server"
)

const socketName = ".s.PGSQL.5432"

// NewProxy starts one before a server.
func NewProxy(tb testing.TB, s *Server) *Proxy {
	tb.Helper()
	dir, err := os.MkdirTemp("", "mr-px-") //nolint:usetesting // short: the path of a socket has 107 bytes at most
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Dir: dir, to: filepath.Join(s.Dir, socketName), left: map[Way]int64{}, open: map[net.Conn]bool{}, seen: map[Way]int64{}}
	l, err := net.Listen("unix", filepath.Join(dir, socketName))
	if err != nil {
		tb.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(conn) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close() // ends the loop
		p.cut()
		serving.Wait()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// CutAfter arms the proxy; only one way at a time has a cut to come.
func (p *Proxy) CutAfter(way Way, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.seen, p.Cuts = map[Way]int64{way: bytes}, map[Way]int64{}, 0
}

// Seen is how many bytes went a way since CutAfter.
func (p *Proxy) Seen(way Way) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[way]
}

// URI is Server.URI, through the proxy.
func (p *Proxy) URI(table, params string) string {
	return (&Server{Dir: p.Dir}).URI(table, params)
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.to)
	if err != nil {
		_ = client.Close() // as a server that is not there
		return
	}
	p.mu.Lock()
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pump(server, client, ToServer) })
	p.pump(client, server, FromServer)
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, client)
	delete(p.open, server)
}

// pump copies until one side ends, or the cut comes.
func (p *Proxy) pump(to, from net.Conn, way Way) {
	defer func() { _, _ = to.Close(), from.Close() }() // whichever ended it
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			let, cut := p.let(way, n)
			if _, werr := to.Write(buf[:let]); werr != nil {
				return
			}
			if cut {
				p.cut()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// let says how many of n bytes may pass, and whether the cut comes after them.
func (p *Proxy) let(way Way, n int) (let int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[way] += int64(n)
	left, armed := p.left[way]
	if !armed {
		return n, false
	}
	if int64(n) < left {
		p.left[way] = left - int64(n)
		return n, false
	}
	delete(p.left, way)
	p.Cuts++
	return int(left), true
}

// cut breaks all connections.
func (p *Proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close() // both sides see it
	}
}
