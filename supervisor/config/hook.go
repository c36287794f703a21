package config

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"procman/messages"
)

// Hook is a command or a webhook that is told what happens.
type Hook struct {
	On      messages.WordList // what it is told of, see [HookKind]
	Command []string          // the program and its arguments; {id} and {hook} are filled in; nil: URL says who is told
	Dir     string            // where the command starts: the directory of the file
	URL     string            // gets a POST
	Every   time.Duration     // between two calls about the same of one instance; 0: there is a call for each
	Timeout time.Duration     // of one call
	// Attempts is at which restart in a row it is told of backoff.
	Attempts int
}

// HookKind is what a hook is told of.
type HookKind string

// The kinds.
const (
	HookFailed         HookKind = "failed"    // an instance is given up
	HookUnhealthy      HookKind = "unhealthy" // its probes fail
	HookBackoff        HookKind = "backoff"   // it goes on failing
	HookRecovered      HookKind = "recovered" // it is healthy after one of these
	HookConfigRejected HookKind = "config_rejected"
)

func hookKinds() []string {
	return []string{string(HookFailed), string(HookUnhealthy), string(HookBackoff), string(HookRecovered),
		string(HookConfigRejected)}
}

// Hears reports whether the hook is told of a kind, at the given restart in a row if that is one.
func (h *Hook) Hears(kind HookKind, attempt int) bool {
	return slices.Contains(strings.Fields(string(h.On)), string(kind)) && (kind != HookBackoff || attempt >= h.Attempts)
}

// Name is what the hook calls, without what may be secret.
func (h *Hook) Name() string {
	if len(h.Command) > 0 {
		return filepath.Base(h.Command[0])
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return "a URL"
	}
	return cmp.Or(u.Host, "a URL")
}

// Identity is the same for hooks that call the same.
func (h *Hook) Identity() string { return h.URL + "\x00" + strings.Join(h.Command, "\x00") }

// mostHooks is how many there may be.
const mostHooks = 32

// hookKeys are those of one hook.
func hookKeys() []key {
	of := func(f messages.Field, at func(*Hook) any) key {
		return key{name: f.Key, Field: f, at: func(l *level) any { return at(l.hook) }}
	}
	nonNegative := messages.Must(func(d time.Duration) string {
		if d < 0 {
			return "it must not be negative"
		}
		return ""
	}, nil)
	on := of(messages.Field{Key: "on", Kind: messages.KindWords,
		Limits: []messages.Limit{messages.Must(func(l messages.WordList) string {
			for _, word := range strings.Fields(string(l)) {
				if !slices.Contains(hookKinds(), word) {
					return fmt.Sprintf("%q is not one of %s", word, strings.Join(hookKinds(), ", "))
				}
			}
			if l == "" {
				return "name at least one of " + strings.Join(hookKinds(), ", ")
			}
			return ""
		}, nil)}, Doc: "what it is told of: " + strings.Join(hookKinds(), ", ")}, func(h *Hook) any { return &h.On })
	on.required = true
	command := of(messages.Field{Key: "command", Kind: messages.KindTexts,
		Doc: "the program and its arguments, {id} and {hook} filled in; it reads the payload, one JSON document, on " +
			"its stdin"}, func(h *Hook) any { return &h.Command })
	command.read = readHookCommand
	return []key{
		on, command,
		of(messages.Field{Key: "url", Kind: messages.KindText, Default: "",
			Limits: []messages.Limit{messages.Must(func(s string) string {
				u, err := url.Parse(s)
				if s == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
					return ""
				}
				return "it must be an address such as https://alerts.example/procman"
			}, map[string]any{"pattern": "^$|^[hH][tT][tT][pP][sS]?://."})},
			Doc: "gets the payload in a POST, in place of command; any status from 200 to 299 is good"},
			func(h *Hook) any { return &h.URL }),
		of(messages.Field{Key: "every", Kind: messages.KindDuration, Default: 30 * time.Second,
			Limits: []messages.Limit{nonNegative},
			Doc: "between two calls about the same of one instance; the newest that came meanwhile is told then, " +
				"with how many there were"},
			func(h *Hook) any { return &h.Every }),
		of(messages.Field{Key: "timeout", Kind: messages.KindDuration, Default: 10 * time.Second,
			Limits: []messages.Limit{messages.Must(func(d time.Duration) string {
				if d <= 0 || d > 10*time.Minute {
					return "it must be more than 0 and at most 10m"
				}
				return ""
			}, nil)}, Doc: "of one call; what is left of a command's group is ended then"},
			func(h *Hook) any { return &h.Timeout }),
		of(messages.Field{Key: "attempts", Kind: messages.KindInteger, Default: 5,
			Limits: []messages.Limit{messages.AtLeast(1)},
			Doc:    "at which restart in a row, and each one after it, it is told of backoff"},
			func(h *Hook) any { return &h.Attempts }),
	}
}

func readHookCommand(d *decoder, v value, l *level) {
	args, places, ok := d.texts(v)
	switch {
	case !ok:
	case len(args) == 0 || args[0] == "":
		d.failf(v.at, "%s is empty; name the program", v.name)
	case args[0] == "~" || strings.HasPrefix(args[0], "~/"):
		d.failf(places[0].at, "%s is %s; ~ is not expanded here: write the whole path", places[0].name,
			places[0].quoted(args[0]))
	default:
		args[0] = d.executable(args[0])
		l.hook.Command, l.hook.Dir = args, d.dir
	}
}

// readHooks reads the list of hooks.
func readHooks(d *decoder, v value, l *level) {
	list, ok := d.items(v, "a list of hooks")
	if !ok {
		return
	}
	if len(list) > mostHooks {
		d.failf(v.at, "there are %d hooks, and there may be %d", len(list), mostHooks)
		return
	}
	for _, item := range list {
		var h Hook
		into := &level{hook: &h}
		for _, k := range hookKeys() {
			if k.Default != nil {
				into.set(k, k.Default)
			}
		}
		before := len(d.faults)
		d.section(item, hookKeys(), into)
		if len(d.faults) > before {
			continue
		}
		switch {
		case h.On == "":
			d.failf(item.at, "%s.on is missing; it says what the hook is told of: %s", item.name,
				strings.Join(hookKinds(), ", "))
		case len(h.Command) == 0 && h.URL == "":
			d.failf(item.at, "%s has neither command nor url; give it one of them", item.name)
		case len(h.Command) > 0 && h.URL != "":
			d.failf(item.at, "%s has command and url; give it one of them: two hooks may be told of the same",
				item.name)
		default:
			l.file.Hooks = append(l.file.Hooks, h)
		}
	}
}
