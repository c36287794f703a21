package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"

	"procman/messages"
)

// draft is an instance that is being read.
type draft struct {
	app     messages.AppInstance
	idAt    *token.Position
	enabled bool
	envFile *value
	file    string // what envFile says
}

// instanceKeys are the keys of one of the instances. Its policies are read over a copy of the file's: a key that is not
// written keeps what the file says.
var instanceKeys = []key[draft]{
	{name: "id", kind: kindText, doc: "unique; letters, digits, '.', '_' and '-'", read: func(d *decoder, v value, i *draft) {
		text, ok := d.text(v)
		i.idAt = v.at
		if !ok {
			return
		}
		i.app.InstanceID = messages.InstanceID(text)
		if err := i.app.InstanceID.Validate(); err != nil {
			d.failf(v.at, "%v", err)
		}
	}},
	textKey("wasm_path", "the module to load; relative to the file", func(i *draft) *string { return &i.app.WasmPath }, notEmpty),
	textKey("db_name", "the database; relative to work_dir if it is a path", func(i *draft) *string { return &i.app.DbName }, notEmpty),
	textKey("executable", "the program to run instead of the file's", func(i *draft) *string { return &i.app.Executable }, notEmpty),
	{name: "args", kind: kindTexts, doc: "the command line after the executable; {id}, {wasm_path}, {db_name} and {port} are filled in", read: readArgs},
	textKey("work_dir", "where the process starts; default: the directory of the file", func(i *draft) *string { return &i.app.WorkDir }, notEmpty),
	boolKey("enabled", "false: listed, but not to be run", func(i *draft) *bool { return &i.enabled }),
	{name: "env", kind: kindNames, doc: "environment variables", read: func(d *decoder, v value, i *draft) {
		i.app.Env, _ = d.names(v)
	}},
	{name: "env_file", kind: kindText, doc: "a file of NAME=VALUE lines, for secrets; env comes before it", read: func(d *decoder, v value, i *draft) {
		if text, ok := d.text(v); ok {
			i.envFile, i.file = &v, text
		}
	}},
	{name: "labels", kind: kindNames, doc: "free for you; shown in the status", read: func(d *decoder, v value, i *draft) {
		i.app.Labels, _ = d.names(v)
	}},
	sectionKey("health", "see health above", healthKeys, func(i *draft) *messages.HealthPolicy { return &i.app.Health }, nil),
	sectionKey("restart", "see restart above", restartKeys, func(i *draft) *messages.RestartPolicy { return &i.app.Restart }, checkRestart),
	sectionKey("start", "see start above", instanceStartKeys, func(i *draft) *messages.StartPolicy { return &i.app.Start }, nil),
	sectionKey("stop", "see stop above", stopKeys, func(i *draft) *messages.StopPolicy { return &i.app.Stop }, nil),
}

var instanceStartKeys = []key[messages.StartPolicy]{
	durationKey("deadline", "from its start to its first healthy answer", func(s *messages.StartPolicy) *time.Duration { return &s.Deadline }),
}

func readArgs(d *decoder, v value, i *draft) {
	args, places, ok := d.texts(v)
	if !ok {
		return
	}
	if len(args) == 0 {
		d.failf(v.at, "args is empty; leave it out for the default command line, or give at least one argument")
		return
	}
	for n, arg := range args {
		// The rules of placeholders are the instance's; only the place in the file is ours.
		lone := messages.AppInstance{InstanceID: "x", WasmPath: "x", DbName: "x", Args: []string{arg}}
		if err := lone.WithDefaults().Validate(); err != nil {
			d.failf(places[n].at, "%v", err)
		}
	}
	i.app.Args = args
}

// readInstances reads the list of instances; everything else of the file has been read.
func (d *decoder) readInstances(f *File, v value) {
	list, ok := d.items(v, kindInstances)
	if !ok {
		return
	}
	lines := make(map[messages.InstanceID]int, len(list))
	f.Instances = make([]messages.AppInstance, 0, len(list))
	for _, item := range list {
		if d.budget < 0 {
			return
		}
		before := len(d.faults)
		i := draft{enabled: true, app: messages.AppInstance{
			Executable: f.Executable,
			Health:     f.Health,
			Restart:    f.Restart,
			Start:      messages.StartPolicy{Deadline: f.Start.Deadline},
			Stop:       f.Stop,
		}}
		section(d, item, instanceKeys, &i)
		if id := i.app.InstanceID; id != "" {
			if line, twice := lines[id]; twice {
				d.failf(i.idAt, "the instance %s is already on line %d; ids must be unique", clip(string(id)), line)
			} else {
				lines[id] = i.idAt.Line
			}
		}
		if len(d.faults) == before {
			d.finish(&i, item)
		}
		f.Instances = append(f.Instances, i.app)
	}
}

// finish fills in what follows from several keys of an instance.
func (d *decoder) finish(i *draft, item value) {
	a := &i.app
	if i.idAt == nil {
		d.failf(item.at, "id is missing; every instance has one")
	}
	a.Disabled = !i.enabled
	a.Executable = d.executable(a.Executable)
	if len(a.Args) == 0 {
		a.Args = messages.DefaultArgs()
	}
	if a.Restart.Max == 0 {
		a.Restart.Max = restartMax(a.Restart.Initial)
	}
	d.requireUsed(a, item)
	if a.WorkDir == "" {
		a.WorkDir = d.dir
	} else {
		a.WorkDir = d.abs(a.WorkDir)
		if a.WasmPath != "" {
			// The module was named relative to the file, and the process starts elsewhere.
			a.WasmPath = d.abs(a.WasmPath)
		}
	}
	d.readEnvFile(i)
}

// requireUsed reports what the command line asks for and the instance does not say.
func (d *decoder) requireUsed(a *messages.AppInstance, item value) {
	line := strings.Join(a.Args, "\x00")
	if a.WasmPath == "" && strings.Contains(line, "{wasm_path}") {
		d.failf(item.at, "wasm_path is missing; the command line asks for it")
	}
	if a.DbName == "" && strings.Contains(line, "{db_name}") {
		d.failf(item.at, "db_name is missing; the command line asks for it")
	}
}

// executable makes a path absolute, and leaves a bare name to be looked up in PATH.
func (d *decoder) executable(name string) string {
	if strings.ContainsRune(name, filepath.Separator) {
		return d.abs(name)
	}
	return name
}

func (d *decoder) readEnvFile(i *draft) {
	if i.envFile == nil {
		return
	}
	if i.file == "" {
		d.failf(i.envFile.at, "env_file is \"\"; leave the key out if nothing is meant")
		return
	}
	path := d.abs(i.file)
	file, known := d.envFiles[path]
	if !known {
		file = loadEnvFile(d.host, path)
		d.envFiles[path] = file
		d.envOrder = append(d.envOrder, path)
	}
	if file.err != nil {
		d.failf(i.envFile.at, "env_file %s: %v", clip(i.file), file.err)
		return
	}
	env := maps.Clone(file.values)
	maps.Copy(env, i.app.Env)
	i.app.Env = env
	i.app.Secrets = slices.Sorted(maps.Keys(file.values))
}
