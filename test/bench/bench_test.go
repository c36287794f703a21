package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary a light child, too.
func TestMain(m *testing.M) {
	if os.Getenv("PROCMAN_BENCH_CHILD") != "" {
		child(os.Args[len(os.Args)-1])
		return
	}
	os.Exit(m.Run())
}

// child answers 200 to every request on the port until TERM, with as little as possible.
func child(port string) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(5)
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(buf)
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
			_ = c.Close()
		}
	}()
	<-term
}

func instances() int { return setting("PROCMAN_BENCH_INSTANCES", 100, strconv.Atoi) }

func idle() time.Duration { return setting("PROCMAN_BENCH_IDLE", 10*time.Second, time.ParseDuration) }

func setting[T any](name string, fallback T, parse func(string) (T, error)) T {
	if text := os.Getenv(name); text != "" {
		v, err := parse(text)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
		return v
	}
	return fallback
}

// daemon is a procman at work.
type daemon struct {
	b      *testing.B
	dir    string
	binary string
	cmd    *exec.Cmd
	client http.Client
}

func newDaemon(b *testing.B, n int) *daemon {
	d := &daemon{b: b, dir: b.TempDir()}
	d.binary = filepath.Join(d.dir, "procman")
	build := exec.Command("go", "build", "-o", d.binary, "procman/cmd/procman")
	build.Stderr = os.Stderr
	require.NoError(b, build.Run())
	var file bytes.Buffer
	fmt.Fprintf(&file, "executable: %s\nstate_dir: %s\nports: {range: 10000-%d}\nhealth: {interval: 10s}\nlog: {level: warn}\ninstances:\n",
		os.Args[0], filepath.Join(d.dir, "state"), 10000+max(n+n/10, 100))
	for i := range n {
		fmt.Fprintf(&file, "  - {id: bench-%d, args: [\"{port}\"], env: {PROCMAN_BENCH_CHILD: \"1\", GOMAXPROCS: \"1\"}}\n", i)
	}
	require.NoError(b, os.WriteFile(filepath.Join(d.dir, "procman.yaml"), file.Bytes(), 0o600))
	d.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(d.dir, "state", "procman.sock"))
	}}
	b.Cleanup(d.end)
	return d
}

// start runs the daemon and returns how long it took until every instance was healthy.
func (d *daemon) start() time.Duration {
	began := time.Now()
	d.cmd = exec.Command(d.binary, "run", "-c", filepath.Join(d.dir, "procman.yaml"))
	d.cmd.Stderr = os.Stderr
	require.NoError(d.b, d.cmd.Start())
	for {
		response, err := d.client.Get("http://procman/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return time.Since(began)
			}
		}
		require.Less(d.b, time.Since(began), 10*time.Minute, "not ready")
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

func (d *daemon) end() {
	if d.cmd == nil || d.cmd.ProcessState != nil {
		d.start()
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	require.NoError(d.b, d.cmd.Wait())
}

// proc returns a value of /proc/PID/status of the daemon.
func (d *daemon) proc(key string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	require.NoError(d.b, err)
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, key+":"); found {
			n, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			require.NoError(d.b, err)
			return n
		}
	}
	d.b.Fatalf("no %s", key)
	return 0
}

// cpu returns the seconds of processor time the daemon has used.
func (d *daemon) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	require.NoError(d.b, err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	ticks := 0.0
	for _, f := range fields[11:13] {
		n, err := strconv.ParseFloat(f, 64)
		require.NoError(d.b, err)
		ticks += n
	}
	return ticks / 100
}

// BenchmarkManyInstances starts them, watches the daemon do nothing, kills it and starts it again.
func BenchmarkManyInstances(b *testing.B) {
	n := instances()
	for b.Loop() {
		d := newDaemon(b, n)
		b.ReportMetric(d.start().Seconds(), "s-until-healthy")
		b.ReportMetric(d.cpu(), "cpu-s-start")
		before := d.cpu()
		time.Sleep(idle())
		b.ReportMetric((d.cpu()-before)*60/idle().Seconds(), "cpu-s/idle-min")
		b.ReportMetric(d.proc("VmRSS")/1024, "MiB-rss")
		b.ReportMetric(d.proc("Threads"), "threads")
		d.kill()
		b.ReportMetric(d.start().Seconds(), "s-until-adopted")
		b.ReportMetric(float64(n), "instances")
	}
}
