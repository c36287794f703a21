//go:build !linux

package main

import (
	"errors"
	"io"
	"os"
)

// Elsewhere files are read, and memory is wazero's own.
const mappable, executable, writable = false, 0, 0

func view(f *os.File, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(f, b)
	return b, err
}

func overlay([]byte, *os.File, int64, int) bool { return false }
func unload([]byte)                             {}
func reserve(int) ([]byte, error)               { return nil, errors.ErrUnsupported }
func use([]byte) error                          { return errors.ErrUnsupported }
func forget([]byte) error                       { return nil }
