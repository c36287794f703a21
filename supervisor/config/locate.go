package config

import (
	"path/filepath"
	"slices"

	"procman/messages"
)

// Location is where a configuration says that its daemon keeps things and answers.
type Location struct {
	StateDir messages.StateDir // absolute; empty: it does not say
	Socket   string            // absolute; empty: it does not say
}

// Locate returns what the file at path says of where its daemon is, whatever else is wrong with it. The error says that
// it cannot be read, or is no YAML: then nothing of it is known, for a text that is cut short or spoilt may seem to say
// anything.
func Locate(path string, h Host) (Location, error) {
	text, err := Read(path)
	if err != nil {
		return Location{}, err
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return Location{}, err
	}
	all := newReading(h, everyKey())
	d := all.open(path, whole, text)
	at := &level{file: &File{}}
	d.document(func(v value) {
		keys := slices.DeleteFunc(slices.Clone(d.keys.file),
			func(k key) bool { return k.name != "state_dir" && k.name != "socket" })
		d.section(v, keys, at)
		d.faults = nil // of other keys
	})
	where := Location{StateDir: at.file.StateDir, Socket: at.file.Socket}
	if where.StateDir != "" {
		where.StateDir = messages.StateDir(d.abs(string(where.StateDir)))
	}
	if where.Socket != "" {
		where.Socket = d.abs(where.Socket)
	}
	return where, all.errors()
}
