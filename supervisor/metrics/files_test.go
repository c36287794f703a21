package metrics_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"log/slog"

	"procman/messages"
	"procman/supervisor/metrics"
)

// names returns every metric that the collector describes.
func names(t *testing.T) map[string]bool {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		none().Describe(descs)
	}()
	known := map[string]bool{}
	for d := range descs {
		known[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	require.Len(t, known, 16)
	return known
}

func TestTheMetricsAreTheOnesThatArePromised(t *testing.T) {
	known := names(t)
	for _, name := range []string{"procman_instances", "procman_instances_desired", "procman_instance_up", "procman_instance_healthy",
		"procman_instance_restarts_total", "procman_instance_start_time_seconds", "procman_probe_duration_seconds", "procman_probe_failures_total",
		"procman_adopted_total", "procman_reconcile_duration_seconds", "procman_output_bytes_total", "procman_output_skipped_bytes_total",
		"procman_config_last_reload_successful", "procman_build_info", "procman_instance_cpu_seconds_total", "procman_instance_memory_bytes"} {
		require.True(t, known[name], name)
	}
}

// queries returns the queries of the dashboard and of the rules.
func queries(t *testing.T) (dashboard, rules []string) {
	t.Helper()
	var d struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	text, err := os.ReadFile("grafana.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			dashboard = append(dashboard, target.Expr)
		}
	}
	var r struct {
		Groups []struct {
			Rules []struct {
				Expr        string
				Annotations map[string]string
			}
		}
	}
	text, err = os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &r))
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			require.NotEmpty(t, rule.Annotations["summary"])
			require.NotEmpty(t, rule.Annotations["description"])
			rules = append(rules, rule.Expr)
		}
	}
	require.NotEmpty(t, dashboard)
	require.NotEmpty(t, rules)
	return dashboard, rules
}

func TestTheDashboardAndTheAlertsNameMetricsThatExistAndAllOfThem(t *testing.T) {
	known := names(t)
	dashboard, rules := queries(t)
	shown := map[string]bool{}
	for _, query := range append(rules, dashboard...) {
		for _, name := range regexp.MustCompile(`procman_\w+`).FindAllString(query, -1) {
			if !known[name] {
				name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			}
			require.True(t, known[name], "%s in %s", name, query)
			shown[name] = true
		}
	}
	for name := range known {
		require.True(t, shown[name], "%s is shown nowhere", name)
	}
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	return path
}

func TestPromtoolFindsNothingToSay(t *testing.T) {
	promtool := tool(t, "promtool")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(exposition(t, lively()))
	out, err := check.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, string(out))
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"check", "config", "prometheus.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		out, err := exec.Command(promtool, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// lively is a collector with something of everything.
func lively() *metrics.Collector {
	began := time.Now().Add(-time.Hour)
	all := []messages.Status{
		{ID: "web", Phase: messages.Running, Health: messages.Healthy, PID: os.Getpid(), StartedAt: &began, Restarts: 1},
		{ID: "db", Phase: messages.Backoff, Restarts: 1, LastExit: &messages.Exit{Reason: messages.ReasonExit}},
	}
	forwarded := int64(0)
	c := metrics.New(metrics.Options{Statuses: func() []messages.Status { return all }, Output: func() (int64, int64) { forwarded += 1000; return forwarded, forwarded / 2 },
		Version: "v1", Revision: "abc", GoVersion: "go1.26"})
	c.Observe(messages.Reconciled{Took: time.Millisecond, Listed: 2})
	return c
}

// A Prometheus that is really run scrapes a collector, and has an answer to every query of the dashboard.
func TestPrometheusScrapesItAndTheDashboardShowsData(t *testing.T) {
	program := tool(t, "prometheus")
	c := lively()
	h, err := metrics.Handler(c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	probe := c.Checker(checkerFunc(func() messages.Probe { return messages.Probe{Latency: time.Millisecond, Error: "no"} }))
	served := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		probe.Check(r.Context(), messages.Target{ID: "web"})
		c.Observe(messages.Reconciled{Took: time.Millisecond, Listed: 2})
		c.Observe(messages.Transition{Event: "Launched", Status: messages.Status{ID: "db", Restarts: 1, LastExit: &messages.Exit{Reason: messages.ReasonExit}}})
		h.ServeHTTP(w, r)
	}), ReadHeaderTimeout: time.Second}
	target, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { defer close(done); _ = served.Serve(target) }()
	t.Cleanup(func() { require.NoError(t, served.Close()); <-done })

	dir := t.TempDir()
	text, err := os.ReadFile("prometheus.yaml")
	require.NoError(t, err)
	rules, err := os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	config := strings.NewReplacer("127.0.0.1:9464", target.Addr().String(), "scrape_interval: 15s", "scrape_interval: 200ms\n    scrape_timeout: 200ms").Replace(string(text))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(config), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts.yaml"), rules, 0o600))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	ctx, cancel := context.WithCancel(t.Context())
	run := exec.CommandContext(ctx, program, "--config.file", filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", address, "--log.level", "error")
	var said strings.Builder
	run.Stderr = &said
	require.NoError(t, run.Start())
	t.Cleanup(func() { cancel(); _ = run.Wait(); http.DefaultClient.CloseIdleConnections() })

	dashboard, _ := queries(t)
	for _, query := range dashboard {
		query = strings.ReplaceAll(query, "$instance", ".*")
		require.Eventually(t, func() bool { return answers(address, query) }, 30*time.Second, 50*time.Millisecond, "no data for %s; %s", query, &said)
	}
	require.True(t, answers(address, `procman_instance_up{instance="web"}`), "the label is our own")
}

// answers reports whether Prometheus has data for the query.
func answers(address, query string) bool {
	response, err := http.Get("http://" + address + "/api/v1/query?" + url.Values{"query": {query}}.Encode())
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var d struct {
		Status string
		Data   struct {
			Result []struct{ Value []any }
		}
	}
	if json.NewDecoder(response.Body).Decode(&d) != nil || d.Status != "success" || len(d.Data.Result) == 0 {
		return false
	}
	for _, r := range d.Data.Result {
		if len(r.Value) != 2 || fmt.Sprint(r.Value[1]) == "NaN" {
			return false
		}
	}
	return true
}
