package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// debounce is how long the daemon lets its file rest before it reads it: supervisor/config.ProviderOptions.Debounce.
const debounce = 250 * time.Millisecond

// procman is a daemon at work, with the defaults but for these: the period of the probes, and stable_after, so that a
// kill is answered at once.
type procman struct {
	scene
	program string
	count   int // instances in the file
	p       *process
	client  http.Client
}

func openProcman(program string, s scene) manager {
	d := &procman{program: program, scene: s, count: s.n}
	d.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.socket())
	}}
	return d
}

func (d *procman) process() *process { return d.p }

func (d *procman) path() string { return filepath.Join(d.files, "procman.yaml") }

func (d *procman) socket() string { return filepath.Join(d.files, "procman.sock") }

func instance(i int) string { return fmt.Sprintf("app-%05d", i) }

// write replaces the configuration, and returns when.
func (d *procman) write() (at int64, err error) {
	var file bytes.Buffer
	fmt.Fprintf(&file, "executable: %s\nstate_dir: %s\nsocket: %s\nports: {range: %d-%d}\n",
		d.payload, filepath.Join(d.dir, "state"), d.socket(), d.firstPort, d.lastPort)
	fmt.Fprintf(&file, "health: {interval: %s}\nrestart: {stable_after: 1ms}\n", d.probe)
	fmt.Fprintf(&file, "defaults:\n  args: [-port, \"{port}\", -board, %q, -slot, \"{id}\"", d.board.path)
	for _, e := range d.extra {
		fmt.Fprintf(&file, ", %q", e)
	}
	file.WriteString("]\ninstances:\n")
	for i := range d.count {
		fmt.Fprintf(&file,
			"  - id: %s\n    db_name: %[1]s.db\n    env: {LOG_LEVEL: info}\n    labels: {app: payload}\n", instance(i))
	}
	if d.count == 0 {
		file.WriteString("  []\n")
	}
	next := d.path() + ".next"
	if err := os.WriteFile(next, file.Bytes(), 0o600); err != nil {
		return 0, err
	}
	at = now() // before: it is watched
	return at, os.Rename(next, d.path())
}

// command is the daemon's program with the configuration, and nothing of the bench's environment that would change it.
func (d *procman) command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.program, append(args, "-c", d.path())...)
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "PROCMAN_") && name != "NOTIFY_SOCKET" &&
			name != "STATE_DIRECTORY" {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+d.dir)
	return cmd
}

func (d *procman) start() (err error) {
	if d.p == nil {
		if _, err := d.write(); err != nil {
			return err
		}
	}
	where := filepath.Join(d.dir, "daemon.log")
	if d.quiet {
		where = os.DevNull
	}
	log, err := os.OpenFile(where, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := d.command("run")
	cmd.Stderr = log
	d.p, err = d.family.launch(cmd)
	return err
}

// ask speaks to the daemon by its API, and returns the status code, or 0 if it does not answer.
func (d *procman) ask(ctx context.Context, method, path string) (int, []byte) {
	request, err := http.NewRequestWithContext(ctx, method, "http://procman"+path, nil)
	if err != nil {
		return 0, nil
	}
	response, err := d.client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	return response.StatusCode, body
}

func (d *procman) answered(ctx context.Context) (at int64, err error) {
	err = until(ctx, "not all instances are healthy", 5*time.Millisecond, func() (bool, error) {
		select {
		case <-d.p.done:
			return false, fmt.Errorf("the daemon has ended: %v", d.p.err)
		default:
		}
		code, _ := d.ask(ctx, http.MethodGet, "/readyz")
		at = now()
		return code == http.StatusOK, nil
	})
	return at, err
}

// tail returns the end of the daemon's log.
func (d *procman) tail() string {
	text, err := os.ReadFile(filepath.Join(d.dir, "daemon.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// reload has the file in force now.
func (d *procman) reload(ctx context.Context) error {
	if code, body := d.ask(ctx, http.MethodPost, "/v1/reload"); code != http.StatusOK {
		return fmt.Errorf("reload: %d %s", code, body)
	}
	return nil
}

func (d *procman) ways() []way {
	return []way{
		{row: "add", ask: func(context.Context) (int64, error) {
			d.count++
			return d.write()
		}},
		{row: "add-api", ask: func(ctx context.Context) (int64, error) {
			d.count++
			if _, err := d.write(); err != nil {
				return 0, err
			}
			at := now()
			return at, d.reload(ctx)
		}},
	}
}

// told returns when, after the byte of the log at from, the last event of the kind was told, and of how many instances.
func (d *procman) told(event string, from int64) (last time.Time, count int, err error) {
	text, err := os.ReadFile(filepath.Join(d.dir, "daemon.log"))
	if err != nil {
		return last, 0, err
	}
	kind := []byte(`"msg":"` + event + `"`)
	for line := range bytes.Lines(text[from:]) {
		if !bytes.Contains(line, kind) || !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		var record struct{ Time time.Time }
		if err := json.Unmarshal(line, &record); err != nil {
			return last, 0, err
		}
		last = record.Time
		count++
	}
	return last, count, nil
}

// adopted returns how many instances run whose process another daemon started.
func (d *procman) adopted(ctx context.Context) (count int, err error) {
	code, body := d.ask(ctx, http.MethodGet, "/v1/instances")
	if code != http.StatusOK {
		return 0, fmt.Errorf("status: %d %s", code, body)
	}
	var document struct{ Instances []struct{ Adopted bool } }
	if err := json.Unmarshal(body, &document); err != nil {
		return 0, err
	}
	for _, i := range document.Instances {
		if i.Adopted {
			count++
		}
	}
	return count, nil
}

func (d *procman) logged() (int64, error) {
	info, err := os.Stat(filepath.Join(d.dir, "daemon.log"))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
