package config

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"procman/messages"
)

// root is a file that is being read.
type root struct {
	File
	body
	stateDir string
	include  *value
}

// body is what a file and a fragment have in common. It is read last: every other key has a say in it.
type body struct{ defaults, instances *value }

// rootKeys are the keys of the file.
var rootKeys = append([]key[root]{
	programKey("executable", "the program instances run; default dist/bin/servicehost",
		func(r *root) *string { return &r.Executable }, notEmpty),
	scalarKey("state_dir", kindText, "what outlives the daemon is kept here; default $STATE_DIRECTORY, /var/lib/procman as root, $XDG_STATE_HOME/procman",
		(*decoder).pathText, func(r *root) *string { return &r.stateDir }, nil),
	scalarKey("socket", kindText, "where the daemon answers; default STATE_DIR/procman.sock",
		(*decoder).pathText, func(r *root) *string { return &r.Socket }, []rule[string]{socketPath}),
	choiceKey("on_shutdown", "what becomes of the instances when the daemon is told to end",
		func(r *root) *OnShutdown { return &r.OnShutdown }, ShutdownStop, ShutdownLeave),
	sectionKey("ports", "where instances listen", portsKeys, func(r *root) *Ports { return &r.Ports }, nil),
	sectionKey("start", "how instances are started", startKeys, func(r *root) *Start { return &r.Start }, nil),
	sectionKey("health", "how instances are probed", healthKeys, func(r *root) *messages.HealthPolicy { return &r.Health }, nil),
	sectionKey("restart", "when an instance that ended is started again", restartKeys,
		func(r *root) *messages.RestartPolicy { return &r.Restart }, checkRestart),
	sectionKey("stop", "how instances are ended", stopKeys, func(r *root) *messages.StopPolicy { return &r.Stop }, nil),
	sectionKey("output", "what is kept of what instances write", outputKeys, func(r *root) *Output { return &r.Output }, nil),
	sectionKey("log", "the daemon's own log, on its stderr", logKeys, func(r *root) *Log { return &r.Log }, nil),
	sectionKey("metrics", "where metrics are served beside the socket", metricsKeys, func(r *root) *Metrics { return &r.Metrics }, nil),
	sectionKey("api", "where the HTTP API is served beside the socket", apiKeys, func(r *root) *API { return &r.API }, checkAPI).marked(markAPI),
	{name: "include", kind: kindDirs, doc: "directories whose *.yaml and *.yml files add defaults and instances of their own; hidden files are passed over",
		read: func(_ *decoder, v value, r *root) { r.include = &v }},
}, bodyKeys(func(r *root) *body { return &r.body })...)

// fragmentKeys are the keys of a file in an included directory.
var fragmentKeys = bodyKeys(func(b *body) *body { return b })

func bodyKeys[T any](of func(*T) *body) []key[T] {
	return []key[T]{
		{name: "defaults", kind: kindMapping, sub: names(defaultsKeys),
			doc:   "what holds for every instance of this file and of those it includes, unless the instance says otherwise, key by key; env and labels are merged name by name",
			read:  func(_ *decoder, v value, t *T) { of(t).defaults = &v },
			marks: []func(*shape, *T){func(s *shape, _ *T) { *s = *object(defaultsKeys, nil) }}},
		{name: "instances", kind: kindInstances, required: true, doc: "what should run; [] for nothing", sub: names(instanceKeys),
			read: func(_ *decoder, v value, t *T) { of(t).instances = &v },
			marks: []func(*shape, *T){func(s *shape, _ *T) {
				s.Type, s.Items = types{"array"}, object(instanceKeys, nil)
			}}},
	}
}

var portsKeys = []key[Ports]{
	{name: "range", kind: kindPorts, doc: "the first and the last port, or a single one", read: func(d *decoder, v value, p *Ports) {
		if first, last, ok := d.ports(v); ok {
			p.First, p.Last = first, last
		}
	}, marks: []func(*shape, *Ports){func(s *shape, at *Ports) {
		if at != nil {
			s.Default = fmt.Sprintf("%d-%d", at.First, at.Last)
		}
	}}},
	boolKey("hold", "keep a port bound while its instance uses it; false for a program that does not set SO_REUSEADDR",
		func(p *Ports) *bool { return &p.Hold }),
}

var startKeys = []key[Start]{
	durationKey("deadline", "from the start of an instance to its first healthy answer", func(s *Start) *time.Duration { return &s.Deadline }),
	integerKey("parallel", "how many instances are started at a time; 0: chosen from the cores", func(s *Start) *int { return &s.Parallel }, atLeast(0)),
}

var healthKeys = []key[messages.HealthPolicy]{
	textKey("path", "what is asked for with GET", func(h *messages.HealthPolicy) *string { return &h.Path }, urlPath),
	durationKey("interval", "between two probes of a running instance", func(h *messages.HealthPolicy) *time.Duration { return &h.Interval }),
	durationKey("timeout", "of one probe", func(h *messages.HealthPolicy) *time.Duration { return &h.Timeout }),
	integerKey("failures", "so many failed probes in a row make an instance unhealthy", func(h *messages.HealthPolicy) *int { return &h.Failures }, atLeast(1)),
	choiceKey("owner", "whose the listener must be: a process of the instance, or any, as where a daemon elsewhere serves for it",
		func(h *messages.HealthPolicy) *messages.Owner { return &h.Owner }, messages.OwnerChild, messages.OwnerAny),
}

var restartKeys = []key[messages.RestartPolicy]{
	durationKey("initial", "the first delay", func(p *messages.RestartPolicy) *time.Duration { return &p.Initial }),
	durationKey("max", "no delay is longer", func(p *messages.RestartPolicy) *time.Duration { return &p.Max }),
	numberKey("multiplier", "each delay is so many times the one before", func(p *messages.RestartPolicy) *float64 { return &p.Multiplier }, between(1, 1000)),
	numberKey("jitter", "a delay is drawn from ± this part of itself", func(p *messages.RestartPolicy) *float64 { return &p.Jitter }, fraction),
	durationKey("stable_after", "so long healthy forgives every failure before", func(p *messages.RestartPolicy) *time.Duration { return &p.StableAfter }),
	integerKey("max_attempts", "failures in a row after which an instance stays down; 0: never", func(p *messages.RestartPolicy) *int { return &p.MaxAttempts }, atLeast(0)),
	choiceKey("mode", "after which exits an instance is started again", func(p *messages.RestartPolicy) *messages.RestartMode { return &p.Mode },
		messages.RestartAlways, messages.RestartOnFailure, messages.RestartNever),
}

// checkRestart looks at what no single key shows.
func checkRestart(d *decoder, v value, p *messages.RestartPolicy) {
	if p.Max != 0 && p.Max < p.Initial {
		d.failf(d.under(v, "max", "initial").at, "restart.max is %v; it must not be less than restart.initial, %v", p.Max, p.Initial)
		p.Max = p.Initial // told once, not again for each instance that inherits it
	}
}

var stopKeys = []key[messages.StopPolicy]{
	durationKey("grace", "between TERM and KILL", func(s *messages.StopPolicy) *time.Duration { return &s.Grace }),
	choiceKey("leftovers", "what has begun a session of its own and outlives the first process: end it, or leave it",
		func(s *messages.StopPolicy) *messages.Leftovers { return &s.Leftovers }, messages.LeftoversEnd, messages.LeftoversLeave),
}

var outputKeys = []key[Output]{
	sizeKey("max_size", "of each of an instance's two output files", func(o *Output) *int64 { return &o.MaxSize }, atLeast(int64(1))),
	boolKey("forward", "into the daemon's structured log", func(o *Output) *bool { return &o.Forward }),
}

var logKeys = []key[Log]{
	wordKey("level", "what is less than this is not logged", func(l *Log) *slog.Level { return &l.Level },
		func(l slog.Level) string { return strings.ToLower(l.String()) },
		[]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}),
	choiceKey("format", "of a log record", func(l *Log) *LogFormat { return &l.Format }, LogJSON, LogText),
}

var metricsKeys = []key[Metrics]{
	textKey("listen", "host:port; empty: only on the socket", func(m *Metrics) *string { return &m.Listen }, address),
}

func names[T any](keys []key[T]) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.name
	}
	return list
}

// allNames returns the name of every key there is.
func allNames() []string {
	var list []string
	for _, k := range rootKeys {
		list = append(append(list, k.name), k.sub...)
	}
	for _, k := range instanceKeys {
		list = append(list, k.sub...)
	}
	return list
}
