package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dashboard is what of grafana.json can be held to the collector.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

func loadDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("grafana.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

// queries returns what the panels ask for.
func (d dashboard) queries() []string {
	var all []string
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}

// named returns the metrics that a text names.
func named(text string) []string {
	known := names()
	var all []string
	for _, name := range regexp.MustCompile(`procman_[a-z_]+`).FindAllString(text, -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base, is := strings.CutSuffix(name, suffix)
			if is && strings.HasSuffix(base, "_duration_seconds") && slices.Contains(known, base) { // a histogram
				name = base
			}
		}
		all = append(all, name)
	}
	return all
}

func TestTheDashboardShowsEveryMetricAndNoOther(t *testing.T) {
	d := loadDashboard(t)
	require.Subset(t, named(strings.Join(d.queries(), "\n")), names())
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		require.Subset(t, names(), named(v.Definition))
	}
	require.Equal(t, []string{"datasource", "host", "instance"}, variables)
	for _, query := range d.queries() {
		require.Subset(t, names(), named(query), query)
		for _, used := range regexp.MustCompile(`\$\w+`).FindAllString(query, -1) {
			require.Contains(t, []string{"$host", "$instance", "$__rate_interval", "$__range"}, used)
		}
	}
}

func TestTheAlertsSpeakOfMetricsThatThereAre(t *testing.T) {
	for _, file := range []string{"alerts.yaml", "alerts_test.yaml"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		found := named(string(text))
		require.Greater(t, len(found), 8)
		require.Subset(t, names(), found, file)
	}
}

func TestNamingAMetricThatIsNotThereIsNoticed(t *testing.T) {
	require.NotSubset(t, names(), named(`rate(procman_restarts_total[1m])`))
	require.NotSubset(t, names(), named(`procman_adopted_total_bucket`))
}
