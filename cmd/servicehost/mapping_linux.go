package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mapped, a part of a file is in memory once for all processes, and only if it is used.
const (
	mappable   = true
	executable = unix.PROT_READ | unix.PROT_EXEC
	writable   = unix.PROT_READ | unix.PROT_WRITE
)

// view is the content of the file, to be read only.
func view(f *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
}

// overlay puts a part of the file in the place of mapped pages. What is written to them is not written to the file.
func overlay(pages []byte, f *os.File, from int64, protection int) bool {
	address := unsafe.Pointer(unsafe.SliceData(pages))
	if page := unix.Getpagesize(); uintptr(address)%uintptr(page) != 0 || from%int64(page) != 0 {
		return false
	}
	_, err := unix.MmapPtr(int(f.Fd()), from, address, uintptr(len(pages)), protection, unix.MAP_PRIVATE|unix.MAP_FIXED)
	return err == nil
}

// unload gives back what of a file has been loaded. It is loaded again when it is used.
func unload(b []byte) {
	if len(b) > 0 {
		_ = unix.Madvise(b, unix.MADV_DONTNEED) // refused: it stays
	}
}

// reserve takes addresses. There is memory behind them after use.
func reserve(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
}

func use(b []byte) error { return unix.Mprotect(b, writable) }

// forget ends a view or a reservation.
func forget(b []byte) error { return unix.Munmap(b) }
