package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"

	"procman/messages"
)

// draft is an instance that is being read, or the defaults of instances.
type draft struct {
	app     messages.AppInstance // Env and Secrets are those of the weaker drafts until settleEnv
	enabled bool
	wasmDir string // of the file that says wasm_path
	broken  bool   // defaults in which something is wrong

	// Of this draft alone.
	idAt    *token.Position
	env     map[string]string
	envFile *value
	file    string // what envFile says
}

// heir is a draft of which nothing is written yet.
func (i draft) heir() draft {
	i.app = i.app.Clone()
	i.idAt, i.env, i.envFile, i.file = nil, nil, nil, ""
	return i
}

// instanceKeys are the keys of one of the instances. It is read over a copy of the defaults: a key that is not written
// keeps what they say.
var instanceKeys = append([]key[draft]{
	key[draft]{name: "id", kind: kindText, required: true, doc: "unique; letters, digits, '.', '_' and '-'", read: readID}.marked(func(s *shape) {
		s.Pattern, s.MaxLength = "^[A-Za-z0-9][A-Za-z0-9._-]*$", messages.MaxInstanceID
	}),
}, defaultsKeys...)

// defaultsKeys are the keys of defaults.
var defaultsKeys = []key[draft]{
	wasmKey("wasm_path", "the module to load; relative to the file"),
	textKey("db_name", "the database; relative to work_dir if it is a path", func(i *draft) *string { return &i.app.DbName }, notEmpty),
	programKey("executable", "the program to run instead of the file's", func(i *draft) *string { return &i.app.Executable }, notEmpty),
	key[draft]{name: "args", kind: kindTexts, doc: "the command line after the executable; {id}, {wasm_path}, {db_name} and {port} are filled in; " +
		"default: -wasm {wasm_path} -dbPath {db_name} -port {port}", read: readArgs}.marked(func(s *shape) { s.MinItems = 1 }),
	pathKey("work_dir", "where the process starts; default: the directory of the file", func(i *draft) *string { return &i.app.WorkDir }, notEmpty),
	boolKey("enabled", "false: listed, but not to be run; default true", func(i *draft) *bool { return &i.enabled }),
	{name: "env", kind: kindNames, doc: "environment variables. From weak to strong: env_file of defaults, env of defaults, env_file of the instance, " +
		"env of the instance. The value of a name is kept secret if one of its words (A_B has two) one of " +
		strings.Join(secretWords, ", "), read: func(d *decoder, v value, i *draft) {
		i.env, _ = d.names(v)
		for _, name := range slices.Sorted(maps.Keys(i.env)) {
			if err := tooLong(name, i.env[name]); err != nil {
				d.failf(v.at, "%s: %v", v.name, err)
			}
		}
	}},
	{name: "env_file", kind: kindText, doc: "a file of NAME=VALUE lines, for secrets: the values are shown nowhere; env beside it comes before it",
		read: func(d *decoder, v value, i *draft) {
			if text, ok := d.pathText(v); ok {
				i.envFile, i.file = &v, text
			}
		}, marks: []func(*shape, *draft){func(s *shape, _ *draft) { s.MinLength = 1 }}},
	{name: "labels", kind: kindNames, doc: "free for you; shown in the status", read: func(d *decoder, v value, i *draft) {
		labels, _ := d.names(v)
		i.app.Labels = over(i.app.Labels, labels)
	}},
	sectionKey("health", "how it is probed; what is left out is as in defaults, then as in health of the file",
		healthKeys, func(i *draft) *messages.HealthPolicy { return &i.app.Health }, nil),
	sectionKey("restart", "when it is started again; what is left out is as in defaults, then as in restart of the file",
		restartKeys, func(i *draft) *messages.RestartPolicy { return &i.app.Restart }, checkRestart),
	sectionKey("start", "how it is started; what is left out is as in defaults, then as in start of the file",
		instanceStartKeys, func(i *draft) *messages.StartPolicy { return &i.app.Start }, nil),
	sectionKey("stop", "how it is ended; what is left out is as in defaults, then as in stop of the file",
		stopKeys, func(i *draft) *messages.StopPolicy { return &i.app.Stop }, nil),
}

var instanceStartKeys = []key[messages.StartPolicy]{
	durationKey("deadline", "from its start to its first healthy answer", func(s *messages.StartPolicy) *time.Duration { return &s.Deadline }),
}

// wasmKey remembers which file names the module: its directory is where that is.
func wasmKey(name, doc string) key[draft] {
	k := scalarKey(name, kindText, doc, (*decoder).pathText, func(i *draft) *string { return &i.app.WasmPath }, []rule[string]{notEmpty})
	read := k.read
	k.read = func(d *decoder, v value, i *draft) {
		read(d, v, i)
		i.wasmDir = d.dir
	}
	return k
}

func readID(d *decoder, v value, i *draft) {
	text, ok := d.text(v)
	i.idAt = v.at
	if !ok {
		return
	}
	i.app.InstanceID = messages.InstanceID(text)
	if err := i.app.InstanceID.Validate(); err != nil {
		d.refuse(v, err)
	}
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
		if len(arg) >= mostText() {
			d.failf(places[n].at, "%s has %d bytes, and the kernel takes %d of one argument", places[n].name, len(arg), mostText())
			continue
		}
		// The rules of placeholders are the instance's; only the place in the file is ours.
		lone := messages.AppInstance{InstanceID: "x", WasmPath: "x", DbName: "x", Args: []string{arg}}
		if err := lone.WithDefaults().Validate(); err != nil {
			d.refuse(places[n], err)
		}
	}
	i.app.Args = args
}

// refuse reports an error that quotes the value.
func (d *decoder) refuse(v value, err error) {
	if v.private {
		d.failf(v.at, "%s is not what it may be; an alias brings it here from env, so it is not shown", v.name)
		return
	}
	d.failf(v.at, "%v", err)
}

// over returns base with what is written over it.
func over(base, written map[string]string) map[string]string {
	if base == nil {
		return written
	}
	maps.Copy(base, written)
	return base
}

// body reads the defaults over base, and the instances over both.
func (d *decoder) body(b body, base draft, v value) (draft, []messages.AppInstance) {
	if b.defaults != nil {
		before := len(d.faults)
		base = base.heir()
		section(d, *b.defaults, defaultsKeys, &base)
		d.settleEnv(&base)
		base.broken = base.broken || len(d.faults) > before
	}
	if b.instances == nil {
		d.failf(v.at, "instances is missing; write `instances: []` for none")
		return base, nil
	}
	return base, d.instances(*b.instances, base)
}

func (d *decoder) instances(v value, base draft) []messages.AppInstance {
	list, ok := d.items(v, kindInstances)
	if !ok {
		return nil
	}
	apps := make([]messages.AppInstance, 0, len(list))
	for _, item := range list {
		if d.budget < 0 {
			return nil
		}
		before := len(d.faults)
		i := base.heir()
		section(d, item, instanceKeys, &i)
		if i.app.InstanceID != "" {
			d.unique(i)
		}
		if len(d.faults) == before {
			d.finish(&i, item)
		}
		apps = append(apps, i.app)
	}
	return apps
}

// site is a line of one of the files.
type site struct {
	path string
	line int
}

// unique reports an id that was read before.
func (d *decoder) unique(i draft) {
	id := i.app.InstanceID
	first, twice := d.ids[id]
	switch {
	case !twice:
		d.ids[id] = site{d.src.path, i.idAt.Line}
	case first.path == d.src.path:
		d.failf(i.idAt, "the instance %s is already on line %d; ids must be unique", clip(string(id)), first.line)
	default:
		d.failf(i.idAt, "the instance %s is already in %s:%d; ids must be unique", clip(string(id)), first.path, first.line)
	}
}

// finish fills in what follows from several keys of an instance.
func (d *decoder) finish(i *draft, item value) {
	a := &i.app
	if i.idAt == nil {
		d.failf(item.at, "id is missing; every instance has one")
	}
	a.Disabled = !i.enabled
	if len(a.Args) == 0 {
		a.Args = messages.DefaultArgs()
	}
	if a.Restart.Max == 0 {
		a.Restart.Max = restartMax(a.Restart.Initial)
	}
	if !i.broken {
		d.requireUsed(a, item)
	}
	if a.WasmPath != "" && (a.WorkDir != "" || i.wasmDir != d.dir) {
		// The module is named relative to its file, and the process starts elsewhere.
		a.WasmPath = absolute(i.wasmDir, a.WasmPath)
	}
	if a.WorkDir == "" {
		a.WorkDir = d.dir
	}
	d.settleEnv(i)
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

// settleEnv puts the env file of a draft over what it inherits, and its env over both. A name stays secret once an env
// file has it.
func (d *decoder) settleEnv(i *draft) {
	secret := map[string]bool{}
	for _, name := range i.app.Secrets {
		secret[name] = true
	}
	for name := range d.readEnvFile(i) {
		secret[name] = true
	}
	for name := range i.env {
		if looksSecret(name) {
			secret[name] = true
		}
	}
	i.app.Env = over(i.app.Env, i.env)
	i.app.Secrets = slices.Sorted(maps.Keys(secret))
}

// readEnvFile puts the values of the env file into the draft, and returns them.
func (d *decoder) readEnvFile(i *draft) map[string]string {
	if i.envFile == nil {
		return nil
	}
	if i.file == "" {
		d.failf(i.envFile.at, "env_file is \"\"; leave the key out if nothing is meant")
		return nil
	}
	path := d.abs(i.file)
	file, known := d.envFiles[path]
	if !known {
		file.values, file.err = d.loadEnvFile(path)
		d.envFiles[path] = file
	}
	if file.err != nil && d.host.StartFaults {
		i.app.EnvFault = fmt.Sprintf("%s:%d:%d: env_file %s: %v", d.src.path, i.envFile.at.Line, i.envFile.at.Column, i.envFile.quoted(i.file), file.err)
		return nil
	}
	if file.err != nil {
		d.failf(i.envFile.at, "env_file %s: %v", i.envFile.quoted(i.file), file.err)
		return nil
	}
	i.app.Env = over(i.app.Env, maps.Clone(file.values))
	return file.values
}
