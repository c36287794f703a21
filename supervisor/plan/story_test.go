package plan

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

var rewrite = flag.Bool("rewrite", false, "write the stories' outcome into their files; commit the difference only "+
	"if you can explain it")

// A story is a text file: a line beginning with a word is an event, the indented lines below it are what came of it.
//
//	want SPEC | unwant | launched | adopted | fails TEXT | ready | unhealthy | exited CODE | killed SIG | conflict |
//	lost | due | retry | restart | after DURATION (time passes) | restart-of-the-manager [dead]
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := tell(t, string(text))
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			require.Equal(t, string(text), got)
		})
	}
}

func tell(t *testing.T, text string) string {
	var out strings.Builder
	i := New("web")
	start := time.Unix(1_000_000, 0)
	now := start
	var desired *App
	listed := true
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "    ") {
			continue
		}
		fmt.Fprintln(&out, line)
		verb, arg, _ := strings.Cut(line, " ")
		var e Event
		switch verb {
		case "", "#":
			continue
		case "after":
			d, err := time.ParseDuration(arg)
			require.NoError(t, err, line)
			now = now.Add(d)
			continue
		case "want":
			desired = newApp(t, func(a *messages.AppInstance) {
				for _, word := range strings.Fields(arg) {
					if mode, is := strings.CutPrefix(word, "mode="); is {
						a.Restart.Mode, a.Restart.Jitter = messages.RestartMode(mode), 0.2
					} else {
						a.WasmPath = word
					}
				}
			})
			listed = true
		case "unwant":
			desired, listed = nil, true
		case "launched", "adopted":
			e = Launched{PID: 4000 + i.Run, Port: 30001, SpecHash: i.Spec, Adopted: verb == "adopted", StartedAt: now}
		case "fails":
			e = LaunchFailed{Err: errors.New(arg)}
		case "ready":
			e = Ready{}
		case "unhealthy":
			e = Unhealthy{Cause: "3 probes failed in a row: status 500", Since: now}
		case "exited":
			code, err := strconv.Atoi(arg)
			require.NoError(t, err, line)
			e = Exited{Exit: messages.Exit{Known: true, Code: code}}
		case "killed":
			e = Exited{Exit: messages.Exit{Known: true, Code: -1, Signal: arg}}
		case "conflict":
			e = Exited{Exit: messages.Exit{Known: true, Code: 5}, Conflict: true}
		case "lost":
			e = Lost{}
		case "due":
			now = i.DueAt
			e = Due{now}
		case "retry":
			e = Retry{}
		case "restart":
			e = Restart{}
		case "restart-of-the-manager":
			memory := i.Memory(false)
			found := &messages.Survivor{ID: i.ID, Run: i.Run, PID: i.PID, Port: i.Port, SpecHash: i.Spec,
				Alive: i.Live() && arg != "dead"}
			i, listed = New("web"), false
			e = Survivor{Memory: memory, Found: found}
		default:
			t.Fatalf("unknown line %q", line)
		}
		for n := 0; n < 5; n++ {
			if e != nil {
				var actions []Action
				i, actions = Step(i, now, e)
				for _, a := range actions {
					fmt.Fprintln(&out, "    "+say(a, now))
				}
			}
			var more bool
			if e, more = Diff(i, desired, desired); !more || !listed {
				break
			}
		}
		fmt.Fprintf(&out, "    = %s", i.Phase)
		if i.Reason != "" {
			fmt.Fprintf(&out, " (%s)", i.Reason)
		}
		fmt.Fprintf(&out, ", attempts %d, restarts %d\n", i.Attempts, i.Restarts())
	}
	return out.String()
}

func say(a Action, now time.Time) string {
	switch a := a.(type) {
	case Launch:
		return fmt.Sprintf("launch run %d of %s", a.Run, a.App.WasmPath)
	case Adopt:
		return fmt.Sprintf("adopt run %d, ready %v", a.Run, a.Ready)
	case Stop:
		return fmt.Sprintf("stop, grace %v", a.Grace)
	case Apply:
		return "apply policy"
	case Drop:
		return "drop the actor"
	case Arm:
		return fmt.Sprintf("wait %v", a.At.Sub(now).Round(100*time.Millisecond))
	case Forget:
		return "forget"
	case Tell:
		s := "log: " + string(a.What)
		if a.Why != "" {
			s += ": " + a.Why
		}
		return s
	default:
		return fmt.Sprintf("%T %+v", a, a)
	}
}
