package config

import (
	"maps"
	"slices"

	"procman/messages"
)

// readCommand reads the command of a health check.
func readCommand(d *decoder, v value, l *level) {
	command, ok := d.commandLine(v, func(a *messages.AppInstance, arg string) {
		a.Health.Check = &messages.HealthCheck{Command: []string{arg}}
	})
	switch {
	case !ok:
	case len(command) > 0 && command[0] == "":
		d.failf(v.at, "%s has no program: its first text is empty", v.name)
	default:
		l.into("health.command", command)
	}
}

// readHeaders reads the headers of a health check, over those of the weaker levels.
func readHeaders(d *decoder, v value, l *level) {
	list, ok := d.entries(v, nameTexts)
	if !ok {
		return
	}
	read := maps.Clone(l.app.Health.Asks().Headers)
	for _, e := range list {
		text, good := d.verbatim(e.value)
		if !good {
			continue
		}
		if complaint := messages.HeaderComplaint(e.key, text); complaint != "" {
			d.failf(e.keyAt, "%s: %s", v.name, complaint)
			continue
		}
		read[e.key] = text
	}
	l.into("health.headers", read)
}

// into sets a field of the instance by its key.
func (l *level) into(name string, v any) {
	fields := messages.Fields()
	f := fields[slices.IndexFunc(fields, func(f messages.Field) bool { return f.Key == name })]
	l.set(key{Field: f, at: func(l *level) any { return f.At(&l.app) },
		into: func(l *level) any { return f.Into(&l.app) }}, v)
}

// checkHealth reports what is written and not used: a check that never asks is worse than none.
func checkHealth(d *decoder, v value, of *level) {
	list, _ := d.entries(v, aMapping)
	kind, scheme := of.app.Health.Kind, of.app.Health.Asks().Scheme
	if kind == "" {
		kind = messages.HealthHTTP
	}
	for _, e := range list {
		switch {
		case e.key == "command" && kind != messages.HealthCommand && len(of.app.Health.Asks().Command) > 0:
			d.failf(e.keyAt, "health.command is given, and health.kind is %s; say kind: command if it is to be run",
				kind)
		case e.key == "tls" && of.app.Health.Asks().TLS != (messages.TLSFiles{}) &&
			(kind != messages.HealthHTTP || scheme != messages.SchemeHTTPS):
			d.failf(e.keyAt, "health.tls is given, and instances are not asked by https; say scheme: https if they "+
				"are to be")
		case e.key == "scheme" && kind != messages.HealthHTTP && scheme == messages.SchemeHTTPS:
			d.failf(e.keyAt, "health.scheme is https, and health.kind is %s, which does not ask by it", kind)
		}
	}
}
