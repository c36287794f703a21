package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/api"
	"procman/test/fake"
)

// tally is what was shown of a child that counts.
type tally struct {
	newest, missing int // the newest number, and how many before it were not shown
}

// TestFollowingOutlivesTheDaemonAndLosesNothing kills the daemon three times under two instances that count, fast
// enough for their files to lose their heads again and again.
func TestFollowingOutlivesTheDaemonAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "output: {max_size: 64KiB, forward: false}", "a: count", "long: count")
	d := s.run()
	s.ok("start", "--all", "--wait")
	cmd := exec.Command(binary, "-c", s.config, "logs", "-f", "--stream", "stdout")
	var diagnostics fake.Journal
	cmd.Stderr = &diagnostics
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var seen [2]atomic.Int64
	tallies := make(chan map[string]*tally, 1)
	problem := make(chan string, 1)
	go func() {
		all := map[string]*tally{"a   ": {}, "long": {}}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			id, text, _ := strings.Cut(lines.Text(), " | ")
			if text == "hello from stdout" {
				continue
			}
			var i int
			if n, _ := fmt.Sscanf(text, "line %d ", &i); n != 1 || all[id] == nil || counted(i) != text ||
				i <= all[id].newest {
				select {
				case problem <- lines.Text():
				default:
				}
				continue
			}
			if all[id].newest > 0 {
				all[id].missing += i - all[id].newest - 1
			}
			all[id].newest = i
			seen[len(strings.TrimSpace(id))/4].Store(int64(i))
		}
		tallies <- all
	}()
	more := func() {
		t.Helper()
		a, long := seen[0].Load(), seen[1].Load()
		s.eventually("lines come", func() bool { return seen[0].Load() > a+5000 && seen[1].Load() > long+5000 })
	}
	more()
	const waiting = "procman: the daemon does not answer; waiting for it\n"
	for n := range 3 {
		require.NoError(t, d.cmd.Process.Kill())
		<-d.done
		if n == 1 { // the others are away for an instant only
			s.eventually("it is said", func() bool { return strings.Contains(diagnostics.String(), waiting) })
		}
		d = s.run()
		more()
	}
	require.Equal(t, 1, s.instance("a").Run, "the instances were not touched")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	all := <-tallies
	require.Error(t, cmd.Wait())
	select {
	case line := <-problem:
		require.Fail(t, "repeated, torn, or of nobody", "%q", line)
	default:
	}
	told, first, waits := map[string]int{}, map[string]int{}, 0
	for line := range strings.Lines(diagnostics.String()) {
		var id string
		var bytes int
		if n, _ := fmt.Sscanf(line, "procman: %s %d bytes of stdout are not there any more", &id, &bytes); n == 2 {
			if told[id] == 0 {
				first[id] = bytes
			}
			told[id] += bytes
			continue
		}
		require.Equal(t, waiting, line)
		waits++
	}
	require.Positive(t, waits)
	require.LessOrEqual(t, waits, 3, "once for each time")
	for id, c := range all {
		gone := c.missing * (len(counted(1)) + 1)
		// What went between the start of the command and its first line is told too, and no line shows how much that
		// was.
		sum, before := told[strings.TrimSpace(id)+":"], first[strings.TrimSpace(id)+":"]
		require.Contains(t, []int{sum, sum - before}, gone, "what is missing of %s is told, to the byte", id)
		t.Logf("%s: %d lines, %d of them gone, as was said", id, c.newest, c.missing)
	}
}

func TestAnInstanceThatLeavesTheListEndsItsPartOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: count")
	s.run()
	s.ok("start", "--all", "--wait")
	cmd := exec.Command(binary, "-c", s.config, "logs", "-f", "--stream", "stdout", "-n", "1")
	var out, diagnostics fake.Journal
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	require.NoError(t, cmd.Start())
	s.eventually("both",
		func() bool { return strings.Contains(out.String(), "a | ") && strings.Contains(out.String(), "b | ") })
	s.write("", "b: count")
	s.ok("reload")
	s.eventually("a has left", func() bool {
		return diagnostics.String() == "procman: a: it is not in the list any "+
			"more\n"
	})
	n := len(out.String())
	s.eventually("b goes on", func() bool { return len(out.String()) > n })
	s.write("")
	s.ok("reload")
	require.NoError(t, cmd.Wait(), "nothing is left to follow")
	require.Contains(t, diagnostics.String(), "b: it is not in the list any more\n")
}

func TestNothingIsShownWhenAnIDIsUnknown(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "web: serve", "db: serve")
	s.run()
	s.ok("start", "--all", "--wait")
	r := s.call("logs", "web", "webb")
	require.Equal(t, exitUnknown, r.code)
	require.Empty(t, r.stdout)
	require.Contains(t, r.stderr, `did you mean "web"?`)
}

func TestPrefixesAreAsWideAsTheLongestID(t *testing.T) {
	require.Nil(t, prefixes([]messages.InstanceID{"web"}, true))
	plain := prefixes([]messages.InstanceID{"web", "worker"}, false)
	require.Equal(t, map[messages.InstanceID]string{"web": "web    | ", "worker": "worker | "}, plain)
	inked := prefixes([]messages.InstanceID{"web", "worker"}, true)
	require.Equal(t, "\x1b[36mweb    | \x1b[0m", inked["web"])
	require.NotEqual(t, inked["web"][:5], inked["worker"][:5])
}

func TestADaemonThatSaysNoAtOnceMeansIt(t *testing.T) {
	busy := &api.Error{Message: "too many", Code: api.CodeBusy, Status: http.StatusServiceUnavailable}
	require.False(t, transient(busy, true, false))
	require.True(t, transient(busy, true, true), "its place was taken while the daemon was away")
	require.False(t, transient(os.ErrInvalid, true, true))
}

func TestACommandThatIsGivenIDsAsksForTheseOnlyAndForAllToSayWhatMayHaveBeenMeant(t *testing.T) {
	dir, err := os.MkdirTemp("", "pm") // for a socket the name must be short
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	asked := make(chan string, 8)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.RawQuery
		d := api.Document{Schema: api.Schema}
		for _, id := range []messages.InstanceID{"web", "worker"} {
			if r.URL.RawQuery == "" || slices.Contains(r.URL.Query()["id"], string(id)) {
				d.Instances = append(d.Instances, messages.Status{ID: id})
			}
		}
		require.NoError(t, json.NewEncoder(w).Encode(d))
	})}
	go func() { _ = server.Serve(l) }() // until it is closed
	defer server.Close()
	c := api.NewClient(filepath.Join(dir, "s"))
	defer c.Close()
	a := &app{}
	_, ids, err := a.asked(t.Context(), c, []string{"worker", "worker"})
	require.NoError(t, err)
	require.Equal(t, []messages.InstanceID{"worker"}, ids)
	require.Equal(t, "id=worker&id=worker", <-asked)
	_, ids, err = a.asked(t.Context(), c, []string{"web", "workr"})
	require.ErrorContains(t, err, `did you mean "worker"?`)
	require.Equal(t, []messages.InstanceID{"web"}, ids)
	require.Equal(t, []string{"id=web&id=workr", ""}, []string{<-asked, <-asked})
	require.Empty(t, asked)
}
