package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	directory, err := os.MkdirTemp("", "servicehost-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(func() int {
		defer os.RemoveAll(directory)
		built = directory
		code := m.Run()
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}())
}

// built is where the program, the applications and their machine code are kept for this run of the tests.
var built string

// build makes the program and the applications. The program is not the test binary: under -race that takes twenty times
// as long to compile a module, and there is one more thing to be sure of, that what users build works.
var build = sync.OnceValue(func() error {
	// The go command keeps the result of a test until a file it has looked at changes; it does not know these.
	for _, directory := range []string{"guest", "apps/guestbook", "apps/counter", "testdata/faulty"} {
		sources, err := filepath.Glob(directory + "/*.go")
		if err != nil {
			return err
		}
		for _, source := range sources {
			if _, err := os.Stat(source); err != nil {
				return err
			}
		}
	}
	failed := make(chan error)
	wasm := []string{"GOOS=wasip1", "GOARCH=wasm"}
	for _, b := range []struct {
		environment []string
		args        []string
	}{
		{nil, []string{"-buildmode=default", ".", filepath.Join(built, "servicehost")}},
		{wasm, []string{"-buildmode=c-shared", "./apps/guestbook", filepath.Join(built, "guestbook.wasm")}},
		{wasm, []string{"-buildmode=c-shared", "./apps/counter", filepath.Join(built, "counter.wasm")}},
		{wasm, []string{"-buildmode=c-shared", "./testdata/faulty", filepath.Join(built, "faulty.wasm")}},
	} {
		go func() { // as fake.Program does it
			c := exec.Command("go", append([]string{"run", "-buildvcs=false", "-exec", "cp"}, b.args...)...)
			c.Env = append(os.Environ(), b.environment...)
			output, err := c.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%v: %w: %s", c.Args, err, output)
			}
			failed <- err
		}()
	}
	return errors.Join(os.WriteFile(filepath.Join(built, "tiny.wasm"), tiny(), 0o600), <-failed, <-failed,
		<-failed, <-failed)
})

// app is the path of a built application.
func app(t *testing.T, name string) string {
	t.Helper()
	require.NoError(t, build())
	return filepath.Join(built, name+".wasm")
}

// process is one running servicehost.
type process struct {
	*exec.Cmd
	url    string
	stderr chan string // everything, when it has ended
	reaped bool
}

// command is servicehost, not yet started, in the directory.
func command(t *testing.T, directory string, args ...string) *exec.Cmd {
	t.Helper()
	require.NoError(t, build())
	c := exec.Command(filepath.Join(built, "servicehost"), args...)
	c.Dir = directory
	return c
}

// start runs servicehost with that application in the directory, where its database is NAME, until it says that it
// serves. Under -short, which is for the race detector, the test ends here: the program is built without it.
func start(t *testing.T, directory, name string, args ...string) *process {
	t.Helper()
	real(t)
	return begin(t, directory, name, args...)
}

func real(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes the real program, which is built without the race detector")
	}
}

func begin(t *testing.T, directory, name string, args ...string) *process {
	t.Helper()
	args = append([]string{"-wasm", app(t, name), "-dbPath", "data/" + name + ".db", "-port", "0",
		"-cache", filepath.Join(built, "cache")}, args...)
	p := &process{Cmd: command(t, directory, args...), stderr: make(chan string, 1)}
	stderr, err := p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() { p.kill() })
	port := make(chan int, 1)
	go func() {
		var all bytes.Buffer
		lines := bufio.NewScanner(io.TeeReader(stderr, &all))
		for lines.Scan() {
			var line struct {
				Msg  string
				Port int
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "servicehost started" {
				port <- line.Port
			}
		}
		close(port)
		_, _ = io.Copy(&all, stderr)
		p.stderr <- all.String()
	}()
	select {
	case n, ok := <-port:
		if !ok {
			t.Fatalf("it ended before it served: %s", <-p.stderr)
		}
		p.url = fmt.Sprintf("http://127.0.0.1:%d", n)
	case <-time.After(time.Minute):
		t.Fatal("it does not start")
	}
	return p
}

func (p *process) kill() {
	if !p.reaped {
		_ = p.Process.Kill()
		p.end()
	}
}

// end waits for the end: its exit code and what it wrote.
func (p *process) end() (int, string) {
	stderr := <-p.stderr
	p.reaped = true
	_ = p.Wait()
	return p.ProcessState.ExitCode(), stderr
}

// stop asks it to end and requires that it does so properly.
func (p *process) stop(t *testing.T) string {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	code, stderr := p.end()
	require.Equal(t, 0, code, stderr)
	return stderr
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (p *process) do(t *testing.T, method, path, kind, body string) answer {
	t.Helper()
	a, err := p.try(method, path, kind, body)
	require.NoError(t, err)
	return a
}

func (p *process) try(method, path, kind, body string) (answer, error) {
	request, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(read)}, err
}

func (p *process) get(t *testing.T, path string) answer {
	t.Helper()
	return p.do(t, "GET", path, "", "")
}

// running waits until so many requests run in the module.
func (p *process) running(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var status struct{ Running int }
		a, err := p.try("GET", "/api/status", "", "")
		return err == nil && a.status == 200 && json.Unmarshal([]byte(a.body), &status) == nil && status.Running == n
	}, 20*time.Second, 5*time.Millisecond)
}
