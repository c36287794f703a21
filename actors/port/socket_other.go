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

func bindBesideRemains(int, func(fd, port int) (bool, error)) (*socket, error) {
	return nil, errPlatform
}
func soleSocket(int, int) (bool, error) { return false, errPlatform }

func listened(int) (bool, error) { return false, errPlatform }

func isShortage(error) bool { return false }
