package blobtest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what a proxy does to a request; "403 AccessDenied" and the like refuse it with
// that status and code.
type Fault string

// The faults.
const (
	None      Fault = "none"
	Reset     Fault = "reset"      // the connection, before anything is answered
	ResetBody Fault = "reset body" // the connection, amid the body
	Stall     Fault = "stall"      // for good, amid the body
	StallHead Fault = "stall head" // for good, before anything is answered
	Truncate  Fault = "truncate"   // the body ends early, and its connection is closed well
	Short     Fault = "short"      // the body is shorter, and so says its length
	Corrupt   Fault = "corrupt"    // one bit amid the body is another
	Whole     Fault = "whole"      // ranges are not honored: 200 with all bytes
	Shift     Fault = "shift"      // the bytes are those of another range, which the headers say
	Busy      Fault = "503"
	Broken    Fault = "500"
	TooMany   Fault = "429"
	End       Fault = "end"  // of the connection, before anything is answered
	Page      Fault = "page" // a page for people, as a proxy gives one that wants a login
)

// Faults are all of them.
var faults = []Fault{Reset, ResetBody, Stall, StallHead, Truncate, Short, Corrupt, Whole, Shift, Busy, Broken, TooMany}

// Faults are those of any request: all but None, and without End and Page.
func Faults() []Fault { return faults }

// Proxy stands before a server. Rule says what becomes of its requests, from 1.
type Proxy struct {
	URL string

	mu      sync.Mutex
	rule    func(number int, r *http.Request) Fault
	latency time.Duration
	number  int
	bytes   int64
	now     int // requests under way
	most    int // of them at once
	end     chan struct{}
	forward *httputil.ReverseProxy
}

// NewProxy makes a proxy that ends with the test.
func NewProxy(tb testing.TB, server string) *Proxy {
	tb.Helper()
	to, err := url.Parse(server)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{end: make(chan struct{})}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			host := r.In.Host // which the signature is of
			r.SetURL(to)
			r.Out.Host = host
		},
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewServer(http.HandlerFunc(p.serve))
	p.URL = front.URL
	tb.Cleanup(func() {
		close(p.end)
		front.CloseClientConnections()
		front.Close()
	})
	return p
}

// Set has the proxy do by a rule from the next request on, which is number 1; a nil rule
// does nothing.
func (p *Proxy) Set(latency time.Duration, rule func(number int, r *http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency, p.rule, p.number, p.bytes, p.most = latency, rule, 0, 0, p.now
}

// Requests is how many came since Set, and Bytes how many of bodies were answered.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number
}

// Bytes see Requests.
func (p *Proxy) Bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// AtOnce is how many were under way at a time at most.
func (p *Proxy) AtOnce() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// over ends a request.
func (p *Proxy) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now--
}

func (p *Proxy) next(r *http.Request) (Fault, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number++
	p.now++
	p.most = max(p.most, p.now)
	if p.rule == nil {
		return None, p.latency
	}
	return p.rule(p.number, r), p.latency
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	fault, latency := p.next(r)
	defer p.over()
	if latency > 0 {
		time.Sleep(latency)
	}
	switch fault {
	case Reset:
		_, _ = io.Copy(io.Discard, r.Body)
		reset(w)
		return
	case StallHead:
		p.wait(r)
		reset(w)
		return
	case End:
		panic(http.ErrAbortHandler)
	case Page:
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><body>Who are you?</body></html>")
		return
	case Busy, Broken, TooMany:
		answer(w, r, string(fault), "SlowDown")
		return
	case Whole:
		r.Header.Del("Range")
	}
	if status, code, ok := strings.Cut(string(fault), " "); ok && strings.Trim(status, "0123456789") == "" {
		answer(w, r, status, code)
		return
	}
	b := &body{ResponseWriter: w, proxy: p, request: r, fault: fault}
	defer b.finish()
	p.forward.ServeHTTP(b, r)
}

// answer refuses a request as S3 does.
func answer(w http.ResponseWriter, r *http.Request, status, code string) {
	_, _ = io.Copy(io.Discard, r.Body)
	number, _ := strconv.Atoi(status)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(number)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>The proxy says so.</Message></Error>`)
}

// wait waits until the client gives up.
func (p *Proxy) wait(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.end:
	}
}

// reset closes a connection so that its other end sees a reset.
func reset(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// body passes an answer on, with a fault amid its body.
type body struct {
	http.ResponseWriter

	proxy   *Proxy
	request *http.Request
	fault   Fault
	length  int64 // of the body, as the server says
	sent    int64
	broken  bool
}

// WriteHeader implements http.ResponseWriter.
func (b *body) WriteHeader(status int) {
	h := b.Header()
	b.length, _ = strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if status >= 300 || b.request.Method == http.MethodHead || b.length == 0 {
		b.fault = None
	}
	switch b.fault {
	case Short:
		h.Set("Content-Length", strconv.FormatInt(b.length/2, 10))
	case Shift:
		before, after, _ := strings.Cut(h.Get("Content-Range"), "-")
		if from, err := strconv.Atoi(strings.TrimPrefix(before, "bytes ")); err == nil {
			h.Set("Content-Range", "bytes "+strconv.Itoa(from+1)+"-"+after)
		}
	}
	b.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the server's own abilities be found.
func (b *body) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// Write implements io.Writer: what comes after the fault is thrown away.
func (b *body) Write(p []byte) (int, error) {
	n, half := len(p), b.length/2
	if b.broken {
		return n, nil
	}
	switch at := b.sent; b.fault {
	case ResetBody, Stall, Truncate, Short:
		if at+int64(n) > half {
			p, b.broken = p[:half-at], true
		}
	case Corrupt:
		if at <= half && half < at+int64(n) {
			p = append([]byte{}, p...)
			p[half-at] ^= 1
		}
	}
	b.sent += int64(len(p))
	b.proxy.mu.Lock()
	b.proxy.bytes += int64(len(p))
	b.proxy.mu.Unlock()
	if k, err := b.ResponseWriter.Write(p); err != nil {
		return k, err
	}
	return n, nil
}

// finish ends an answer whose body was broken off.
func (b *body) finish() {
	if !b.broken {
		return
	}
	_ = http.NewResponseController(b.ResponseWriter).Flush()
	switch b.fault {
	case Stall:
		b.proxy.wait(b.request)
		reset(b.ResponseWriter)
	case ResetBody:
		reset(b.ResponseWriter)
	case Truncate:
		if c, _, err := b.ResponseWriter.(http.Hijacker).Hijack(); err == nil {
			_ = c.Close()
		}
	}
}
