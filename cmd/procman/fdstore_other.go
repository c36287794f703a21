//go:build !linux

package main

import (
	"log/slog"
	"os"

	"procman/actors/spawn"
)

// fdStore is there on Linux only.
type fdStore struct{}

func newFDStore(*courier, []string, bool, *slog.Logger) *fdStore { return nil }

func (*fdStore) spawner() spawn.FDStore { return nil }

func (*fdStore) kept() []string { return nil }

func (*fdStore) bequeath() (string, func(), error) { return "", func() {}, nil }

func stored(func(string) string) map[string]*os.File { return nil }

func bequeathed(func(string) string) ([]string, bool, error) { return nil, false, nil }
