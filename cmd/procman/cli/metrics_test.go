package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetricsAreScrapedFromTheSocketAndFromTheListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	own := filepath.Join(t.TempDir(), "m")
	s := newSite(t, fmt.Sprintf("metrics: {listen: '%s', socket: '%s', group: '%d'}", address, own, os.Getegid()),
		"a: serve", "b: fail")
	s.run()
	s.ok("wait", "a")
	s.ok("restart", "a", "--wait")

	at := func(path string) *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			}}}
	}
	onSocket, onOwn := at(s.dir+"/state/procman.sock"), at(own)
	onTCP := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		client *http.Client
		url    string
	}{{onSocket, "http://procman/metrics"}, {onOwn, "http://procman/metrics"},
		{onTCP, "http://" + address + "/metrics"}} {
		response, err := c.client.Get(c.url)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, 200, response.StatusCode)
		require.True(t, strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain"))
		for _, series := range []string{
			`procman_instances{phase="running"} 1`, `procman_instances_desired 2`,
			`procman_instance_up{instance="a"} 1`, `procman_instance_up{instance="b"} 0`,
			`procman_instance_healthy{instance="a"} 1`,
			`procman_instance_restarts_total{instance="a",reason="stopped"} 1`,
			`procman_instance_restarts_total{instance="a",reason="unhealthy"} 0`,
			`procman_instance_start_time_seconds{instance="a"} `,
			`procman_probe_duration_seconds_count `, `procman_probe_failures_total{instance="a"} `,
			`procman_adopted_total 0`,
			`procman_reconcile_duration_seconds_count `, `procman_output_bytes_total `,
			`procman_output_skipped_bytes_total 0`,
			`procman_config_last_reload_successful 1`, `procman_build_info{`,
			`procman_instance_cpu_seconds_total{instance="a"} `,
			`procman_instance_memory_bytes{instance="a"} `, `go_goroutines `, `process_open_fds `,
		} {
			require.Contains(t, string(text), series)
		}
		require.NotContains(t, string(text), "pid=")
		require.NotContains(t, string(text), `procman_instance_memory_bytes{instance="a"} 0`)
	}
	response, err := onTCP.Get("http://" + address + "/v1/instances")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 404, response.StatusCode, "the metrics, and nothing else")

	response, err = onOwn.Post("http://procman/v1/shutdown", "", nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 404, response.StatusCode)
	info, err := os.Stat(own)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	require.NoError(t, os.Remove(own))
	s.eventually("it is made again", func() bool {
		response, err := onOwn.Get("http://procman/metrics")
		return err == nil && response.Body.Close() == nil && response.StatusCode == 200
	})

	second := newSite(t, "metrics: {listen: '"+address+"'}", "a: serve")
	r := second.call("run")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "metrics.listen cannot be had; choose another address")
}
