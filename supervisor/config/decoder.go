package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"procman/messages"
)

// decoder reads one file. It goes on after an error, so that one look at a file finds all that is wrong with it.
type decoder struct {
	*reading
	where  string // the file, absolute
	src    *source
	dir    string // of the file; what relative paths are relative to
	faults []*fault

	targets map[*ast.AliasNode]ast.Node
	private map[ast.Node]bool // what is written under env, or headers

	layout *layout // nil: it is read as one
	// Of what is read now, what is on a line behind below is so many lines further on in the file.
	below, moved int
	known        *list // what was read of layout
	count        int   // of the instances
}

// reading is what the files of one configuration share.
type reading struct {
	host     Host
	keys     *tables
	files    []*decoder // in the order in which they were opened
	budget   int        // how many more entries aliases and merge keys may unfold to
	space    int        // how many more bytes the files may have
	ids      map[messages.InstanceID]site
	apart    [][]*messages.AppInstance // of which no two have one id; they are not in ids
	looks    int                       // so often was one looked for there
	envFiles map[string]envFile
	reads    reads
	before   memory
	asOne    bool                            // nothing is read in pieces
	cut      bool                            // something was
	inFleet  bool                            // the host is in one
	forFleet bool                            // nothing is said that is not for the store of a fleet
	relative bool                            // paths are, to the directory of the file that a list begins with
	policies map[messages.ProcessPolicy]bool // that were asked about
}

func newReading(h Host, keys *tables) *reading {
	return &reading{host: h, keys: keys, budget: maxUnfolded, space: maxFile, ids: map[messages.InstanceID]site{},
		envFiles: map[string]envFile{}, policies: map[messages.ProcessPolicy]bool{}}
}

// maxUnfolded bounds what a file with aliases unfolds to.
const maxUnfolded = 1 << 20

func (d *decoder) failf(at *token.Position, format string, args ...any) {
	d.faults = append(d.faults, faultf(at, format, args...))
}

// place is where in the file something is that is read now.
func (d *decoder) place(at *token.Position) (line, column int) {
	if at.Line > d.below {
		return at.Line + d.moved, at.Column
	}
	return at.Line, at.Column
}

// abs makes a path of the file absolute.
func (d *decoder) abs(path string) string {
	return absolute(d.dir, path)
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// anchors finds what each alias means: the nearest anchor of its name before it.
type anchors struct {
	d     *decoder
	named map[string]ast.Node
}

func (a anchors) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.AnchorNode:
		if n.Name != nil {
			a.named[n.Name.GetToken().Value] = n.Value
		}
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := a.named[name]
		if !ok {
			a.d.failf(position(n), "the alias has no anchor of its name before it; put the value in quotes if it "+
				"begins with *")
		}
		a.d.targets[n] = target
		return nil
	case *ast.MappingValueNode:
		if key := keyText(n.Key); key == "env" || key == "headers" {
			ast.Walk(private(a.d.private), n.Value)
		}
	}
	return a
}

// private collects the nodes it visits.
type private map[ast.Node]bool

func (p private) Visit(n ast.Node) ast.Visitor {
	p[n] = true
	return p
}

// value makes a value of a node: it follows anchors and aliases. What is wrong with an alias is reported where it is
// used, what is wrong within the mapping it means where that is written.
func (d *decoder) value(name string, n ast.Node) (value, bool) {
	at := position(n)
	for range maxDepth {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
			at = position(n)
		case *ast.AliasNode:
			n = d.targets[t]
		case nil:
			return value{}, false // an alias without an anchor: reported already
		default:
			return value{name, n, at, d.private[n]}, true
		}
	}
	d.failf(at, "%s: the alias refers to itself", name)
	return value{}, false
}

// entry is one key of a mapping and what stands there.
type entry struct {
	key   string
	keyAt *token.Position
	value value
}

// entries returns what a mapping says, in the order of the file, keys merged from elsewhere last.
func (d *decoder) entries(v value, want phrase) ([]entry, bool) {
	seen := map[string]bool{}
	return d.merged(v, want, seen, 0)
}

func (d *decoder) merged(v value, want phrase, seen map[string]bool, depth int) (list []entry, ok bool) {
	var pairs []*ast.MappingValueNode
	switch n := v.node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		d.wrongKind(v, want)
		return nil, false
	}
	if depth > maxDepth {
		d.failf(v.at, "%s: merge keys nest too deeply, or in a circle", v.name)
		return nil, false
	}
	ok = true
	lines := make(map[string]int, len(pairs))
	var merges []ast.Node
	for _, p := range pairs {
		if d.budget--; d.budget < 0 {
			return nil, false
		}
		if p.Key.IsMergeKey() {
			merges = append(merges, p.Value)
			continue
		}
		key, at := keyText(p.Key), position(p.Key)
		if line, twice := lines[key]; twice {
			d.failf(at, "%s is written twice; the first is on line %d", joined(v.name, key), line)
			ok = false
			continue
		}
		lines[key] = at.Line
		// What merges say of a key that was seen before is overridden.
		if seen[key] {
			continue
		}
		seen[key] = true
		if val, good := d.value(joined(v.name, key), p.Value); good {
			list = append(list, entry{key, at, val})
		} else {
			ok = false
		}
	}
	for _, m := range merges {
		more, good := d.merge(v.name, m, want, seen, depth)
		list, ok = append(list, more...), ok && good
	}
	return list, ok
}

// merge returns what a merge key adds: the keys of a mapping, or of each of a list of mappings.
func (d *decoder) merge(name string, n ast.Node, want phrase, seen map[string]bool, depth int) (list []entry, ok bool) {
	source, ok := d.value(joined(name, "<<"), n)
	if !ok {
		return nil, false
	}
	sources := []value{source}
	if _, several := source.node.(*ast.SequenceNode); several {
		if sources, ok = d.items(source, aMapping); !ok {
			return nil, false
		}
	}
	for _, s := range sources {
		s.name = name
		more, good := d.merged(s, want, seen, depth+1)
		list, ok = append(list, more...), ok && good
	}
	return list, ok
}

// items returns the elements of a list.
func (d *decoder) items(v value, want phrase) ([]value, bool) {
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		d.wrongKind(v, want)
		return nil, false
	}
	list := make([]value, 0, len(seq.Values))
	for i, n := range seq.Values {
		if d.budget--; d.budget < 0 {
			return nil, false
		}
		item, good := d.value(fmt.Sprintf("%s[%d]", v.name, i), n)
		if ok = ok && good; good {
			list = append(list, item)
		}
	}
	return list, ok
}

// under is what stands under one of the keys of a mapping, the first of them that is there; else the mapping itself.
func (d *decoder) under(v value, keys ...string) value {
	list, _ := d.entries(v, aMapping)
	for _, key := range keys {
		for _, e := range list {
			if e.key == key {
				return e.value
			}
		}
	}
	return v
}

func keyText(n ast.MapKeyNode) string {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value
	}
	return n.GetToken().Value
}

// joined names a key within a section, for a message. The keys of an instance go by their bare names: the line says
// which one it is.
func joined(section, key string) string {
	key = spokenKey(key)
	if section == "" || strings.HasSuffix(section, "]") {
		return key
	}
	return section + "." + key
}

// spokenKey is a key as a message may show it. What is no name, such as a line of some other file, is shown no more
// than a value that may be secret.
func spokenKey(key string) string {
	odd := func(r rune) bool {
		return !(r == '_' || r == '-' || r == '.' || r == '/' || r == ' ' || r == '<' || unicode.IsLetter(r) ||
			unicode.IsDigit(r))
	}
	if strings.ContainsFunc(key, odd) {
		return mask
	}
	return shortened(key)
}
