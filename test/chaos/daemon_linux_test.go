package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// daemon is one `procman run`.
type daemon struct {
	w      *world
	cmd    *exec.Cmd
	number int // counts the daemons of its world
	http   *http.Client
	began  time.Time
	ended  chan struct{} // closed when it is reaped
	code   int           // valid then; -1: killed
}

// start starts the world's daemon. It returns as soon as there is a process.
func (w *world) start(env ...string) *daemon {
	w.Helper()
	d := w.another(env...)
	w.daemon = d
	w.watcher.mind(d.pid())
	return d
}

// another starts a daemon on the world's configuration that the world does not take for its own.
func (w *world) another(env ...string) *daemon {
	w.Helper()
	return w.command(exec.Command(w.program, "run", "-c", w.config), env...)
}

func (w *world) command(cmd *exec.Cmd, env ...string) *daemon {
	w.Helper()
	w.managers++
	log, err := os.Create(w.logOf(w.managers))
	require.NoError(w, err)
	defer log.Close()
	cmd.Stderr, cmd.Stdout = log, log
	if w.stderr != nil {
		cmd.Stderr = w.stderr
	}
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = w.dir
	d := &daemon{w: w, cmd: cmd, number: w.managers, began: time.Now(), ended: make(chan struct{})}
	d.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
		},
	}}
	require.NoError(w, ours.start(cmd))
	go func() {
		err := ours.wait(cmd)
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			d.code = exit.ExitCode()
		case err != nil:
			d.code = -2
		}
		close(d.ended)
	}()
	w.Cleanup(d.kill)
	return d
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

// kill kills the daemon, KILL, and returns when it is gone.
func (d *daemon) kill() {
	d.w.watcher.mind(0)
	_ = d.cmd.Process.Signal(unix.SIGKILL) // it may be gone
	<-d.ended
}

func (d *daemon) signal(s syscall.Signal) {
	d.w.Helper()
	require.NoError(d.w, d.cmd.Process.Signal(s))
}

func (d *daemon) alive() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// wait waits until the daemon has ended by itself and returns its exit code.
func (d *daemon) wait(within time.Duration) int {
	d.w.Helper()
	select {
	case <-d.ended:
	case <-time.After(inTime(within)):
		d.w.Fatalf("the daemon has not ended within %v", within)
	}
	return d.code
}

// document is `procman status -o json`.
type document struct {
	Schema  int
	Manager struct {
		PID      int
		Ready    bool
		StateDir string `json:"state_dir"`
	}
	Instances []shown
}

type shown struct {
	Shown
	Adopted             bool
	ConsecutiveFailures int        `json:"consecutive_failures"`
	NextStartAt         *time.Time `json:"next_start_at"`
	LastExit            *lastExit  `json:"last_exit"`
	DB                  string     `json:"db_name"`
}

type lastExit struct {
	Code   int
	Signal string
	Known  bool
	At     time.Time
	Reason string
}

// ask makes one request of the API.
func (d *daemon) ask(method, path string, into any) error {
	request, err := http.NewRequest(method, "http://procman"+path, nil)
	if err != nil {
		return err
	}
	response, err := d.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return &refused{response.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, path, response.Status,
			bytes.TrimSpace(text))}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// refused is an answer that says no. Any other error of ask leaves open whether something was done.
type refused struct {
	status int
	text   string
}

func (r *refused) Error() string { return r.text }

func (d *daemon) status() (doc document, err error) {
	return doc, d.ask(http.MethodGet, "/v1/instances", &doc)
}

// do makes a command by the API: start, stop or restart.
func (d *daemon) do(verb, id string) error {
	return d.ask(http.MethodPost, "/v1/instances/"+id+"/"+verb, nil)
}

func (d *daemon) mustDo(verb, id string) {
	d.w.Helper()
	require.NoError(d.w, d.do(verb, id))
}

func (d *daemon) reload() error { return d.ask(http.MethodPost, "/v1/reload", nil) }

// up waits until the daemon answers.
func (d *daemon) up() *daemon {
	d.w.Helper()
	deadline := time.Now().Add(inTime(10 * time.Second))
	for {
		doc, err := d.status()
		if err == nil && doc.Manager.PID == d.pid() {
			return d
		}
		if !d.alive() || time.Now().After(deadline) {
			text, _ := os.ReadFile(d.w.logOf(d.number))
			d.w.Fatalf("the daemon does not answer (%v); alive: %t; its log:\n%s", err, d.alive(), text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// shown returns the status of one instance.
func (d *daemon) shown(id string) (shown, bool) {
	d.w.Helper()
	doc, err := d.status()
	require.NoError(d.w, err)
	for _, s := range doc.Instances {
		if s.ID == id {
			return s, true
		}
	}
	return shown{}, false
}

// await waits until the status of the instance is as asked.
func (d *daemon) await(id, what string, holds func(shown) bool) (s shown) {
	d.w.Helper()
	d.w.eventually(10*time.Second, id+" is "+what, func() bool {
		var known bool
		s, known = d.shown(id)
		return known && holds(s)
	})
	return s
}

func (d *daemon) healthy(id string) shown {
	d.w.Helper()
	return d.await(id, "running and healthy",
		func(s shown) bool { return s.Phase == "running" && s.Health == "healthy" && s.PID != 0 })
}

// process returns the process that is shown of the instance.
func (d *daemon) process(id string) Process {
	d.w.Helper()
	s, _ := d.shown(id)
	st, err := readStat(s.PID)
	require.NoError(d.w, err)
	return Process{s.PID, st.Start}
}

// log returns the daemon's log so far.
func (d *daemon) log() string {
	d.w.Helper()
	text, err := os.ReadFile(d.w.logOf(d.number))
	require.NoError(d.w, err)
	return string(text)
}

// said waits for a record of the log that has all these words.
func (d *daemon) said(words ...string) string {
	d.w.Helper()
	var hit string
	d.w.eventually(5*time.Second, fmt.Sprintf("the log has a record with %q", words), func() bool {
		for line := range strings.SplitSeq(d.log(), "\n") {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				hit = line
				return true
			}
		}
		return false
	})
	return hit
}

// cli runs the command line against the daemon.
func (w *world) cli(args ...string) (string, int) {
	w.Helper()
	cmd := exec.Command(w.program, append([]string{"--socket", w.socket}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(w, ours.start(cmd))
	err := ours.wait(cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out.String(), exit.ExitCode()
	}
	require.NoError(w, err)
	return out.String(), 0
}
