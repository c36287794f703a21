package config

import (
	"runtime"
	"slices"
	"sync"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"procman/messages"
)

// memory is what is known of the files of a configuration that is in force, by path: what has not changed since is not
// read again. What depends on anything else than the text is looked at each time.
type memory map[string]*list

// list is what was read of the pieces of a file. It is not changed any more.
type list struct {
	base  *level // over which, as far as it matters to an instance
	sums  []sum
	costs []int32 // of each against the budget of a reading
	envs  map[int]envUse
	apps  []*messages.AppInstance
}

// envUse is an env file of an instance as it was.
type envUse struct {
	path string
	sum  sum // zero: it could not be used
}

// most is how many pieces are parsed at once. The parser takes more for each the more there are.
const most = 64

// inPieces reads a file that has a layout, and reports whether it is one. Of what is wrong with it it says something,
// but not what: then the whole is to be read.
func (d *decoder) inPieces(read func(v value)) bool {
	if d.asOne {
		return false
	}
	about := 1 // a file grows by one
	if known := d.before[d.where]; known != nil {
		about += len(known.sums)
	}
	l := cut(d.src.text, about)
	if l == nil || screenText([]byte(l.frame)) != nil {
		return false
	}
	node, _, f := parseYAML(l.frame)
	if f != nil || !l.frames(node) {
		return false
	}
	d.cut, d.layout, d.moved, d.below = true, l, l.lines, l.key
	d.root(node, read)
	return true
}

// frames reports whether the parser sees the empty list where the list is.
func (l *layout) frames(node ast.Node) bool {
	top, is := node.(*ast.MappingNode)
	if !is {
		return false
	}
	for _, entry := range top.Values {
		if keyText(entry.Key) != "instances" {
			continue
		}
		list, is := entry.Value.(*ast.SequenceNode)
		return is && len(list.Values) == 0 && *position(entry.Key) == (token.Position{Line: l.key, Column: 1,
			Offset: position(entry.Key).Offset}) &&
			list.Start.Position.Line == l.key
	}
	return false
}

// assemble reads the pieces of the file over base: those that are known are taken as they were read.
func (d *decoder) assemble(base *level) []*messages.AppInstance {
	l := d.layout
	now := &list{base: &level{app: base.app, wasmDir: base.wasmDir}, sums: make([]sum, len(l.pieces)),
		costs: make([]int32, len(l.pieces)),
		apps:  make([]*messages.AppInstance, len(l.pieces))}
	known := d.before[d.where]
	if known != nil && !known.over(base) {
		known = nil
	}
	d.below = 0
	if len(d.ids) == 0 && known == nil {
		d.ids = make(map[messages.InstanceID]site, len(l.pieces))
	}
	var all []stretch
	find := known.finder()
	for n := range l.pieces {
		i := find(l.pieces[n].sum)
		if last := len(all) - 1; last >= 0 && all[last].goesOn(n, i) {
			all[last].to++
			continue
		}
		all = append(all, stretch{from: n, to: n + 1, known: i})
	}
	next, end := l.ahead(d.src.text, all)
	defer end()
	inPlace, taken := 0, 0
	for _, s := range all {
		if len(d.faults) > 0 {
			break
		}
		if s.known < 0 {
			d.anew(now, s, next(), base)
			continue
		}
		copy(now.sums[s.from:s.to], known.sums[s.known:])
		copy(now.costs[s.from:s.to], known.costs[s.known:])
		copy(now.apps[s.from:s.to], known.apps[s.known:])
		if s.known >= taken && len(known.envs) == 0 { // each is taken once, and all were of one configuration
			taken = s.known + s.to - s.from
			d.keepApart(now.apps[s.from:s.to])
			for _, cost := range now.costs[s.from:s.to] {
				d.budget -= int(cost)
			}
			if s.known == s.from {
				inPlace += s.to - s.from
			}
			continue
		}
		for n := s.from; n < s.to; n++ {
			i := s.known + n - s.from
			switch {
			case !d.again(now, n, known, i):
				one := stretch{from: n, to: n + 1}
				d.anew(now, one, l.read(d.src.text, one), base)
			case i == n:
				inPlace++
			}
		}
	}
	if known != nil && inPlace == len(now.apps) && inPlace == len(known.apps) {
		now = known // nobody needs a second one
	}
	d.known = now
	return slices.Clip(now.apps)
}

// over reports whether what was read was read over a base that says the same.
func (k *list) over(base *level) bool {
	return k.base.wasmDir == base.wasmDir && k.base.app.Same(&base.app)
}

// finder returns what finds a piece by its sum; -1: it is not known.
func (k *list) finder() func(sum) int {
	var all map[sum]int
	next := 0
	return func(s sum) int {
		switch {
		case k == nil:
			return -1
		case next < len(k.sums) && k.sums[next] == s:
			next++
			return next - 1
		case all == nil && next+1 >= len(k.sums):
			// all before is taken: what is behind it is new, and the last one is another once something follows it
			return -1
		case all == nil:
			all = make(map[sum]int, len(k.sums))
			for i, s := range k.sums {
				all[s] = i
			}
		}
		i, is := all[s]
		if !is {
			return -1
		}
		next = i + 1
		return i
	}
}

// again reports whether piece n is as it is known. It is not if its env file is another one by now.
func (d *decoder) again(now *list, n int, known *list, i int) bool {
	if use, has := known.envs[i]; has {
		if file := d.envFile(use.path); file.err != nil || file.sum != use.sum {
			return false
		}
		d.reads.file(use.path)
		now.uses(n, use)
	}
	if p := now.apps[n].Placement; p != nil && p.Movable && !d.inFleet && !d.forFleet {
		return false // the section may be gone since
	}
	d.budget -= int(now.costs[n])
	d.unique(now.apps[n].InstanceID, &token.Position{})
	return true
}

func (k *list) uses(n int, use envUse) {
	if k.envs == nil {
		k.envs = map[int]envUse{}
	}
	k.envs[n] = use
}

// stretch are pieces that are taken together: some that are known one after the other, or some that are not and are
// parsed at once.
type stretch struct {
	from, to int
	known    int // the number by which the first is known; -1: they are not
}

// goesOn reports whether piece n, which is known by that number, is the next one of the stretch.
func (s stretch) goesOn(n, known int) bool {
	if s.known < 0 {
		return known < 0 && n-s.from < most
	}
	return known == s.known+n-s.from
}

// nodes are those of the pieces of a stretch; nil: see layout.items. moved is what layout.document returns.
type nodes struct {
	values []ast.Node
	moved  int
}

func (l *layout) read(text string, s stretch) nodes {
	doc, moved := l.document(text, s.from, s.to)
	return nodes{l.items(doc, s.from, s.to), moved}
}

// ahead parses the stretches that are not known, on all processors, and not far ahead of who asks for one after the
// other by next. end ends it.
func (l *layout) ahead(text string, all []stretch) (next func() nodes, end func()) {
	each, quit := make(chan chan nodes, runtime.GOMAXPROCS(0)), make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for _, s := range all {
			if s.known >= 0 {
				continue
			}
			one := make(chan nodes, 1)
			select {
			case each <- one:
				work.Go(func() { one <- l.read(text, s) })
			case <-quit:
				return
			}
		}
	})
	return func() nodes { return <-<-each }, func() { close(quit); work.Wait() }
}

// anew reads the pieces of a stretch.
func (d *decoder) anew(now *list, s stretch, p nodes, base *level) {
	n, values := s.from, p.values
	d.moved = p.moved
	if values == nil {
		d.fault(&fault{1, 1, "the list cannot be read piece by piece"})
		return
	}
	for i, node := range values {
		budget := d.budget
		d.budget--
		item, ok := d.value("instances[]", node)
		if !ok || d.budget < 0 {
			d.fault(&fault{1, 1, "the list cannot be read piece by piece"})
			return
		}
		l := d.instance(item, base)
		if l.envFile != nil && l.envPath != "" {
			path := d.abs(l.envPath)
			now.uses(n+i, envUse{path, d.envFile(path).sum})
		}
		if n+i > 0 {
			l.app.Share(now.apps[n+i-1])
		}
		app := l.app // the level is let go
		now.sums[n+i], now.costs[n+i], now.apps[n+i] = d.layout.pieces[n+i].sum, int32(budget-d.budget), &app
	}
}

// items parses the document of the pieces from n to m, and returns their nodes; nil: they are not those pieces, or not
// independent of the others.
func (l *layout) items(doc string, n, m int) []ast.Node {
	if screenText([]byte(doc)) != nil {
		return nil
	}
	node, tokens, f := parseYAML(doc)
	top, is := node.(*ast.MappingNode)
	if f != nil || !is || len(top.Values) == 0 {
		return nil
	}
	for _, t := range tokens {
		if t.Type == token.AnchorType || t.Type == token.AliasType {
			return nil
		}
	}
	seq, is := top.Values[0].Value.(*ast.SequenceNode)
	want := m - n
	if m < len(l.pieces) {
		want++ // the one that ends them
	}
	if !is || len(seq.Values) != want || len(seq.Entries) != want {
		return nil
	}
	for i, p := range l.pieces[n:m] {
		if at := seq.Entries[i].Start.Position; at.Line != p.dash-l.pieces[n].line+2 || at.Column != l.indent+1 {
			return nil
		}
	}
	return seq.Values[:m-n]
}
