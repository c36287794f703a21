package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// need skips the test where a program is not installed.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(err)
		}
	}
}

// promtool runs it and returns what it says.
func promtool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	need(t, "promtool")
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "promtool %v: %s", args, said)
	return string(said)
}

// target is a collector of a small world that moves on with every scrape, served over TCP.
func target(t *testing.T) *httptest.Server {
	t.Helper()
	started := time.Now()
	c := New(Options{Version: "v1", Fleet: standing,
		Output: func() (int64, int64) { return time.Since(started).Milliseconds(), 0 }})
	c.Watch(snapshot{
		"web":   {ID: "web", Phase: messages.Running, Health: messages.Healthy, PID: os.Getpid(), StartedAt: &started},
		"users": {ID: "users", Phase: messages.Backoff},
	})
	c.transition(messages.Transition{ID: "web", Event: "Launched", Status: messages.Status{Adopted: true}})
	probes := c.Checker(answering(messages.Probe{OK: true, Latency: time.Millisecond}))
	exposition := c.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		probes.Check(r.Context(), messages.Target{ID: "web"})
		c.reconciled(messages.Reconciled{Took: time.Millisecond, Listed: 2})
		exposition.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestPromtoolFindsNothingInTheExposition(t *testing.T) {
	s := target(t)
	response, err := http.Get(s.URL)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Empty(t, promtool(t, string(text), "check", "metrics"))
	http.DefaultClient.CloseIdleConnections()
}

func TestPromtoolAcceptsTheRulesAndTheScrapeConfiguration(t *testing.T) {
	require.Contains(t, promtool(t, "", "check", "rules", "alerts.yaml"), "SUCCESS: 11 rules found")
	require.Contains(t, promtool(t, "", "check", "config", "prometheus.yaml"), "SUCCESS: prometheus.yaml is valid")
}

func TestEachAlertFiresWhenItShouldAndNoneWhenAllIsWell(t *testing.T) {
	require.Contains(t, promtool(t, "", "test", "rules", "alerts_test.yaml"), "SUCCESS")
}

// realPrometheus is one, with the configuration that stands here but for the target and the pace.
type realPrometheus struct {
	t   *testing.T
	url string
}

func startPrometheus(t *testing.T, scraped string) *realPrometheus {
	t.Helper()
	need(t, "prometheus")
	dir := t.TempDir()
	config, err := os.ReadFile("prometheus.yaml")
	require.NoError(t, err)
	text := regexp.MustCompile(`(scrape|evaluation)_interval: 15s`).ReplaceAllString(string(config),
		"${1}_interval: 200ms")
	text = strings.ReplaceAll(text, `targets: ["127.0.0.1:9464"]`, fmt.Sprintf("targets: [%q]", scraped))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(text), 0o600))
	rules, err := os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts.yaml"), rules, 0o600))

	var log fake.Journal
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0")
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	listening := regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)
	require.Eventually(t, func() bool { return listening.MatchString(log.String()) }, time.Minute, 10*time.Millisecond,
		"Prometheus does not listen")
	return &realPrometheus{t, "http://" + listening.FindStringSubmatch(log.String())[1]}
}

// ask reads an answer of the HTTP API into data, and reports whether there was one.
func (p *realPrometheus) ask(path string, query url.Values, data any) bool {
	response, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	if response.StatusCode == http.StatusServiceUnavailable { // not ready yet
		return false
	}
	require.Equal(p.t, http.StatusOK, response.StatusCode, "%s %v: %s", path, query, text)
	answer := struct{ Data any }{data}
	require.NoError(p.t, json.NewDecoder(bytes.NewReader(text)).Decode(&answer))
	return true
}

// series is one of an instant query's answer.
type series struct {
	Metric map[string]string
	Value  [2]any
}

// number returns the value; NaN if there is none.
func (s series) number() float64 {
	text, _ := s.Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

func (p *realPrometheus) query(expr string) []series {
	var data struct{ Result []series }
	p.ask("/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result
}

func TestARealPrometheusAnswersEveryQueryOfTheDashboardAndTakesTheRules(t *testing.T) {
	need(t, "prometheus")
	defer http.DefaultClient.CloseIdleConnections()
	s := target(t)
	p := startPrometheus(t, s.Listener.Addr().String())
	concrete := strings.NewReplacer("$__rate_interval", "5s", "$__range", "5s", "$host", ".*", "$instance", ".*")
	for _, query := range loadDashboard(t).queries() {
		expr := concrete.Replace(query)
		var last []series
		require.Eventually(t, func() bool {
			last = p.query(expr)
			for _, one := range last {
				if math.IsNaN(one.number()) {
					return false
				}
			}
			return len(last) > 0
		}, 20*time.Second, 50*time.Millisecond, "no data for %s", expr)
	}

	up := p.query(`procman_instance_up{instance="web"}`)
	require.Len(t, up, 1, "the instance is that of procman")
	require.Equal(t, s.Listener.Addr().String(), up[0].Metric["host"])
	require.EqualValues(t, 1, up[0].number())
	require.Empty(t, p.query(`{exported_instance!=""}`))

	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	require.Eventually(t, func() bool {
		if !p.ask("/api/v1/rules", nil, &loaded) {
			return false
		}
		for _, r := range loaded.Groups[0].Rules {
			require.Empty(t, r.LastError, r.Name)
			if r.Health != "ok" {
				return false
			}
		}
		return true
	}, 20*time.Second, 50*time.Millisecond, "the rules are not evaluated")
	require.Len(t, loaded.Groups[0].Rules, 8)
}
