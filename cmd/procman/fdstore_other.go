//go:build !linux

package main

import (
	"os"

	"procman/actors/spawn"
)

// There is a descriptor store on Linux only.
func newFDStore(notifySocket, bool) spawn.FDStore { return nil }

func stored(func(string) string) map[string]*os.File { return nil }
