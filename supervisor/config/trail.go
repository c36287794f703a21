package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links are followed on the way to a file; Linux itself follows 40.
const maxLinks = 40

// sight is one look at the file system: no path is asked for twice.
type sight map[string]seen

type seen struct {
	info fs.FileInfo
	err  error
}

func (s sight) lstat(path string) (fs.FileInfo, error) {
	was, known := s[path]
	if !known {
		was.info, was.err = os.Lstat(path)
		s[path] = was
	}
	return was.info, was.err
}

func (s sight) isDir(path string) bool {
	info, err := s.lstat(path)
	return err == nil && info.IsDir()
}

// trail returns every path at which a change makes the absolute path mean another file: each symbolic link on the way,
// and its end, the file itself or the first component that does not exist.
func (s sight) trail(path string) []string {
	var (
		places []string
		dir    = string(filepath.Separator)
		rest   = components(path)
		links  int
	)
	for len(rest) > 0 {
		next := filepath.Join(dir, rest[0])
		rest = rest[1:]
		info, err := s.lstat(next)
		if err != nil {
			return append(places, next)
		}
		if info.Mode()&os.ModeSymlink == 0 {
			dir = next
			continue
		}
		places = append(places, next)
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return places
		}
		if filepath.IsAbs(target) {
			dir = string(filepath.Separator)
		}
		rest = append(components(target), rest...)
	}
	return append(places, dir)
}

func components(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

// fingerprint differs when one of the places was changed, as far as its metadata show, or a fragment came into one of
// the directories.
func (s sight) fingerprint(places, dirs []string) string {
	var b strings.Builder
	for _, p := range places {
		if info, err := s.lstat(p); err != nil {
			fmt.Fprintf(&b, "%s: none\n", p)
		} else if !info.IsDir() { // a directory also changes by what is of no concern
			fmt.Fprintf(&b, "%s: %v %d %d\n", p, info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
	}
	for _, dir := range dirs {
		names, err := readDir(dir)
		fmt.Fprintf(&b, "%s: %v\n", dir, err)
		for _, name := range names {
			if fragmentName(name) {
				fmt.Fprintf(&b, "\t%q\n", name)
			}
		}
	}
	return b.String()
}
