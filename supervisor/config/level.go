package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"

	"procman/messages"
)

// level is what is said at one level: by the file as a whole, by defaults, by an instance. What is not said there is as
// in the level of which it is an heir.
type level struct {
	app     messages.AppInstance // Env and Secrets are those of the weaker levels until settleEnv
	wasmDir string               // of the file that says wasm_path
	broken  bool                 // defaults in which something is wrong

	// Of this level alone.
	idAt    *token.Position
	env     map[string]string
	envFile *value
	envPath string // what envFile says

	hook *Hook // of a hook alone

	// Of a file alone.
	file                         *File // its settings
	include, defaults, instances *value
}

// heir is a level at which nothing is said yet.
func (l *level) heir() *level {
	return &level{app: l.app.Clone(), wasmDir: l.wasmDir, broken: l.broken}
}

// special adds to a field what only a file can say of it, or get wrong.
func special(k key) key {
	switch k.Key {
	case "id":
		k.required, k.read = true, readID
	case "wasm_path":
		k.Limits, k.read = notEmpty, readWasm
	case "args":
		k.read, k.schema = readArgs, map[string]any{"minItems": 1}
	case "health.kind":
		k.check = checkHealth
	case "health.command":
		k.read = readCommand
	case "health.headers":
		k.read = readHeaders
	case "env":
		k.read = readEnv
		k.Doc += ". The value of a name is kept secret if one of its words (A_B has two) one of " +
			strings.Join(messages.SecretWords(), ", ")
	case "env_file":
		k.read, k.schema = readEnvPath, map[string]any{"minLength": 1}
	case "db_name", "executable", "work_dir":
		k.Limits = notEmpty
	}
	return k
}

func readID(d *decoder, v value, l *level) {
	text, ok := d.text(v)
	l.idAt = v.at
	if !ok {
		return
	}
	l.app.InstanceID = messages.InstanceID(text)
	if err := l.app.InstanceID.Validate(); err != nil {
		d.refuse(v, err)
	}
}

// readWasm remembers which file names the module: its directory is where that is.
func readWasm(d *decoder, v value, l *level) {
	l.wasmDir = d.dir
	d.put(v, key{Field: messages.Field{Kind: kindPathText, Limits: notEmpty},
		at: func(l *level) any { return &l.app.WasmPath }}, l)
}

func readEnv(d *decoder, v value, l *level) {
	l.env, _ = d.names(v)
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if err := tooLong(name, l.env[name]); err != nil {
			d.failf(v.at, "%s: %v", v.name, err)
		}
	}
}

func readEnvPath(d *decoder, v value, l *level) {
	text, ok := d.pathText(v)
	switch {
	case d.forFleet:
		d.failf(v.at, "env_file is not for the list of a fleet: what the file says would lie in the fleet's store, "+
			"for every host to read; "+
			"put the file on each host, and its path into env or args for the program to read it")
	case ok:
		l.envFile, l.envPath = &v, text
	}
}

func readArgs(d *decoder, v value, l *level) {
	args, ok := d.commandLine(v, func(a *messages.AppInstance, arg string) { a.Args = []string{arg} })
	if ok && len(args) == 0 {
		d.failf(v.at, "args is empty; leave it out for the default command line, or give at least one argument")
		return
	}
	if ok {
		l.app.Args = args
	}
}

// commandLine reads a list of arguments. The rules of each are those of an instance that has only this one, put there
// by put; only the place in the file is ours.
func (d *decoder) commandLine(v value, put func(a *messages.AppInstance, arg string)) ([]string, bool) {
	args, places, ok := d.texts(v)
	if !ok {
		return nil, false
	}
	for n, arg := range args {
		if len(arg) >= mostText() {
			d.failf(places[n].at, "%s has %d bytes, and the kernel takes %d of one argument", places[n].name,
				len(arg), mostText())
			continue
		}
		lone := messages.AppInstance{InstanceID: "x", WasmPath: "x", DbName: "x"}
		put(&lone, arg)
		if err := lone.WithDefaults().Validate(); err != nil {
			d.refuse(places[n], err)
		}
	}
	return args, true
}

// refuse reports an error that quotes the value.
func (d *decoder) refuse(v value, err error) {
	if v.private {
		d.failf(v.at, "%s is not what it may be; an alias brings it here from env, so it is not shown", v.name)
		return
	}
	d.failf(v.at, "%v", err)
}

// body reads the defaults of a file over base, and its instances over both. It returns the defaults, and the instances.
func (d *decoder) body(file, base *level, v value) (*level, []*messages.AppInstance) {
	if file.defaults != nil {
		before := len(d.faults)
		base = base.heir()
		d.section(*file.defaults, d.keys.defaults, base)
		d.settleEnv(base)
		base.broken = base.broken || len(d.faults) > before
	}
	if file.instances == nil {
		d.failf(v.at, "instances is missing; write `instances: []` for none")
		return base, nil
	}
	apps := d.list(*file.instances, base)
	d.count = len(apps)
	return base, apps
}

// list reads the instances.
func (d *decoder) list(v value, base *level) []*messages.AppInstance {
	if d.layout != nil {
		return d.assemble(base)
	}
	list, ok := d.items(v, instances)
	if !ok {
		return nil
	}
	apps := make([]*messages.AppInstance, 0, len(list))
	for _, item := range list {
		if d.budget < 0 {
			break
		}
		app := d.instance(item, base).app
		if len(apps) > 0 {
			app.Share(apps[len(apps)-1])
		}
		apps = append(apps, &app)
	}
	return apps
}

// instance reads an item of the list.
func (d *decoder) instance(item value, base *level) *level {
	before := len(d.faults)
	l := base.heir()
	d.section(item, d.keys.instance, l)
	if l.app.InstanceID != "" {
		d.unique(l.app.InstanceID, l.idAt)
	}
	if len(d.faults) == before {
		d.finish(l, item)
	}
	return l
}

// site is a line of one of the files.
type site struct {
	path string
	line int
}

// unique reports an id that was read before.
func (d *decoder) unique(id messages.InstanceID, at *token.Position) {
	first, twice := d.ids[id]
	switch {
	case !twice && d.isApart(id):
		d.failf(at, "the instance %s is there twice", clip(string(id))) // where, likewise
	case !twice:
		d.ids[id] = site{d.src.path, at.Line}
	case first.path == d.src.path:
		d.failf(at, "the instance %s is already on line %d; ids must be unique", clip(string(id)), first.line)
	default:
		d.failf(at, "the instance %s is already in %s:%d; ids must be unique", clip(string(id)), first.path, first.line)
	}
}

// keepApart takes instances that differ from each other, and from all of apart.
func (d *decoder) keepApart(apps []*messages.AppInstance) {
	for n := range apps {
		if len(d.ids) == 0 {
			break
		}
		if _, twice := d.ids[apps[n].InstanceID]; twice {
			d.fault(&fault{1, 1, "an instance is there twice"}) // which, and where, says who reads the whole
		}
	}
	d.apart = append(d.apart, apps)
}

// isApart reports whether an instance of apart has the id. Few are looked for among thousands; for many a table is
// made.
func (d *decoder) isApart(id messages.InstanceID) bool {
	const few = 8
	if d.looks++; d.looks > few {
		for _, part := range d.apart {
			for n := range part {
				d.ids[part[n].InstanceID] = site{}
			}
		}
		d.apart = nil
		_, is := d.ids[id]
		return is
	}
	for _, part := range d.apart {
		for n := range part {
			if part[n].InstanceID == id {
				return true
			}
		}
	}
	return false
}

// finish fills in what follows from several keys of an instance.
func (d *decoder) finish(l *level, item value) {
	a := &l.app
	if l.idAt == nil {
		d.failf(item.at, "id is missing; every instance has one")
	}
	a.Health = a.Health.Used()
	*a = a.WithDefaults()
	if !l.broken {
		d.requireUsed(a, item)
		d.requireMet(a.Process, item)
		for _, f := range a.Health.Faults() {
			d.failf(d.under(d.under(item, "health"), f.Key).at, "%s", f.Text)
		}
	}
	here := d.relative && d.dir == "." // whoever reads the spec knows where that is
	if a.WasmPath != "" && (a.WorkDir != "" || l.wasmDir != d.dir || d.relative && !here) {
		// The module is named relative to its file, and the process starts elsewhere.
		a.WasmPath = absolute(l.wasmDir, a.WasmPath)
	}
	if a.WorkDir == "" && !here {
		a.WorkDir = d.dir
	}
	d.settlePlacement(a, item)
	d.settleEnv(l)
}

// settlePlacement drops a fence that is inherited and has no use.
func (d *decoder) settlePlacement(a *messages.AppInstance, item value) {
	p := a.Placement
	if p == nil {
		return
	}
	if p.Fence != "" && !p.Movable {
		if own := d.under(item, "fence"); own.node != item.node {
			d.failf(own.at, "fence is for an instance that may move; write movable: true beside it, or leave it out")
		}
		p.Fence = ""
	}
	if p.Fenced() && a.Stop.Leftovers == messages.LeftoversLeave {
		d.failf(d.under(d.under(item, "stop"), "leftovers").at,
			"stop.leftovers is leave, but what this instance leaves would outlive the lease of its host, and "+
				"there would be two; write end, or fence: none if it may run twice")
	}
	if p.Movable && !d.forFleet && !d.inFleet {
		d.failf(d.under(item, "movable").at, "movable is for the instances of a fleet, and the configuration has no "+
			"section fleet; leave it out, or write that")
	}
	if p.Same(nil) {
		a.Placement = nil
	}
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

// requireMet reports what this host cannot do for a process, once.
func (d *decoder) requireMet(p messages.ProcessPolicy, item value) {
	if p == (messages.ProcessPolicy{}) || d.host.Process == nil || d.host.StartFaults || d.policies[p] {
		return
	}
	d.policies[p] = true
	if err := d.host.Process(p); err != nil {
		d.failf(d.under(item, "process", "id").at, "%v", err)
	}
}

// settleEnv puts the env file of a level over what it inherits, and its env over both. A name stays secret once an env
// file has it.
func (d *decoder) settleEnv(l *level) {
	secret := map[string]bool{}
	for _, name := range l.app.Secrets {
		secret[name] = true
	}
	for name := range d.readEnvFile(l) {
		secret[name] = true
	}
	for name := range l.env {
		if messages.LooksSecret(name) {
			secret[name] = true
		}
	}
	l.app.Env = over(l.app.Env, l.env)
	l.app.Secrets = slices.Sorted(maps.Keys(secret))
}

// readEnvFile puts the values of the env file into the level, and returns them.
func (d *decoder) readEnvFile(l *level) map[string]string {
	if l.envFile == nil {
		return nil
	}
	if l.envPath == "" {
		d.failf(l.envFile.at, "env_file is \"\"; leave the key out if nothing is meant")
		return nil
	}
	path := d.abs(l.envPath)
	d.reads.file(path)
	file := d.envFile(path)
	if file.err != nil && d.host.StartFaults {
		line, column := d.place(l.envFile.at)
		l.app.EnvFault = fmt.Sprintf("%s:%d:%d: env_file %s: %v", d.src.path, line, column,
			l.envFile.quoted(l.envPath), file.err)
		return nil
	}
	if file.err != nil {
		d.failf(l.envFile.at, "env_file %s: %v", l.envFile.quoted(l.envPath), file.err)
		return nil
	}
	l.app.Env = over(l.app.Env, maps.Clone(file.values))
	return file.values
}
