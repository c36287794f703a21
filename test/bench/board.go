package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// slot is what a payload notes of itself; testdata/payload.c has the same. Times are nanoseconds of CLOCK_MONOTONIC.
type slot struct {
	pid       atomic.Uint64
	runs      atomic.Uint64 // how often a payload has begun in this slot
	began     atomic.Uint64 // at its first instruction
	listening atomic.Uint64 // when it could be connected to; 0 before
	written   atomic.Uint64 // bytes, with -flood
	writing   atomic.Uint64 // nanoseconds in which it wrote them
	_         [2]uint64
}

// board is a file in which every payload has a slot. The payloads say there themselves when they run, so that whoever
// measures need not ask them, and takes no processor from what is measured.
type board struct {
	path  string
	slots []slot
	bytes []byte
}

func newBoard(path string, slots int) (*board, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := slots * int(unsafe.Sizeof(slot{}))
	if err := f.Truncate(int64(size)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	bytes, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &board{path: path, bytes: bytes, slots: unsafe.Slice((*slot)(unsafe.Pointer(&bytes[0])), slots)}, nil
}

func (b *board) close() error {
	b.slots = nil
	return syscall.Munmap(b.bytes)
}

// listening returns when the last of those from first to before end began to listen, and whether all do.
func (b *board) listening(first, end int) (last int64, all bool) {
	for i := first; i < end; i++ {
		at := b.slots[i].listening.Load()
		if at == 0 {
			return 0, false
		}
		last = max(last, int64(at))
	}
	return last, true
}

// runs returns how often payloads have begun in the first n slots.
func (b *board) runs(n int) (total int) {
	for i := range n {
		total += int(b.slots[i].runs.Load())
	}
	return total
}
