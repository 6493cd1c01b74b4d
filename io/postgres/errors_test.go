package postgres

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TestLostWhileConnecting: what a server that stops does to those that connect may pass; a place
// where no server is may be the wrong one, unless it was the right one before.
func TestLostWhileConnecting(t *testing.T) {
	hello := func(b *pgproto3.Backend) {
		b.Send(&pgproto3.AuthenticationOk{})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		_ = b.Flush() // the client sees it fail
	}
	refuse := func(code string) func(*pgproto3.Backend, *net.TCPConn) {
		return func(b *pgproto3.Backend, _ *net.TCPConn) {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "no"})
			_ = b.Flush()
		}
	}
	for _, c := range []struct {
		says   string
		before bool // a connection was made before
		reads  bool // the server reads what the client says first
		then   func(*pgproto3.Backend, *net.TCPConn)
		lost   bool
	}{
		{"it closes at once", false, false, func(*pgproto3.Backend, *net.TCPConn) {}, true},
		{"it closes when it was spoken to", false, true, func(*pgproto3.Backend, *net.TCPConn) {}, true},
		{"it resets", false, true, func(_ *pgproto3.Backend, c *net.TCPConn) { _ = c.SetLinger(0) }, true},
		{"it closes in the middle", false, true, func(b *pgproto3.Backend, _ *net.TCPConn) { b.Send(&pgproto3.AuthenticationOk{}); _ = b.Flush() }, true},
		{"it closes within a message", false, true, func(_ *pgproto3.Backend, c *net.TCPConn) { _, _ = c.Write([]byte{'R', 0, 0}) }, true},
		{"it says that it starts", false, true, refuse("57P03"), true},
		{"it refuses the password", false, true, refuse("28P01"), false},
		{"nobody is there", false, false, nil, false},
		{"nobody is there any more", true, false, nil, true},
		{"it refuses the password now", true, true, refuse("28P01"), false},
	} {
		t.Run(c.says, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			target, err := ParseTarget("postgres://me@" + l.Addr().String() + "/d?table=t&sslmode=disable")
			if err != nil {
				t.Fatal(err)
			}
			accept := func(reads bool, then func(*pgproto3.Backend, *net.TCPConn)) {
				conn, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				backend := pgproto3.NewBackend(conn, conn)
				if reads {
					if _, err := backend.ReceiveStartupMessage(); err != nil {
						t.Error(err)
					}
				}
				then(backend, conn.(*net.TCPConn))
				_ = conn.Close()
			}
			if c.before {
				go accept(true, func(b *pgproto3.Backend, _ *net.TCPConn) { hello(b) })
				conn, err := target.Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close(t.Context()) // it is closed already
			}
			done := make(chan struct{})
			if c.then == nil {
				_ = l.Close()
				close(done)
			} else {
				go func() {
					defer close(done)
					accept(c.reads, c.then)
				}()
			}
			_, err = target.Connect(t.Context())
			if !errors.Is(err, ErrServer) || errors.Is(err, ErrLost) != c.lost || !strings.Contains(err.Error(), "failed to connect") {
				t.Errorf("Connect = %v; want it lost: %v", err, c.lost)
			}
			if !c.before && Passes(err) != c.lost {
				t.Errorf("Passes(%v) = %v", err, !c.lost)
			}
			<-done
			_ = l.Close()
		})
	}
}

func TestHintsOfCertificates(t *testing.T) {
	target, err := ParseTarget("postgres://h/d?table=t")
	if err != nil {
		t.Fatal(err)
	}
	for want, cause := range map[string]error{"sslrootcert=": x509.UnknownAuthorityError{}, "name the host": x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}} {
		if err := target.Wrap(fmt.Errorf("failed to connect: %w", cause)); errors.Is(err, ErrLost) || !strings.Contains(err.Error(), want) {
			t.Errorf("Wrap(%v) = %v; want %s", cause, err, want)
		}
	}
}
