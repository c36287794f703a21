package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkWarmStart is the time from exec until the status is 200, with a cache that has the module.
func BenchmarkWarmStart(b *testing.B) {
	f := newFleet(b)
	f.stop(f.start(b, 0))
	for b.Loop() {
		c := f.start(b, 0)
		b.StopTimer()
		f.stop(c)
		b.StartTimer()
	}
}

// BenchmarkColdStart is the same with an empty cache.
func BenchmarkColdStart(b *testing.B) {
	f := newFleet(b)
	for b.Loop() {
		c := f.start(b, 0)
		b.StopTimer()
		f.stop(c)
		require.NoError(b, os.RemoveAll(filepath.Join(f.directory, "cache")))
		b.StartTimer()
	}
}

// BenchmarkMemory is what one of so many hosts with the guestbook takes, at rest after 40 requests. PSS: of what is
// shared by n processes each has an nth.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				f := newFleet(b)
				hosts := make([]*exec.Cmd, n)
				for i := range hosts {
					hosts[i] = f.start(b, i)
					for range 20 {
						f.ask(b, i, "POST", "/entries", `{"name": "Ada", "message": "Hello"}`, 201)
						f.ask(b, i, "GET", "/", "", 200)
					}
				}
				time.Sleep(defaults(nil).restAfter + time.Second)
				total := 0
				for _, c := range hosts {
					total += pss(b, c.Process.Pid)
				}
				b.ReportMetric(float64(total)/float64(n)/1024, "MiB/host")
				f.stop(hosts...)
			}
		})
	}
}

// fleet is hosts with the guestbook and one cache.
type fleet struct {
	directory string
	ports     []int
}

func newFleet(b *testing.B) *fleet {
	require.NoError(b, build())
	f := &fleet{directory: b.TempDir()}
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer l.Close()
		f.ports = append(f.ports, l.Addr().(*net.TCPAddr).Port)
	}
	return f
}

// start returns when the host answers.
func (f *fleet) start(b *testing.B, i int) *exec.Cmd {
	c := exec.Command(filepath.Join(built, "servicehost"), "-wasm", filepath.Join(built, "guestbook.wasm"),
		"-dbPath", fmt.Sprintf("%s/%d.db", f.directory, i), "-port", strconv.Itoa(f.ports[i]),
		"-cache", filepath.Join(f.directory, "cache"))
	require.NoError(b, c.Start())
	b.Cleanup(func() { _ = c.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.ports[i]))
		if err == nil {
			connection.Close()
			f.ask(b, i, "GET", "/api/status", "", 200)
			return c
		}
		require.True(b, time.Now().Before(deadline), "it does not start")
	}
}

func (f *fleet) stop(hosts ...*exec.Cmd) {
	for _, c := range hosts {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

func (f *fleet) ask(b *testing.B, i int, method, path, body string, want int) {
	r, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", f.ports[i], path), strings.NewReader(body))
	require.NoError(b, err)
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(b, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(b, err)
	require.Equal(b, want, response.StatusCode)
}

// pss is the process' share of memory in KiB.
func pss(b *testing.B, pid int) (kib int) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	require.NoError(b, err)
	_, after, _ := strings.Cut(string(rollup), "\nPss:")
	_, err = fmt.Sscanf(after, "%d kB", &kib)
	require.NoError(b, err)
	return kib
}
