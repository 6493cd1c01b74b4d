package pgtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Pooler is a pooler of transactions in front of a server, such as PgBouncer is with pool_mode =
// transaction: each transaction of a client has the session that was given back last, and no
// more is between them. Of the protocol it knows what statements need, and no COPY.
type Pooler struct {
	listener net.Listener
	sessions chan *pgconn.HijackedConn
	whole    bool // a client has its session as long as it is there
	uri      string
}

// StartPooler begins with so many sessions. whole is as pool_mode = session has it.
func StartPooler(tb testing.TB, s *Server, sessions int, whole bool) *Pooler {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Pooler{listener: listener, sessions: make(chan *pgconn.HijackedConn, sessions), whole: whole, uri: s.URI("", "")}
	for range sessions {
		conn, err := pgconn.Connect(context.Background(), strings.Replace(p.uri, "table=", "application_name=pooler", 1))
		if err != nil {
			tb.Fatal(err)
		}
		hijacked, err := conn.Hijack()
		if err != nil {
			tb.Fatal(err)
		}
		p.sessions <- hijacked
	}
	go p.accept()
	tb.Cleanup(func() { _ = listener.Close() })
	return p
}

// URI leads to a table through the pooler.
func (p *Pooler) URI(tb testing.TB, table string) string {
	tb.Helper()
	u, err := url.Parse(p.uri)
	if err != nil {
		tb.Fatal(err)
	}
	u.Host, u.RawQuery = p.listener.Addr().String(), "sslmode=disable&table="+url.QueryEscape(table)
	return u.String()
}

func (p *Pooler) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			_ = p.serve(client) // which tells the client
			_ = client.Close()
		}()
	}
}

// serve speaks with one client until it goes.
func (p *Pooler) serve(client net.Conn) error {
	front := pgproto3.NewBackend(client, client)
	if _, err := front.ReceiveStartupMessage(); err != nil {
		return err
	}
	front.Send(&pgproto3.AuthenticationOk{})
	front.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	front.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	front.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	front.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := front.Flush(); err != nil {
		return err
	}
	var session *pgconn.HijackedConn
	defer func() {
		if session != nil {
			p.sessions <- session
		}
	}()
	for {
		m, err := front.Receive()
		if _, ends := m.(*pgproto3.Terminate); ends || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if session == nil {
			session = <-p.sessions
		}
		session.Frontend.Send(m)
		if err := session.Frontend.Flush(); err != nil {
			return err
		}
		switch m.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
			status, err := answer(front, session.Frontend)
			if err != nil {
				return err
			}
			if status == 'I' && !p.whole {
				p.sessions <- session
				session = nil
			}
		}
	}
}

// answer hands on what the server says until it is ready.
func answer(front *pgproto3.Backend, server *pgproto3.Frontend) (status byte, err error) {
	for {
		m, err := server.Receive()
		if err != nil {
			return 0, err
		}
		front.Send(m)
		if ready, ok := m.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, front.Flush()
		}
	}
}
