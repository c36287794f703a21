package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryFailureToStartHasItsExitCodeAndOneLine(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600))
	}
	write("text.wasm", "this is no wasm")
	write("empty.wasm", "")
	write("bare.wasm", "\x00asm\x01\x00\x00\x00") // valid, but exports nothing
	truncated, err := os.ReadFile(app(t, "counter"))
	require.NoError(t, err)
	write("truncated.wasm", string(truncated[:len(truncated)/2]))
	write("text.db", strings.Repeat("this is no database\n", 100))
	require.NoError(t, os.Mkdir(filepath.Join(directory, "directory.db"), 0o755))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	good := app(t, "counter")

	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no arguments":       {nil, 2, "-wasm is missing"},
		"no database":        {[]string{"-wasm", good, "-port", "0"}, 2, "-dbPath is missing"},
		"no port":            {[]string{"-wasm", good, "-dbPath", "x.db"}, 2, "-port is missing"},
		"a port too large":   {[]string{"-wasm", good, "-dbPath", "x.db", "-port", "65536"}, 2, "-port"},
		"a port that is not": {[]string{"-wasm", good, "-dbPath", "x.db", "-port", "http"}, 2, "http"},
		"an unknown flag":    {[]string{"-colour"}, 2, "-colour"},
		"an argument":        {[]string{"-wasm", good, "-dbPath", "x.db", "-port", "0", "more"}, 2, "more"},
		"missing wasm": {[]string{"-wasm", "none.wasm", "-dbPath", "none.db", "-port", "0"},
			3, "none.wasm: no such file"},
		"a text as wasm": {[]string{"-wasm", "text.wasm", "-dbPath", "x.db", "-port", "0"}, 3, "GOOS=wasip1"},
		"an empty wasm":  {[]string{"-wasm", "empty.wasm", "-dbPath", "x.db", "-port", "0"}, 3, "GOOS=wasip1"},
		"a cut wasm":     {[]string{"-wasm", "truncated.wasm", "-dbPath", "x.db", "-port", "0"}, 3, "GOOS=wasip1"},
		"a wasm for another": {[]string{"-wasm", "bare.wasm", "-dbPath", "x.db", "-port", "0"}, 3,
			"does not export handle"},
		"a directory":        {[]string{"-wasm", ".", "-dbPath", "x.db", "-port", "0"}, 3, "directory"},
		"a text as database": {[]string{"-wasm", good, "-dbPath", "text.db", "-port", "0"}, 4, "not a database"},
		"a directory as db":  {[]string{"-wasm", good, "-dbPath", "directory.db", "-port", "0"}, 4, "directory.db"},
		"below a file":       {[]string{"-wasm", good, "-dbPath", "text.db/x.db", "-port", "0"}, 4, "text.db"},
		"port in use":        {[]string{"-wasm", good, "-dbPath", "x.db", "-port", port}, 5, "address already in use"},
		"no such address": {[]string{"-wasm", good, "-dbPath", "x.db", "-port", "0", "-host", "203.0.113.1"},
			1, "203.0.113.1"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			c2 := command(t, directory, append(c.args, "-cache", filepath.Join(built, "cache"))...)
			if name == "no arguments" || name == "an argument" {
				c2 = command(t, directory, c.args...)
			}
			c2.Stderr = &stderr
			_ = c2.Run()
			require.Equal(t, c.code, c2.ProcessState.ExitCode(), stderr.String())
			require.Contains(t, stderr.String(), c.says)
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
		})
	}
	require.NoFileExists(t, filepath.Join(directory, "none.db"), "a wrong path makes no database")
}

func TestHelpIsNoFailure(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	c := command(t, t.TempDir(), "-help")
	c.Stderr = &stderr
	require.NoError(t, c.Run())
	for _, flag := range []string{"-wasm PATH", "-dbPath NAME", "-port PORT", "-host", "-cache"} {
		require.Contains(t, stderr.String(), flag)
	}
}

func TestItListensOnAPortThatIsHeldForIt(t *testing.T) {
	t.Parallel()
	// The manager holds the port bound, not listening, and sets SO_REUSEADDR only after the bind.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer syscall.Close(fd)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	held, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	p := start(t, t.TempDir(), "counter", "-port", strconv.Itoa(held.(*syscall.SockaddrInet4).Port))
	require.Equal(t, 200, p.get(t, "/api/status").status)
	require.Equal(t, 200, p.do(t, "POST", "/increment", "", "").status)
}

func TestAModuleThatWantsTooMuchMemoryIsReplaced(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "faulty")
	require.Equal(t, 500, p.get(t, "/hog").status)
	require.Equal(t, 200, p.get(t, "/").status)
	require.Equal(t, 200, p.get(t, "/api/status").status)
	require.Contains(t, p.stop(t), "out of memory")
}

func TestTermLetsARunningRequestFinish(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, t.TempDir(), "faulty")
			done := make(chan answer, 1)
			go func() {
				a, _ := p.try("GET", "/sleep?for=400ms", "", "")
				done <- a
			}()
			p.running(t, 1)
			require.NoError(t, p.Process.Signal(signal))
			require.Equal(t, 200, (<-done).status)
			code, stderr := p.end()
			require.Equal(t, 0, code, stderr)
			_, err := p.try("GET", "/api/status", "", "")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		})
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "faulty")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = p.try("GET", "/sleep?for=1h", "", "")
	}()
	p.running(t, 1)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { // the first has been heard when it no longer listens
		_, err := p.try("GET", "/api/status", "", "")
		return err != nil
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	_, _ = p.end()
	require.Equal(t, syscall.SIGTERM, p.ProcessState.Sys().(syscall.WaitStatus).Signal())
	<-done
}

func TestProcessesThatStartAtOnceCompileAModuleOnce(t *testing.T) {
	t.Parallel()
	real(t)
	directory := t.TempDir()
	cache := filepath.Join(directory, "cache")
	processes := make([]*process, 8)
	var starting sync.WaitGroup
	for i := range processes {
		starting.Go(func() {
			processes[i] = start(t, directory, "counter", "-dbPath", strconv.Itoa(i)+".db", "-cache", cache)
		})
	}
	starting.Wait()
	files, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Len(t, files, 1)
	entry, err := files[0].Info()
	require.NoError(t, err)
	for _, p := range processes {
		require.NotNil(t, p)
		require.Equal(t, 200, p.do(t, "POST", "/increment", "", "").status)
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.Process.Pid))
		require.NoError(t, err)
		inode := strconv.FormatUint(entry.Sys().(*syscall.Stat_t).Ino, 10)
		require.Regexp(t, `(?m)^\S+ r-xp \S+ \S+ `+inode+` `, string(maps), "all run the code of the one file")
		require.NotContains(t, p.stop(t), "WARN")
	}
}

func TestADamagedCompiledModuleCostsTimeNotTheStart(t *testing.T) {
	t.Parallel()
	cache, entry := warmCache(t, "tiny")
	run := func() string {
		p := start(t, t.TempDir(), "tiny", "-cache", cache)
		require.Equal(t, 200, p.get(t, "/").status)
		return p.stop(t)
	}
	require.NotContains(t, run(), "WARN")
	require.NoError(t, os.Truncate(entry, alignment))
	require.Contains(t, run(), "damaged")
	require.NotContains(t, run(), "WARN", "it has been made again")

	// Well-formed, but nothing wazero has written.
	require.NoError(t, os.Remove(entry))
	var written atomic.Int32
	e, err := cacheIn(cache).get(t.Context(), filepath.Base(entry), writer(&written))
	require.NoError(t, err)
	require.NoError(t, e.close())
	require.Contains(t, run(), "the cache of compiled modules cannot be used")
	require.NoFileExists(t, entry, "the next start makes it again")
}
