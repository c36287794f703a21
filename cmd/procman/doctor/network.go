package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Size is the number of ports.
func (s Span) Size() int { return s.Last - s.First + 1 }

func (s Span) String() string {
	if s.First == s.Last {
		return strconv.Itoa(s.First)
	}
	return fmt.Sprintf("%d-%d", s.First, s.Last)
}

func portRange(f Facts) Finding {
	const check = "port range"
	w := f.Wants
	span := Span{w.First, w.Last}
	what := fmt.Sprintf("%v: %s for %s", span, count(span.Size(), "port"), count(w.Instances, "instance"))
	if u := f.Ports.Unprivileged; u != nil && int64(w.First) < *u && !f.Ports.Privileged {
		return Finding{check, Fault, what, fmt.Sprintf("ports below %d are for root only", *u),
			fmt.Sprintf("set ports.range to begin at %d or above", *u)}
	}
	switch {
	case span.Size() < w.Instances:
		return Finding{check, Fault, what, "not every instance gets a port",
			fmt.Sprintf("set ports.range to at least %s", count(w.Instances+w.Instances/10+1, "port"))}
	case span.Size() < w.Instances+w.Instances/10:
		return Finding{check, Warning, what, "few are left for when somebody else has one",
			fmt.Sprintf("set ports.range to at least %s", count(w.Instances+w.Instances/10+1, "port"))}
	}
	return ok(check, "%s", what)
}

func outgoingPorts(f Facts) Finding {
	const check = "outgoing ports"
	p := f.Ports
	if p.Outgoing == nil {
		return unknown(check, p.Err, "")
	}
	span := Span{f.Wants.First, f.Wants.Last}
	both := Span{max(span.First, p.Outgoing.First), min(span.Last, p.Outgoing.Last)}
	if both.Size() <= 0 {
		return ok(check, "%v, apart from ports.range %v", *p.Outgoing, span)
	}
	exposed := without(both, p.Reserved)
	if len(exposed) == 0 {
		return ok(check, "%v overlap ports.range %v, but it is reserved", *p.Outgoing, span)
	}
	free := 0
	for _, s := range exposed {
		free += s.Size()
	}
	means := "while an instance is down, another program's connection may get its port, and the instance then gets " +
		"another"
	if !f.Wants.Hold {
		means = "a connection of another program may get a port between its lease and the instance's own bind; " +
			"ports.hold is false"
	}
	return Finding{check, Warning, fmt.Sprintf("%v, and %d of them in ports.range %v", *p.Outgoing, free, span), means,
		sysctl("net.ipv4.ip_local_reserved_ports", spans(merge(append(slices.Clone(p.Reserved), span)))) +
			fmt.Sprintf("\nor choose a ports.range outside %v", *p.Outgoing)}
}

// without returns what is left of a span.
func without(s Span, taken []Span) []Span {
	left := []Span{}
	for _, t := range merge(taken) {
		if t.Last < s.First || t.First > s.Last {
			continue
		}
		if t.First > s.First {
			left = append(left, Span{s.First, t.First - 1})
		}
		s.First = t.Last + 1
	}
	if s.First <= s.Last {
		left = append(left, s)
	}
	return left
}

// merge returns the same ports in their order, in as few spans as possible.
func merge(all []Span) []Span {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Span) int { return a.First - b.First })
	var merged []Span
	for _, s := range all {
		if n := len(merged); n > 0 && s.First <= merged[n-1].Last+1 {
			merged[n-1].Last = max(merged[n-1].Last, s.Last)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// spans writes a list as the kernel reads it.
func spans(all []Span) string {
	texts := make([]string, len(all))
	for n, s := range all {
		texts[n] = s.String()
	}
	return strings.Join(texts, ",")
}

// parseSpans reads "8080,30000-31000"; what is no span is left out.
func parseSpans(list string) []Span {
	var all []Span
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		a, b, is := strings.Cut(part, "-")
		if !is {
			b = a
		}
		first, err1 := strconv.Atoi(a)
		last, err2 := strconv.Atoi(b)
		if err1 == nil && err2 == nil && first <= last {
			all = append(all, Span{first, last})
		}
	}
	return all
}
