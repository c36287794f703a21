package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"procman/messages"
)

// Load reads and parses the file at path. What is wrong with its text is reported as [Errors]; any other error says
// that it could not be read.
func Load(path string) (*File, error) {
	f, _, err := load(path, ThisHost())
	return f, err
}

// load also returns which env files the configuration names, as far as that could be learned.
func load(path string, h Host) (*File, []string, error) {
	text, err := readAtMost(path, maxFile)
	if err != nil {
		return nil, nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	return parse(path, text, h)
}

// Parse parses the text of a configuration file. path is where it stands, or would stand: relative paths in the text are
// relative to its directory, and errors name it as it is given. The error is of type [Errors], unless the working
// directory is needed and cannot be found out. Parse reads nothing but the env files, by h.
func Parse(path string, text []byte, h Host) (*File, error) {
	f, _, err := parse(path, text, h)
	return f, err
}

func parse(path string, text []byte, h Host) (*File, []string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the configuration %s cannot be located: %w", path, err)
	}
	if len(text) > maxFile {
		return nil, nil, Errors{{Path: path, Line: 1, Column: 1, Message: fmt.Sprintf("the file is larger than %d MiB", maxFile>>20)}}
	}
	plain := strings.TrimPrefix(string(text), "\ufeff")
	d := &decoder{
		src:      newSource(path, plain),
		host:     h,
		dir:      filepath.Dir(whole),
		targets:  map[*ast.AliasNode]ast.Node{},
		budget:   maxUnfolded,
		envFiles: map[string]envFile{},
	}
	f := d.file(plain)
	f.Path, f.EnvFiles = whole, d.envOrder
	if errs := d.errors(); errs != nil {
		return nil, d.envOrder, errs
	}
	return f, d.envOrder, nil
}

// errors returns what was found wrong, nil if nothing was.
func (d *decoder) errors() error {
	if len(d.faults) == 0 {
		return nil
	}
	ours := map[string]bool{}
	for _, name := range allNames() {
		ours[name] = true
	}
	d.src.hideSecrets(ours)
	errs := make(Errors, len(d.faults))
	for i, f := range d.faults {
		errs[i] = &Error{d.src.path, f.line, f.column, f.message, d.src.snippet(f.line, f.column)}
	}
	return errs.inOrder()
}

// file reads the whole file. What it returns is good if no fault was found.
func (d *decoder) file(text string) *File {
	r := root{File: defaults()}
	if f := screenText([]byte(text)); f != nil {
		d.fault(f)
		return &r.File
	}
	body, f := parseYAML(text)
	switch {
	case f != nil:
		d.fault(f)
		return &r.File
	case body == nil:
		d.fault(&fault{1, 1, "the file is empty; write `instances: []` for no instances"})
		return &r.File
	}
	ast.Walk(anchors{d, map[string]ast.Node{}}, body)
	if v, ok := d.value("the file", body); ok {
		d.root(&r, v)
	}
	if d.budget < 0 {
		d.faults = []*fault{{1, 1, fmt.Sprintf("the file unfolds to more than %d values by its aliases", maxUnfolded)}}
	}
	return &r.File
}

func (d *decoder) fault(f *fault) { d.faults = append(d.faults, f) }

func (d *decoder) root(r *root, v value) {
	switch v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		d.wrongKind(v, kindMapping)
		return
	}
	v.name = ""
	section(d, v, rootKeys, r)
	if r.Executable == "" {
		r.Executable = messages.DefaultExecutable
	}
	if r.instances != nil {
		d.readInstances(&r.File, *r.instances)
	} else {
		d.failf(v.at, "instances is missing; write `instances: []` for none")
	}
	r.Executable = d.executable(r.Executable)
	if r.Restart.Max == 0 {
		r.Restart.Max = restartMax(r.Restart.Initial)
	}
	if r.StateDir = d.host.stateDir(); r.stateDir != "" {
		r.StateDir = messages.StateDir(d.abs(r.stateDir))
	}
	if r.StateDir == "" {
		d.failf(v.at, "state_dir is missing, and neither $STATE_DIRECTORY, $XDG_STATE_HOME nor $HOME gives one; write state_dir")
	}
	if r.Socket == "" {
		r.Socket = r.StateDir.Socket()
	} else {
		r.Socket = d.abs(r.Socket)
	}
}
