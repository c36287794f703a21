package config

import (
	"path/filepath"

	"procman/messages"
)

// Location is where a configuration says that its daemon keeps things and answers.
type Location struct {
	StateDir messages.StateDir // absolute; empty: it does not say
	Socket   string            // absolute; empty: it does not say
}

// Locate returns what the file at path says of where its daemon is, whatever else is wrong with it. The error says that it
// cannot be read, or is no YAML: then nothing of it is known, for a text that is cut short or spoilt may seem to say
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
	all := newReading(h, everyKey)
	d := all.open(path, whole, text)
	var at Location
	d.document(func(v value) {
		list, _ := d.entries(v, aMapping)
		d.faults = nil // of other keys
		for _, e := range list {
			if e.key != "state_dir" && e.key != "socket" {
				continue
			}
			text, ok := d.text(e.value)
			switch {
			case !ok, text == "":
			case e.key == "socket":
				at.Socket = d.abs(text)
			default:
				at.StateDir = messages.StateDir(d.abs(text))
			}
		}
	})
	return at, all.errors()
}
