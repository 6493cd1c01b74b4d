// Package pgtest starts PostgreSQL servers for tests: each in a folder of its own, on a
// socket in it and on no port, as a user that is not root, and gone with its test.
package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a server that runs.
type Server struct {
	Dir string // of its socket; its data lies below
	bin string
	as  *syscall.Credential // nil: who runs the test
	cmd *exec.Cmd
	log *os.File
}

// User is the superuser of each server, and Database one that it has.
const (
	User     = "postgres"
	Database = "postgres"
)

// binaries finds the newest server that is installed where Debian puts them, or in the path.
func binaries() (dir string, err error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("there is no PostgreSQL server (initdb); make test-postgres installs Debian's")
	}
	return filepath.Dir(path), nil
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for one that is no number
	return n
}

// Start makes a server and starts it with settings, such as "max_connections=5". Where none
// is installed the test is skipped.
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	bin, err := binaries()
	if err != nil {
		tb.Skip(err)
	}
	s, err := create(bin, settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(s.Dir); err != nil {
			tb.Error(err)
		}
	})
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	return s
}

func create(bin string, settings []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "mr-pg-") // short: the path of a socket has 107 bytes at most
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, bin: bin}
	if os.Getuid() == 0 {
		if s.as, err = another(); err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, err
		}
	}
	if err := s.fill(); err != nil {
		return nil, err
	}
	// The system does not die with the server, so what is written is there. Shared memory lies in files of
	// its folder: of a server that is killed what lies elsewhere would stay until the machine's next start.
	lines := append([]string{"listen_addresses=''", "dynamic_shared_memory_type='mmap'", "unix_socket_directories='" + dir + "'", "fsync=off", "shared_buffers='64MB'"}, settings...)
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = conf.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	return s, errors.Join(err, conf.Close())
}

// fill makes the server's data: a copy of what initdb made once, in .tools/, as it takes a second or two.
func (s *Server) fill() error {
	kept, err := s.kept()
	if err != nil {
		return err
	}
	if err := os.CopyFS(s.data(), os.DirFS(kept)); err != nil {
		return err
	}
	return filepath.WalkDir(s.data(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700) // the server demands it
		}
		if err == nil && s.as != nil {
			err = os.Chown(path, int(s.as.Uid), int(s.as.Gid))
		}
		return err
	})
}

// kept is the folder of what initdb makes, which is made by the first test that needs it.
func (s *Server) kept() (string, error) {
	release, err := s.command("initdb", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("initdb: %w", err)
	}
	_, here, _, _ := runtime.Caller(0) // with -trimpath there is no such folder, and it is made here
	name := filepath.Join(filepath.Dir(here), "../../../.tools", "pgtest-"+strings.Trim(words.ReplaceAllString(string(release), "-"), "-"))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	fresh := filepath.Join(s.Dir, "fresh")
	if out, err := s.command("initdb", "-D", fresh, "-A", "trust", "-U", User, "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fresh, nil // and the next test makes its own
	}
	own, err := os.MkdirTemp(filepath.Dir(name), "pgtest-")
	if err != nil {
		return fresh, nil
	}
	defer os.RemoveAll(own)
	if err := os.CopyFS(filepath.Join(own, "data"), os.DirFS(fresh)); err != nil {
		return "", err
	}
	_ = os.Rename(filepath.Join(own, "data"), name) // where another was first, its own is there
	return name, os.RemoveAll(fresh)
}

// words are what parts the words of a release.
var words = regexp.MustCompile(`[^0-9A-Za-z.]+`)

// another is a user that is not root, who may run a server.
func another() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uerr, gerr)
	}
	return nil, errors.New("root may run no server, and there is neither a user postgres nor nobody")
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.Dir
	if s.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	}
	return cmd
}

// patience bounds the wait for a server.
const patience = 60 * time.Second

// Start starts the server, also after Kill, and waits until it answers.
func (s *Server) Start() error {
	cmd := s.command("postgres", "-D", s.data())
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	s.cmd, s.log = cmd, log
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := s.command("pg_isready", "-q", "-h", s.Dir, "-U", User).Run()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server does not answer: %w\n%s", err, s.Log())
		}
	}
}

// Log is what the server wrote.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "log")) // none is empty
	return string(text)
}

// Kill ends the server and its processes as a crash does, and waits until all are gone.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	children := childrenOf(s.cmd.Process.Pid)
	_ = s.cmd.Process.Kill() // it may be gone
	_ = s.cmd.Wait()         // killed, as it should be
	_ = s.log.Close()
	s.cmd = nil
	for _, pid := range children { // they notice, but only when they look
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if !slices.ContainsFunc(children, func(pid int) bool { return syscall.Kill(pid, 0) == nil && !zombie(pid) }) {
			return
		}
	}
}

func childrenOf(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none where it is gone
	var children []int
	for field := range bytes.FieldsSeq(text) {
		if n, err := strconv.Atoi(string(field)); err == nil {
			children = append(children, n)
		}
	}
	return children
}

func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(text, []byte(") Z "))
}

// URI is where millrace finds a table of the server; params are more of the URI's, such as
// "&views=no".
func (s *Server) URI(table, params string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&table=%s%s", User, Database, s.Dir, table, params)
}

// Environment are the variables by which the clients of PostgreSQL find the database.
func (s *Server) Environment() []string {
	return []string{"PGHOST=" + s.Dir, "PGUSER=" + User, "PGDATABASE=" + Database}
}

// SmallDisk mounts a file system of a size, such as "4M", that the server may write to. It
// takes root's rights.
func (s *Server) SmallDisk(tb testing.TB, size string) (dir string, err error) {
	tb.Helper()
	dir = filepath.Join(s.Dir, "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	options := "size=" + size
	if s.as != nil {
		options += fmt.Sprintf(",uid=%d,gid=%d,mode=700", s.as.Uid, s.as.Gid)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	tb.Cleanup(func() {
		s.Kill()
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			tb.Errorf("%v: %s", err, out)
		}
	})
	return dir, nil
}

// RequirePasswords asks a user for a password from now on.
func (s *Server) RequirePasswords(user string) error {
	path := filepath.Join(s.data(), "pg_hba.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append([]byte("local all "+user+" scram-sha-256\n"), text...), 0o600); err != nil {
		return err
	}
	_, err = s.Query("SELECT pg_reload_conf()")
	return err
}

// Query runs statements by psql, an eye that is not millrace's, and gives the rows: fields
// are parted by |, nulls are \N.
func (s *Server) Query(sql string) (string, error) {
	cmd := s.command("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-P", `null=\N`, "-h", s.Dir, "-U", User, "-d", Database, "-f", "-")
	cmd.Stdin = strings.NewReader(sql)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Must is Query for statements that have to go well.
func (s *Server) Must(tb testing.TB, sql string) string {
	tb.Helper()
	out, err := s.Query(sql)
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return out
}
