package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links are followed on the way to a file; Linux itself follows 40.
const maxLinks = 40

// trail returns every path at which a change makes the absolute path mean another file: each symbolic link on the way,
// and its end, the file itself or the first component that does not exist.
func trail(path string) []string {
	var (
		places []string
		dir    = string(filepath.Separator)
		rest   = components(path)
		links  int
	)
	for len(rest) > 0 {
		next := filepath.Join(dir, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
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

// fingerprint differs when one of the places was changed, as far as its metadata show.
func fingerprint(places []string) string {
	var b strings.Builder
	for _, p := range places {
		if info, err := os.Lstat(p); err != nil {
			fmt.Fprintf(&b, "%s: none\n", p)
		} else {
			fmt.Fprintf(&b, "%s: %v %d %d\n", p, info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}
