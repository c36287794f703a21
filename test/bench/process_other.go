//go:build !linux

package main

import (
	"errors"
	"time"
)

func now() int64 { return time.Now().UnixNano() }

func cpu(int) (float64, error) { return 0, errors.ErrUnsupported }

func (*family) adoptOrphans() (end func(), err error) { return nil, errors.ErrUnsupported }

func raiseFiles(uint64) error { return errors.ErrUnsupported }

func mostFiles() (uint64, error) { return 0, errors.ErrUnsupported }
