//go:build !linux

package systemd

import (
	"log/slog"
	"os"

	"procman/actors/spawn"
)

// FDStore is there on Linux only.
type FDStore struct{}

func NewFDStore(*Queue, []string, bool, *slog.Logger) *FDStore { return nil }

func (*FDStore) ForSpawner() spawn.FDStore { return nil }

func (*FDStore) Kept() []string { return nil }

func (*FDStore) Bequeath() (string, func(), error) { return "", func() {}, nil }

func Stored(func(string) string) map[string]*os.File { return nil }

func Bequeathed(func(string) string) ([]string, bool, error) { return nil, false, nil }
