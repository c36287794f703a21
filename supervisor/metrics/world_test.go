package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// snapshot is a supervisor that never changes by itself.
type snapshot map[messages.InstanceID]messages.Status

func (s snapshot) Status(context.Context) ([]messages.Status, error) {
	all := make([]messages.Status, 0, len(s))
	for _, status := range s {
		all = append(all, status)
	}
	slices.SortFunc(all, func(a, b messages.Status) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

func (s snapshot) Lookup(id messages.InstanceID) (messages.Status, bool) {
	status, known := s[id]
	return status, known
}

// mute is a supervisor that does not answer.
type mute struct{ snapshot }

func (mute) Status(context.Context) ([]messages.Status, error) {
	return nil, errors.New("out of order")
}

// many returns so many instances that run, without a process.
func many(n int) snapshot {
	started := time.Unix(1000, 0)
	s := snapshot{}
	for i := range n {
		id := messages.InstanceID(fmt.Sprintf("instance-%05d", i))
		s[id] = messages.Status{ID: id, Phase: messages.Running, Health: messages.Healthy, StartedAt: &started}
	}
	return s
}

// kernel makes a /proc of the processes given, with their ticks of CPU time and pages of memory.
func kernel(t *testing.T, processes map[int][2]int) string {
	t.Helper()
	proc := t.TempDir()
	for pid, uses := range processes {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		require.NoError(t, os.Mkdir(dir, 0o700))
		fields := slices.Repeat([]string{"0"}, 52)
		fields[0], fields[1], fields[2] = strconv.Itoa(pid), "(servicehost)", "S"
		fields[13], fields[14], fields[23] = strconv.Itoa(uses[0]-1), "1", strconv.Itoa(uses[1])
		require.NoError(t, os.WriteFile(filepath.Join(dir, "stat"), []byte(strings.Join(fields, " ")+"\n"), 0o600))
	}
	return proc
}

func textLog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// sampled is one exposition: values by series, as they are written.
type sampled map[string]float64

func scrape(t *testing.T, c *Collector) sampled {
	t.Helper()
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	return parse(t, w.Body.String())
}

func parse(t *testing.T, text string) sampled {
	t.Helper()
	s := sampled{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		require.NoError(t, err, line)
		s[line[:at]] = value
	}
	return s
}

// of returns the series of an instance.
func (s sampled) of(id string) []string {
	var series []string
	for name := range s {
		if strings.Contains(name, fmt.Sprintf("instance=%q", id)) {
			series = append(series, name)
		}
	}
	slices.Sort(series)
	return series
}

// restarts returns the restarts of an instance that are not 0, by reason.
func (s sampled) restarts(id string) map[string]float64 {
	found := map[string]float64{}
	for _, r := range reasons() {
		if n := s[fmt.Sprintf("procman_instance_restarts_total{instance=%q,reason=%q}", id, r)]; n != 0 {
			found[string(r)] = n
		}
	}
	return found
}

// names returns the name of every metric that the collector promises.
func names() []string {
	descs := make(chan *prometheus.Desc)
	go func() {
		New(Options{Fleet: standing}).Describe(descs)
		close(descs)
	}()
	var all []string
	for d := range descs {
		name, _, _ := strings.Cut(strings.TrimPrefix(d.String(), `Desc{fqName: "`), `"`)
		all = append(all, name)
	}
	return all
}
