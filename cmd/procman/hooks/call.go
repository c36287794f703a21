package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"procman/actors/command"
	"procman/messages"
	"procman/supervisor/config"
)

// Payload is what a hook is told: a command on its standard input, a webhook as the body of a POST.
type Payload struct {
	Schema   int                 `json:"schema"` // 1
	Hook     config.HookKind     `json:"hook"`   // what has happened
	At       time.Time           `json:"at"`
	Instance messages.InstanceID `json:"instance"` // empty: it is about the manager
	Reason   string              `json:"reason"`   // for a person
	Host     string              `json:"host"`
	StateDir string              `json:"state_dir"`
	// Coalesced counts those like this one that came before it, too soon after the last call to be told.
	Coalesced int            `json:"coalesced"`
	Event     messages.Event `json:"event"` // as the event log has it, but for its cursor
}

// The longest texts of a payload, in bytes.
const (
	mostReason   = 8 << 10
	mostVariable = 1 << 10
	mostOutput   = 512 // of a command that failed, in the log
)

func (h *Hooks) payload(kind config.HookKind, e messages.Event) Payload {
	e.Why = clipped(e.Why, mostReason)
	if e.Exit != nil {
		x := *e.Exit
		e.Exit = &x
	}
	return Payload{Schema: 1, Hook: kind, At: e.At, Instance: e.ID, Reason: e.Why, Host: h.o.Host,
		StateDir: h.o.StateDir, Event: e}
}

func clipped(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// carryOut calls a hook.
func (h *Hooks) carryOut(ctx context.Context, c call) error {
	body, err := json.Marshal(c.Payload)
	if err != nil {
		return err
	}
	if c.hook.URL != "" {
		return post(ctx, c.hook.URL, body)
	}
	return h.command(ctx, c, body)
}

// passedOn are the variables of the daemon that a command gets, too.
func passedOn() []string {
	return []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE",
		"SSL_CERT_DIR",
		"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
}

// environment is a command's. It carries no tag of a run, whatever the daemon's own has.
func (h *Hooks) environment(p Payload) (env []string) {
	for _, name := range passedOn() {
		if value, is := h.o.Env(name); is {
			env = append(env, name+"="+value)
		}
	}
	reason := strings.ReplaceAll(clipped(p.Reason, mostVariable), "\x00", " ")
	return append(env, "PROCMAN_HOOK="+string(p.Hook), "PROCMAN_HOOK_INSTANCE="+string(p.Instance),
		"PROCMAN_HOOK_REASON="+reason)
}

func (h *Hooks) command(ctx context.Context, c call, body []byte) error {
	fill := strings.NewReplacer("{id}", string(c.Instance), "{hook}", string(c.Hook))
	args := make([]string, len(c.hook.Command))
	for n, arg := range c.hook.Command {
		args[n] = fill.Replace(arg)
	}
	output, err := command.Run(ctx, command.Spec{Args: args, Env: h.environment(c.Payload), Dir: c.hook.Dir,
		Input: append(body, '\n'), Keep: mostOutput})
	if said := strings.TrimSpace(strings.ToValidUTF8(string(output), "�")); err != nil && said != "" {
		return fmt.Errorf("%s: %w; it said: %s", filepath.Base(args[0]), err, said)
	}
	return err
}

// post sends the payload. Where a redirect leads nobody has said: it is a failure.
func post(ctx context.Context, to string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "procman")
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		MaxResponseHeaderBytes: 64 << 10}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	response, err := client.Do(r)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // the address may hold a secret
		}
		return fmt.Errorf("%s: %w", r.URL.Host, err)
	}
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // what it says is not used
	_ = response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s answers %s", r.URL.Host, response.Status)
	}
	return nil
}
