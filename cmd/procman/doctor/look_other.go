//go:build !linux

package doctor

import (
	"context"
	"errors"
)

var errUnsupported = errors.New("procman's process layer needs Linux, and so does an examination of the host")

// Look returns an error.
func Look(context.Context, Options) (Facts, error) { return Facts{}, errUnsupported }

// LookAdoption returns an error.
func LookAdoption(context.Context, int) (Facts, error) { return Facts{}, errUnsupported }
