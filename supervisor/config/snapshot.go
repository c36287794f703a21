package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
)

// Snapshot is all that a configuration was read from: whoever has it can read the configuration again when the files
// are broken or gone. It holds every secret they hold. It is not to be changed.
type Snapshot struct {
	Path  string            `json:"path"`  // of the configuration, absolute; its text is one of Files
	Files map[string][]byte `json:"files"` // by absolute path
	// the names in the directories that are included, by absolute path
	Dirs map[string][]string `json:"dirs,omitempty"`
}

// Parse reads the configuration from the snapshot alone, and from the environment of this host. Relative paths mean
// what they meant in the file.
func (s Snapshot) Parse() (*File, error) {
	h := DaemonHost()
	h.Group = nil // one that is gone since then keeps no list from being in force
	missing := func(path string) error { return &fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist} }
	h.ReadFile = func(path string) ([]byte, error) {
		text, is := s.Files[path]
		if !is {
			return nil, missing(path)
		}
		return text, nil
	}
	h.ReadDir = func(path string) ([]string, error) {
		names, is := s.Dirs[path]
		if !is {
			return nil, missing(path)
		}
		return slices.Clone(names), nil
	}
	return Parse(s.Path, s.Files[s.Path], h)
}

// recorded returns a host that notes in the snapshot what is read.
func (h Host) recorded(s *Snapshot) Host {
	readFile, readDir := h.ReadFile, h.ReadDir
	h.ReadFile = func(path string) ([]byte, error) {
		text, err := readFile(path)
		if err == nil {
			s.Files[path] = text
		}
		return text, err
	}
	h.ReadDir = func(path string) ([]string, error) {
		names, err := readDir(path)
		if err == nil {
			s.Dirs[path] = names
		}
		return names, err
	}
	return h
}

// Equal reports whether the same was read.
func (s Snapshot) Equal(o Snapshot) bool {
	return s.Path == o.Path && maps.EqualFunc(s.Files, o.Files, slices.Equal[[]byte]) &&
		maps.EqualFunc(s.Dirs, o.Dirs, slices.Equal[[]string])
}

// says reports whether the configuration's own text is this one.
func (s Snapshot) says(text []byte) bool {
	was, is := s.Files[s.Path]
	return is && bytes.Equal(was, text)
}

// Digest tells snapshots apart, and nothing of what they hold; it is empty for the empty one.
func (s Snapshot) Digest() string {
	text, err := json.Marshal(s)
	if err != nil || s.Path == "" {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Take returns what the configuration at path would be read from now; the error is that of [LoadFor].
func Take(path string, h Host) (Snapshot, error) {
	text, err := readRegular(path)
	if err != nil {
		return Snapshot{}, err
	}
	s, _, _, err := take(path, text, h, nil)
	return s, err
}

// take parses the text of the configuration at path.
func take(path string, text []byte, h Host, before *File) (Snapshot, *File, reads, error) {
	s := Snapshot{Path: path, Files: map[string][]byte{}, Dirs: map[string][]string{}}
	f, names, err := parse(path, text, h.recorded(&s), before)
	s.Files[path] = text
	return s, f, names, err
}
