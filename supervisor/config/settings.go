package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"procman/messages"
)

// sections are those of the daemon's own settings.
func sections() []messages.Section {
	return []messages.Section{
		{Name: "ports", Doc: "where instances listen"},
		{Name: "output", Doc: "what is kept of what instances write"},
		{Name: "log", Doc: "the daemon's own log, on its stderr"},
		{Name: "metrics", Doc: "where metrics are served beside the socket"},
		{Name: "api", Doc: "where the HTTP API is served beside the socket"},
		{Name: "fleet", Doc: "the fleet of hosts that this one is a member of; without it, none"},
		{Name: "fleet.tls", Doc: "the connection to etcd"},
	}
}

// setting is a key of the file that is no field of an instance.
func setting(f messages.Field, at func(*File) any) key {
	return key{Field: f, at: func(l *level) any { return at(l.file) }}
}

// places are the settings that stand before those of instances in the reference.
func places() []key {
	stateDir := setting(messages.Field{Key: "state_dir", Kind: kindPathText, Effect: messages.NewDaemon,
		Doc: "what outlives the daemon is kept here; default $STATE_DIRECTORY, /var/lib/procman as root, " +
			"$XDG_STATE_HOME/procman"},
		func(f *File) any { return &f.StateDir })
	stateDir.sample = ".procman"
	return []key{
		{Field: messages.Field{Key: "executable", Kind: messages.KindProgram, Default: messages.DefaultExecutable,
			Limits: notEmpty,
			Doc:    "the program instances run; default dist/bin/servicehost"},
			at: func(l *level) any { return &l.app.Executable }},
		stateDir,
		setting(messages.Field{Key: "socket", Kind: kindPathText, Effect: messages.NewDaemon, Default: "",
			Limits: socketPath,
			Doc:    "where the daemon answers; default STATE_DIR/procman.sock"},
			func(f *File) any { return &f.Socket }),
		setting(messages.Field{Key: "on_shutdown", Default: ShutdownStop,
			Words: []string{string(ShutdownStop), string(ShutdownLeave)},
			Doc:   "what becomes of the instances when the daemon is told to end"},
			func(f *File) any { return &f.OnShutdown }),
		setting(messages.Field{Key: "ports.range", Kind: kindPorts, Default: "30000-31000",
			Doc: "the first and the last port, or a single one"}, func(f *File) any { return (*portRange)(&f.Ports) }),
		setting(messages.Field{Key: "ports.hold", Kind: messages.KindBool, Default: true,
			Doc: "keep a port bound while its instance uses it; not for a program without SO_REUSEADDR"},
			func(f *File) any { return &f.Ports.Hold }),
	}
}

// services are the settings that stand behind those of instances.
func services() []key {
	listen := messages.Field{Kind: messages.KindText, Effect: messages.NewDaemon, Default: "", Limits: address,
		Doc: "host:port; empty: only on the socket"}
	metrics, api := listen, listen
	metrics.Key, api.Key = "metrics.listen", "api.listen"
	token := setting(messages.Field{Key: "api.token_file", Kind: messages.KindPath, Effect: messages.NewDaemon,
		Default: "",
		Doc:     "with the token that callers must show, at least 16 bytes; needed if listen is set"},
		func(f *File) any { return &f.API.TokenFile })
	token.check, token.schema = checkAPI, tokenNeeded()
	token.content = func(f *File) string { return f.API.Token }
	readToken := setting(messages.Field{Key: "api.read_token_file", Kind: messages.KindPath, Effect: messages.NewDaemon,
		Default: "",
		Doc:     "with the token of those who may read and change nothing"},
		func(f *File) any { return &f.API.ReadTokenFile })
	readToken.content = func(f *File) string { return f.API.ReadToken }
	readGroup := setting(messages.Field{Key: "api.read_group", Kind: messages.KindText, Effect: messages.NewDaemon,
		Default: "",
		Doc:     "who is in this group may read on the socket, and change nothing"},
		func(f *File) any { return &f.API.ReadGroup })
	metricsSocket := setting(messages.Field{Key: "metrics.socket", Kind: messages.KindPath, Effect: messages.NewDaemon,
		Default: "", Limits: socketPath,
		Doc: "the path of a socket at which there are only the metrics; empty: none"},
		func(f *File) any { return &f.Metrics.Socket })
	metricsGroup := setting(messages.Field{Key: "metrics.group", Kind: messages.KindText, Effect: messages.NewDaemon,
		Default: "",
		Doc:     "who is in this group may read at metrics.socket; empty: the daemon's user only"},
		func(f *File) any { return &f.Metrics.Group })
	metricsGroup.check = checkMetrics
	return slices.Concat([]key{
		setting(messages.Field{Key: "start.parallel", Kind: messages.KindInteger, Effect: messages.NewDaemon,
			Default: 0, Limits: []messages.Limit{messages.AtLeast(0)},
			Doc: "how many instances may use the processor for their start at a time; 0: chosen from the cores"},
			func(f *File) any { return &f.Start.Parallel }),
		setting(messages.Field{Key: "output.max_size", Kind: kindSize, Effect: messages.NewDaemon,
			Default: int64(16 << 20), Limits: []messages.Limit{messages.AtLeast(int64(1))},
			Doc: "of each of an instance's two output files; beyond, they are cut at their head"},
			func(f *File) any { return &f.Output.MaxSize }),
		setting(messages.Field{Key: "output.total", Kind: kindMaySize, Default: int64(0),
			Limits: []messages.Limit{messages.Must(func(n int64) string {
				if n != 0 && n < leastTotal {
					return "it must be at least 64KiB, which is what the smallest of files keeps; empty: no limit"
				}
				return ""
			}, nil)},
			Doc: "of all these files together; beyond, the largest are cut, to the same size; empty: no limit"},
			func(f *File) any { return &f.Output.Total }),
		setting(messages.Field{Key: "output.keep", Kind: messages.KindDuration, Default: 24 * time.Hour,
			Limits: []messages.Limit{messages.Must(func(d time.Duration) string {
				if d <= 0 {
					return "it must be more than 0"
				}
				return ""
			}, nil)},
			Doc: "the directory of an instance that has left the list, from the last change in it on"},
			func(f *File) any { return &f.Output.Keep }),
		setting(messages.Field{Key: "output.forward", Kind: messages.KindBool, Effect: messages.NewDaemon,
			Default: true,
			Doc:     "into the daemon's structured log"}, func(f *File) any { return &f.Output.Forward }),
		setting(messages.Field{Key: "log.level", Effect: messages.NewDaemon, Default: "info",
			Words: []string{"debug", "info", "warn", "error"},
			Doc:   "what is less than this is not logged"}, func(f *File) any { return &f.Log.Level }),
		setting(messages.Field{Key: "log.format", Effect: messages.NewDaemon, Default: LogJSON,
			Words: []string{string(LogJSON), string(LogText)},
			Doc:   "of a log record"}, func(f *File) any { return &f.Log.Format }),
		setting(metrics, func(f *File) any { return &f.Metrics.Listen }),
		metricsSocket, metricsGroup,
		setting(api, func(f *File) any { return &f.API.Listen }),
		token, readToken, readGroup,
	}, fleetKeys())
}

// leastTotal is the smallest total of output, in bytes; see package output.
const leastTotal = 64 << 10

// maxSocket is the limit of the kernel, whose own complaint is "invalid argument": of 103 bytes that every system
// takes, some are for the name under which a socket is made.
const maxSocket = 99

var (
	socketPath = []messages.Limit{messages.Must(func(s string) string {
		if len(s) <= maxSocket {
			return ""
		}
		return fmt.Sprintf("it has %d bytes, and the path of a socket can have %d", len(s), maxSocket)
	}, map[string]any{"maxLength": maxSocket})}

	notEmpty = []messages.Limit{messages.Must(func(s string) string {
		if s != "" {
			return ""
		}
		return "leave the key out if nothing is meant"
	}, map[string]any{"minLength": 1})}

	address = []messages.Limit{messages.Must(func(s string) string {
		_, port, err := net.SplitHostPort(s)
		_, portErr := strconv.ParseUint(port, 10, 16)
		if s == "" || err == nil && portErr == nil {
			return ""
		}
		return "write host:port, such as 127.0.0.1:9464"
	}, map[string]any{"pattern": "^$|:[0-9]+$"})}
)
