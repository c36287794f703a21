package messages

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode"
)

// Placement says where in a fleet an instance may run. It is no part of what runs: an edit of it touches no process,
// and on a host without a fleet it says nothing. The zero value is that of an instance that stays on its host.
type Placement struct {
	// another host may start it when its own is lost: its data is there, too
	Movable bool              `json:"movable,omitempty"`
	Fence   Fence             `json:"fence,omitempty"` // only if Movable; empty: FenceLeash
	Hosts   map[string]string `json:"hosts,omitempty"` // labels that its host must have
}

// Fence says what keeps an instance that may move from running on two hosts.
type Fence string

// The fences.
const (
	FenceLeash Fence = "leash" // it is ended when its host's lease is over: never two
	FenceNone  Fence = "none"  // nothing: at least once, for what may run twice
)

// Fenced reports whether the instance is ended by the loss of its host's lease.
func (p Placement) Fenced() bool { return p.Movable && p.Fence != FenceNone }

// Place returns where the instance may run; the zero Placement if it says nothing of that.
func (a *AppInstance) Place() Placement {
	if a.Placement == nil {
		return Placement{}
	}
	return *a.Placement
}

// place is where fields of the placement are read. A read makes none: instances are shared.
func (a *AppInstance) place() *Placement {
	if a.Placement == nil {
		return &Placement{}
	}
	return a.Placement
}

// placed is where fields of the placement are written.
func (a *AppInstance) placed() *Placement {
	a.Placement = a.place()
	return a.Placement
}

func (p *Placement) clone() *Placement {
	if p == nil {
		return nil
	}
	c := *p
	c.Hosts = maps.Clone(p.Hosts)
	return &c
}

// Same reports whether p and q say the same. One that says nothing is none.
func (p *Placement) Same(q *Placement) bool {
	if p == q {
		return true
	}
	var none Placement
	if p == nil {
		p = &none
	}
	if q == nil {
		q = &none
	}
	return p.Movable == q.Movable && p.Fence == q.Fence && maps.Equal(p.Hosts, q.Hosts)
}

func wrongPlacement(a *AppInstance) (errs []error) {
	if a.Placement == nil {
		return nil
	}
	p := a.Placement
	switch {
	case p.Fence != "" && p.Fence != FenceLeash && p.Fence != FenceNone:
		errs = append(errs, fmt.Errorf("fence is %q; it must be %s", p.Fence,
			Alternatives(words(FenceLeash, FenceNone))))
	case p.Fence != "" && !p.Movable:
		errs = append(errs, errFence)
	}
	if complaint := wrongLabels(p.Hosts); complaint != "" {
		errs = append(errs, errors.New("hosts: "+complaint))
	}
	return errs
}

var errFence = errors.New("fence is for an instance that may move; write movable: true, or leave it out")

// nothing is the check of a field at which another one's looks.
func nothing(*AppInstance) []error { return nil }

// maxLabel is the greatest length of the name and of the value of a host's label, in bytes.
const maxLabel = 256

// HostLabels is the limit of labels that a host of a fleet has, or must have. They are compared, and written to the
// store.
func HostLabels() Limit {
	return Must(wrongLabels, map[string]any{"propertyNames": map[string]any{"pattern": "^[^=\\x00-\\x1f\\x7f]+$"}})
}

func wrongLabels(labels map[string]string) string {
	for name, value := range labels {
		switch {
		case name == "" || strings.Contains(name, "="):
			return "a label has a name, and no = in it"
		case len(name) > maxLabel || len(value) > maxLabel:
			return fmt.Sprintf("the name and the value of a label have %d bytes at most", maxLabel)
		case strings.ContainsFunc(name+value, unicode.IsControl):
			return "a label holds no control characters"
		}
	}
	return ""
}
