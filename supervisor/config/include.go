package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxFragments is how many files may be included in all.
const maxFragments = 4096

// fragmentName reports whether a file of that name in an included directory is a fragment: hidden files and what
// editors leave behind are not.
func fragmentName(name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && name[0] != '.' && name[0] != '#'
}

// include reads the fragments of every included directory over base, the file's own defaults.
func (d *decoder) include(f *File, v value, base *level) {
	list := []value{v}
	if _, several := v.node.(*ast.SequenceNode); several {
		list, _ = d.items(v, dirs)
	}
	for _, item := range list {
		switch dir, ok := d.pathText(item); {
		case !ok:
		case dir == "":
			d.failf(item.at, "%s is \"\"; leave the key out if nothing is meant", item.name)
		case slices.Contains(d.reads.dirs, d.abs(dir)):
			d.failf(item.at, "%s names %s a second time", item.name, item.quoted(dir))
		default:
			d.directory(f, item, dir, base)
		}
	}
}

// directory reads the fragments of one directory.
func (d *decoder) directory(f *File, item value, dir string, base *level) {
	whole := d.abs(dir)
	d.reads.dirs = append(d.reads.dirs, whole)
	names, err := d.host.ReadDir(whole)
	if err != nil {
		help := ""
		if errors.Is(err, fs.ErrNotExist) {
			help = "; make the directory, or leave it out"
			if strings.ContainsAny(dir, "*?[") {
				help = "; name a directory: of each all *.yaml are read, and patterns mean nothing here"
			}
		}
		d.failf(item.at, "include %s: %v%s", item.quoted(dir), bare(err), help)
		return
	}
	slices.Sort(names)
	for _, name := range names {
		path := filepath.Join(whole, name)
		if !fragmentName(name) || path == f.Path {
			continue
		}
		if err := d.fragment(f, path, d.near(dir, name), base); err != nil {
			d.failf(item.at, "include %s: %s: %v", item.quoted(dir), clip(name), err)
			return
		}
	}
}

// near is how errors name a fragment: as the file itself is named, if the directory is named relative to it.
func (d *decoder) near(dir, name string) string {
	return filepath.Join(absolute(filepath.Dir(d.src.path), dir), name)
}

// fragment reads one file. The error says why that could not be done; what is wrong in the file is told with its place
// there.
func (d *decoder) fragment(f *File, path, shown string, base *level) error {
	if len(d.reads.fragments) == maxFragments {
		return fmt.Errorf("more than %d files are included", maxFragments)
	}
	d.reads.fragments = append(d.reads.fragments, path)
	text, err := d.host.ReadFile(path)
	if err != nil {
		return bare(err)
	}
	if len(text) > d.space {
		return fmt.Errorf("with it the files are larger than %d MiB together", maxFile>>20)
	}
	part := d.open(shown, path, text)
	part.document(func(v value) {
		var own level
		part.section(v, d.keys.fragment, &own)
		_, apps := part.body(&own, base, v)
		f.Instances = append(f.Instances, apps...)
	})
	return nil
}
