package main

import (
	"errors"

	"github.com/tetratelabs/wazero/experimental"
)

// memory is the memory of an instance. It begins as the entry's image, of which only those pages are its own to which
// it writes, grows in its place and is given back at once when the instance ends.
type memory struct{ reserved []byte }

// newMemory reserves the address space for the largest memory, and makes what the module has at first.
func (e *cached) newMemory(most int) (*memory, error) {
	reserved, err := reserve(most)
	if err != nil {
		return nil, err
	}
	m := &memory{reserved: reserved}
	image := reserved[:e.ImageTo-e.ImageFrom]
	if m.Reallocate(e.Memory) == nil || len(image) > 0 && !overlay(image, e.file, int64(e.ImageFrom), writable) {
		m.Free()
		return nil, errors.New("there is no memory for it")
	}
	return m, nil
}

// Allocate gives it to wazero.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate makes it grow. nil tells the module that it cannot.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) || use(m.reserved[:size]) != nil {
		return nil
	}
	return m.reserved[:size]
}

// Free may be called more than once.
func (m *memory) Free() {
	if m.reserved != nil {
		_ = forget(m.reserved) // refused: it stays
		m.reserved = nil
	}
}
