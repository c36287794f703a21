//go:build !linux

package port

import (
	"errors"
	"fmt"
)

var (
	errTaken    = errors.New("the port is taken")
	errPlatform = fmt.Errorf("leasing ports works on Linux only: %w", errors.ErrUnsupported)
)

type socket struct{}

func (s *socket) close() error { return nil }

func bind(int) (*socket, error) { return nil, errPlatform }

func bindBesideRemains(int) (*socket, error) { return nil, errPlatform }

func listened(int) (bool, error) { return false, errPlatform }

func isShortage(error) bool { return false }
