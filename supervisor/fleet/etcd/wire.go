package etcd

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"procman/supervisor/fleet/store"
)

// The messages of etcd's rpc.proto that are used here, and of each the fields that are.

type message []byte

func (m *message) bytes(field protowire.Number, v string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) inner(field protowire.Number, v message) { m.bytes(field, string(v)) }

// The compares of etcd.
const (
	resultEqual, resultGreater                 = 0, 1
	targetCreated, targetModified, targetValue = 1, 2, 3
)

func rangeRequest(key, end string, limit int64, at store.Revision) (m message) {
	m.bytes(1, key)
	m.bytes(2, end)
	m.number(3, limit)
	m.number(4, int64(at))
	return m
}

func txnRequest(prefix string, t store.Transaction) (m message) {
	for _, c := range t.If {
		m.inner(1, compare(prefix, c))
	}
	for _, o := range t.Then {
		var op, change message
		change.bytes(1, prefix+o.Key)
		if o.Delete {
			op.inner(3, change)
		} else {
			change.bytes(2, o.Value)
			change.number(3, int64(o.Lease))
			op.inner(2, change)
		}
		m.inner(2, op)
	}
	return m
}

func compare(prefix string, c store.Compare) (m message) {
	result, target := int64(resultEqual), int64(targetCreated)
	switch c.Is {
	case store.IsPresent:
		result = resultGreater
	case store.IsUnchanged:
		target = targetModified
	case store.IsValued:
		target = targetValue
	}
	m.number(1, result)
	m.number(2, target)
	m.bytes(3, prefix+c.Key)
	switch target {
	case targetCreated:
		m.number(5, 0)
	case targetModified:
		m.number(6, int64(c.Modified))
	case targetValue:
		m.bytes(7, c.Value)
	}
	return m
}

func watchRequest(key, end string, from store.Revision) (m message) {
	var create message
	create.bytes(1, key)
	create.bytes(2, end)
	create.number(3, int64(from))
	create.number(4, 1) // progress
	m.inner(1, create)
	return m
}

func numberRequest(field protowire.Number, v int64) (m message) {
	m.number(field, v)
	return m
}

func authenticateRequest(user, password string) (m message) {
	m.bytes(1, user)
	m.bytes(2, password)
	return m
}

var errWire = errors.New("the answer is not one of etcd's")

// fields calls f for each field of the message, with its number or its bytes.
func fields(m []byte, f func(field protowire.Number, number int64, bytes []byte) error) error {
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return errWire
		}
		m = m[n:]
		var number uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(m)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(m)
		default:
			n = protowire.ConsumeFieldValue(field, kind, m)
		}
		if n < 0 {
			return errWire
		}
		m = m[n:]
		if err := f(field, int64(number), bytes); err != nil {
			return err
		}
	}
	return nil
}

// answer is any answer of the services that are used: what it has not is zero.
type answer struct {
	revision  store.Revision
	entries   []store.Entry
	more      bool
	done      bool // a transaction's compares held
	lease     store.Lease
	ttl       int64
	problem   string
	token     string
	version   string
	created   bool
	canceled  bool
	compacted store.Revision
	reason    string
	events    []store.Event
}

func (a *answer) header(number protowire.Number, bytes []byte) (bool, error) {
	if number != 1 {
		return false, nil
	}
	return true, fields(bytes, func(field protowire.Number, n int64, _ []byte) error {
		if field == 3 {
			a.revision = store.Revision(n)
		}
		return nil
	})
}

// decode returns what reads the fields of one kind of answer, beside the header.
func (a *answer) decode(m []byte, field func(field protowire.Number, n int64, b []byte) error) error {
	return fields(m, func(f protowire.Number, n int64, b []byte) error {
		if is, err := a.header(f, b); is || err != nil {
			return err
		}
		return field(f, n, b)
	})
}

func rangeAnswer(m []byte) (a answer, err error) {
	err = a.decode(m, func(field protowire.Number, n int64, b []byte) error {
		switch field {
		case 2:
			e, err := entry(b)
			a.entries = append(a.entries, e)
			return err
		case 3:
			a.more = n != 0
		}
		return nil
	})
	return a, err
}

func txnAnswer(m []byte) (a answer, err error) {
	err = a.decode(m, func(field protowire.Number, n int64, _ []byte) error {
		if field == 2 {
			a.done = n != 0
		}
		return nil
	})
	return a, err
}

func leaseAnswer(m []byte) (a answer, err error) {
	err = a.decode(m, func(field protowire.Number, n int64, b []byte) error {
		switch field {
		case 2:
			a.lease = store.Lease(n)
		case 3:
			a.ttl = n
		case 4:
			a.problem = string(b)
		}
		return nil
	})
	return a, err
}

func textAnswer(m []byte) (a answer, err error) {
	err = a.decode(m, func(field protowire.Number, _ int64, b []byte) error {
		if field == 2 {
			a.token, a.version = string(b), string(b)
		}
		return nil
	})
	return a, err
}

func watchAnswer(m []byte) (a answer, err error) {
	err = a.decode(m, func(field protowire.Number, n int64, b []byte) error {
		switch field {
		case 3:
			a.created = n != 0
		case 4:
			a.canceled = n != 0
		case 5:
			a.compacted = store.Revision(n)
		case 6:
			a.reason = string(b)
		case 11:
			e, err := event(b)
			a.events = append(a.events, e)
			return err
		}
		return nil
	})
	return a, err
}

func event(m []byte) (e store.Event, err error) {
	err = fields(m, func(field protowire.Number, n int64, b []byte) (err error) {
		switch field {
		case 1:
			e.Deleted = n == 1
		case 2:
			e.Entry, err = entry(b)
		}
		return err
	})
	return e, err
}

func entry(m []byte) (e store.Entry, err error) {
	err = fields(m, func(field protowire.Number, n int64, b []byte) error {
		switch field {
		case 1:
			e.Key = string(b)
		case 2:
			e.Created = store.Revision(n)
		case 3:
			e.Modified = store.Revision(n)
		case 5:
			e.Value = string(b)
		case 6:
			e.Lease = store.Lease(n)
		}
		return nil
	})
	return e, err
}

// after returns the end of the range of all keys that begin with the prefix.
func after(prefix string) string {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return string(end[:i+1])
		}
	}
	return "\x00" // all keys from the prefix on
}

func grantAnswer(m []byte) (answer, error) {
	a, err := leaseAnswer(m)
	if err == nil && (a.problem != "" || a.lease == 0) {
		err = &status{codeUnavailable, "no lease: " + a.problem}
	}
	return a, err
}
