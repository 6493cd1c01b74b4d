package mapped

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/format"
)

func sumInGo(b []byte) uint64 {
	var sum uint64
	for _, v := range b {
		sum += uint64(v)
	}
	return sum
}

func checkFaulted(t *testing.T, f *File) {
	t.Helper()
	for name, err := range map[string]error{"Err": f.Err(), "Changed": f.Changed()} {
		if !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), f.Path()) {
			t.Errorf("%s() = %v; want an error that wraps ErrChanged and names %q", name, err, f.Path())
		}
	}
}

// A truncated file gives zeros and an error, not a crash, in either language.
func TestTruncatedWhileMapped(t *testing.T) {
	const page, pages = 4096, 64
	for name, sum := range map[string]func([]byte) uint64{"go": sumInGo, "c": sumInC} {
		t.Run(name, func(t *testing.T) {
			path := testFile(t, page*pages)
			f := mustOpen(t, path)
			kept := sum(f.Bytes()[:page])
			if err := os.Truncate(path, page); err != nil {
				t.Fatal(err)
			}
			if err := f.Err(); err != nil {
				t.Errorf("before any fault: Err() = %v", err)
			}
			if got := sum(f.Bytes()); got != kept {
				t.Errorf("sum of the truncated mapping = %d; want %d, its first page's", got, kept)
			}
			checkFaulted(t, f)
			f.Release()
			if err := f.Err(); !errors.Is(err, format.ErrChanged) {
				t.Errorf("after Release: Err() = %v; want ErrChanged still", err)
			}
		})
	}
}

func TestPopulateFindsTruncation(t *testing.T) {
	path := testFile(t, 1<<20)
	f := mustOpen(t, path)
	defer f.Release()
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if err := f.Populate(0, 4096); err != nil {
		t.Errorf("Populate of what is left: %v", err)
	}
	err := f.Populate(100_000, 4096)
	if !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), path) {
		t.Errorf("Populate beyond the end = %v; want an error that wraps ErrChanged and names the file", err)
	}
	checkFaulted(t, f)
}

// Many threads fault in the same and in different files at once, while other
// files are opened and released.
func TestManyThreadsFault(t *testing.T) {
	const size, files, threads = 1 << 20, 4, 8
	open := make([]*File, 0, files)
	for range files {
		path := testFile(t, size)
		open = append(open, mustOpen(t, path))
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	other := testFile(t, size)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range threads {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			<-start
			for k := range open {
				f := open[(i+k)%files]
				sum := sumInGo
				if i%2 == 0 {
					sum = sumInC
				}
				if got := sum(f.Bytes()); got != 0 {
					t.Errorf("sum of a file truncated to nothing = %d", got)
				}
			}
		})
		wg.Go(func() {
			<-start
			for range 50 {
				g, err := Open(other)
				if err != nil {
					t.Error(err)
					return
				}
				if sumInC(g.Bytes()[:100]) == 0 || g.Err() != nil {
					t.Error("a healthy file reads as zeros or has an error")
				}
				g.Release()
			}
		})
	}
	close(start)
	wg.Wait()
	for _, f := range open {
		checkFaulted(t, f)
		f.Release()
	}
}

// A fault in one file leaves the slots of others, and of later ones, clean.
func TestSlotIsCleanForTheNextFile(t *testing.T) {
	path := testFile(t, 8192)
	f := mustOpen(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	sumInC(f.Bytes())
	f.Release()
	g := mustOpen(t, testFile(t, 8192))
	defer g.Release()
	if sumInC(g.Bytes()) == 0 {
		t.Error("a healthy file reads as zeros")
	}
	if err := g.Err(); err != nil {
		t.Errorf("a healthy file in a used slot: Err() = %v", err)
	}
}

// os/signal puts Go's handler over ours; the next Open puts ours in front.
func TestHandlerComesBack(t *testing.T) {
	mustOpen(t, testFile(t, 1)).Release()
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGBUS)
	defer signal.Stop(ch)
	path := testFile(t, 8192)
	f := mustOpen(t, path)
	defer f.Release()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if got := sumInC(f.Bytes()); got != 0 {
		t.Errorf("sum = %d; want 0", got)
	}
	checkFaulted(t, f)
}

// truncatedForeign maps a file that the registry does not know.
func truncatedForeign(path string) []byte {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	b, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	if err := errors.Join(unix.Ftruncate(fd, 0), unix.Close(fd)); err != nil {
		panic(err)
	}
	return b
}

//go:noinline
func nilBytes() *[10]byte { return nil }

// Faults that are not ours reach Go's handler as before: recoverable where
// they were.
func TestForeignFaultsAreGosOwn(t *testing.T) {
	f := mustOpen(t, testFile(t, 8192))
	defer f.Release()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b := truncatedForeign(testFile(t, 8192))
	defer func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	}()
	for name, fault := range map[string]func() byte{
		"SIGBUS of a mapping that is not ours": func() byte { return b[0] },
		"SIGSEGV of a nil pointer":             func() byte { return nilBytes()[3] },
	} {
		func() {
			defer func() {
				r := recover()
				if _, ok := r.(runtime.Error); !ok {
					t.Errorf("%s: recover() = %v; want a runtime.Error", name, r)
				}
			}()
			t.Errorf("%s: read %d", name, fault())
		}()
	}
	if err := f.Err(); err != nil {
		t.Errorf("foreign faults marked our file: %v", err)
	}
}

// crashes run in a child process and must end it.
var crashes = map[string]func(path string){
	"go": func(path string) { openThen(path, func(b []byte) { fmt.Fprintln(os.Stderr, b[0]) }) },
	"c":  func(path string) { openThen(path, func(b []byte) { sumInC(b) }) },
	"kill": func(path string) {
		openThen(path, func([]byte) {
			if err := unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGBUS); err != nil {
				panic(err)
			}
		})
	},
}

// openThen installs the handler and lets fault have a mapping that is not ours.
func openThen(path string, fault func([]byte)) {
	f, err := Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Release()
	fault(truncatedForeign(path + ".foreign"))
}

// Without SetPanicOnFault, and in C, a foreign SIGBUS ends the process with
// Go's own report.
func TestForeignFaultsCrash(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name := range crashes {
		t.Run(name, func(t *testing.T) {
			path := testFile(t, 8192)
			if err := os.WriteFile(path+".foreign", make([]byte, 8192), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self, path)
			cmd.Env = append(os.Environ(), crashEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || strings.Contains(string(out), "survived") || !strings.Contains(string(out), "SIGBUS") {
				t.Errorf("child = %v, %.400s; want it dead of SIGBUS with Go's report", err, out)
			}
		})
	}
}
