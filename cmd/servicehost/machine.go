package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"

	"github.com/tetratelabs/wazero"
)

// machineStore is where wazero takes machine code from, and where it goes. Its own cache would read the code into
// memory that is each process' own, after it has decoded and validated the whole module.
type machineStore struct {
	load *cached                       // nil: nothing is there
	save func(machine io.Reader) error // nil: it is not kept
	used bool                          // wazero does use it
}

// cache makes wazero use the store. There is an interface for that, but not a public one.
func (s *machineStore) cache() wazero.CompilationCache {
	c := wazero.NewCompilationCache()
	field := reflect.ValueOf(c).Elem().FieldByName("fileCache")
	if s.used = field.IsValid() && reflect.TypeOf(s).AssignableTo(field.Type()); s.used {
		reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(s))
	}
	return c
}

// Get gives what was loaded, whatever is asked for: the key is that of the outline.
func (s *machineStore) Get([32]byte) (io.ReadCloser, bool, error) {
	if s.load == nil {
		return nil, false, nil
	}
	return &machineReader{cached: s.load, at: int(s.load.CodeFrom)}, true, nil
}

// Add keeps what was compiled. What was loaded is never compiled: it would be the outline.
func (s *machineStore) Add(_ [32]byte, machine io.Reader) error {
	switch {
	case s.load != nil:
		return errForeign
	case s.save != nil:
		return s.save(machine)
	}
	return nil
}

// Delete is called if another version of wazero has compiled it. Without an error the outline would be compiled now.
func (s *machineStore) Delete([32]byte) error { return errForeign }

var errForeign = errors.New("the compiled module in the cache is of another version of wazero")

// machineReader reads what wazero serialized, and maps the machine code instead of reading it.
type machineReader struct {
	*cached
	at int
}

func (r *machineReader) Read(p []byte) (int, error) {
	rest := r.data[r.at:]
	n := min(len(p), len(rest))
	if n == 0 {
		return 0, io.EOF
	}
	if n >= alignment && overlay(p[:n], r.file, int64(r.at), executable) {
		r.text = p[:n]
	} else {
		copy(p, rest)
	}
	r.at += n
	return n, nil
}

func (r *machineReader) Close() error { return nil }

// beforeText reads what wazero serializes before the machine code itself: a magic word, its version, where each
// function begins, the length of the code. Were that wrong, the code would not be aligned and would be copied.
func beforeText(machine io.Reader) (_ []byte, err error) {
	var b bytes.Buffer
	next := func(n int64) (last [4]byte) {
		if err == nil {
			_, err = io.CopyN(&b, machine, n)
		}
		if err == nil {
			copy(last[:], b.Bytes()[b.Len()-4:])
		}
		return last
	}
	version := next(int64(len("WAZEVO") + 1))[3]
	functions := next(int64(version) + 4)
	next(8*int64(binary.LittleEndian.Uint32(functions[:])) + 8)
	return b.Bytes(), err
}
