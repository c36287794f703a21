package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"procman/actors/record"
	"procman/messages"
)

// Load reads and parses the file at path. What is wrong with its text is reported as [Errors]; any other error says
// that it could not be read.
func Load(path string) (*File, error) { return LoadFor(path, ThisHost()) }

// LoadFor is Load by another host.
func LoadFor(path string, h Host) (*File, error) {
	text, err := Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text, h)
}

// Read returns the text of the file at path, for [Parse]. It may be a pipe, of which the whole is read.
func Read(path string) ([]byte, error) {
	text, err := record.ReadAny(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	return text, nil
}

// Parse parses the text of a configuration file. path is where it stands, or would stand: relative paths in the text
// are relative to its directory, and errors name it as it is given. The error is of type [Errors], unless the working
// directory is needed and cannot be found out. Parse reads nothing but what the text names, by h.
func Parse(path string, text []byte, h Host) (*File, error) {
	f, _, err := parse(path, text, h, nil)
	return f, err
}

func parse(path string, text []byte, h Host, before *File) (*File, reads, error) {
	return parseBy(everyKey(), path, text, h, before)
}

// parseBy takes what is still true of the configuration before, if there was one.
func parseBy(keys *tables, path string, text []byte, h Host, before *File) (*File, reads, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, reads{}, fmt.Errorf("the configuration %s cannot be located: %w", path, err)
	}
	if err := tooLarge(path, text); err != nil {
		return nil, reads{}, err
	}
	read := func(r *reading) (*File, error) { return r.file(path, whole, text) }
	all := newReading(h, keys)
	if before != nil {
		all.before = before.known
	}
	f, err := read(all)
	if err != nil && all.cut {
		// What is wrong, and where, is said by who has read the whole.
		all = newReading(h, keys)
		all.asOne = true
		f, err = read(all)
	}
	if err != nil {
		return nil, all.reads, err
	}
	f.Includes, f.EnvFiles, f.known = all.reads.fragments, all.reads.others, all.remember(f)
	return f, all.reads, nil
}

func tooLarge(path string, text []byte) error {
	if len(text) <= maxFile {
		return nil
	}
	return Errors{{Path: path, Line: 1, Column: 1, Message: fmt.Sprintf("the file is larger than %d MiB", maxFile>>20)}}
}

// file reads the file that a configuration begins with.
func (r *reading) file(path, whole string, text []byte) (*File, error) {
	f := &File{Path: whole}
	d := r.open(path, whole, text)
	d.document(func(v value) { d.file(f, v) })
	return f, r.errors()
}

// remember returns what is to be remembered of the files. What was read of a list is the configuration's own part.
func (r *reading) remember(f *File) memory {
	now := memory{}
	rest := f.Instances
	for _, d := range r.files {
		if d.known != nil {
			l := *d.known
			l.apps = slices.Clip(rest[:d.count])
			now[d.where] = &l
		}
		rest = rest[d.count:]
	}
	return now
}

// reads is what was read beside a file, or looked for in vain. Paths are absolute, each is there once.
type reads struct {
	others    []string        // env files and the token file
	known     map[string]bool // that are in others
	fragments []string
	dirs      []string // that are included
}

func (r *reads) file(path string) {
	if r.known[path] {
		return
	}
	if r.known == nil {
		r.known = map[string]bool{}
	}
	r.known[path] = true
	r.others = append(r.others, path)
}

// none reports whether nothing was read, or looked for.
func (r reads) none() bool { return len(r.others)+len(r.fragments)+len(r.dirs) == 0 }

// with adds what another configuration names.
func (r reads) with(other reads) reads {
	return reads{others: slices.Concat(r.others, other.others), fragments: slices.Concat(r.fragments, other.fragments),
		dirs: slices.Concat(r.dirs, other.dirs)}
}

// open returns the decoder of one more file.
func (r *reading) open(path, whole string, text []byte) *decoder {
	r.space -= len(text)
	d := &decoder{
		reading: r,
		where:   whole,
		src:     newSource(path, strings.TrimPrefix(string(text), "\ufeff")),
		dir:     filepath.Dir(whole),
		targets: map[*ast.AliasNode]ast.Node{},
		private: map[ast.Node]bool{},
	}
	r.files = append(r.files, d)
	return d
}

// errors returns what was found wrong in all files, nil if nothing was.
func (r *reading) errors() error {
	var errs Errors
	for _, d := range r.files {
		errs = append(errs, d.errors()...)
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

func (d *decoder) errors() Errors {
	if len(d.faults) == 0 {
		return nil
	}
	ours := map[string]bool{}
	own(d.keys.file, ours)
	own(d.keys.instance, ours)
	d.src.hideSecrets(ours)
	errs := make(Errors, len(d.faults))
	for i, f := range d.faults {
		errs[i] = &Error{d.src.path, f.line, f.column, f.message, d.src.snippet(f.line, f.column)}
	}
	return errs.inOrder()
}

// document parses the file, and has what it holds read. What is read is good if no fault was found.
func (d *decoder) document(read func(v value)) {
	if d.inPieces(read) {
		return
	}
	if f := screenText([]byte(d.src.text)); f != nil {
		d.fault(f)
		return
	}
	node, _, f := parseYAML(d.src.text)
	switch {
	case f != nil:
		d.fault(f)
		return
	case node == nil:
		d.fault(&fault{1, 1, "the file is empty; write `instances: []` for no instances"})
		return
	}
	d.root(node, read)
}

// root has what a document holds read.
func (d *decoder) root(node ast.Node, read func(v value)) {
	ast.Walk(anchors{d, map[string]ast.Node{}}, node)
	if v, ok := d.value("the file", node); ok {
		switch v.node.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			v.name = ""
			read(v)
		default:
			d.wrongKind(v, aMapping)
		}
	}
	if d.budget < 0 {
		d.faults = []*fault{{1, 1, fmt.Sprintf("the file unfolds to more than %d values by its aliases", maxUnfolded)}}
	}
}

func (d *decoder) fault(f *fault) { d.faults = append(d.faults, f) }

// file reads the settings, what holds for all instances, and these.
func (d *decoder) file(f *File, v value) {
	all := &level{file: f}
	all.fill(d.keys.file)
	d.section(v, d.keys.file, all)
	d.inFleet = f.Fleet != nil
	all.app.Executable = d.executable(all.app.Executable)
	base, apps := d.body(all, all, v)
	f.Instances = apps
	if all.include != nil {
		d.include(f, *all.include, base)
	}
	top := all.app.WithDefaults()
	f.Executable, f.Start.Deadline, f.Health, f.Restart, f.Stop = top.Executable, top.Start.Deadline, top.Health,
		top.Restart, top.Stop
	if f.StateDir == "" {
		f.StateDir = d.host.stateDir()
	} else {
		f.StateDir = messages.StateDir(d.abs(string(f.StateDir)))
	}
	if f.StateDir == "" && !d.forFleet {
		d.failf(v.at, "state_dir is missing, and neither $STATE_DIRECTORY, $XDG_STATE_HOME nor $HOME gives one; "+
			"write state_dir")
	}
	if f.Socket == "" {
		f.Socket = f.StateDir.Socket()
	} else {
		f.Socket = d.abs(f.Socket)
	}
	d.reachable(v, f)
}

// own notes the names of the keys, and of those within.
func own(keys []key, names map[string]bool) {
	for _, k := range keys {
		names[k.name] = true
		own(k.keys, names)
	}
}
