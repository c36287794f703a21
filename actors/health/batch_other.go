//go:build !linux

package health

import "procman/messages"

// batch is never made: elsewhere each probe has a goroutine of its own.
type batch struct{}

type flight struct{}

func newBatch(*Checker, int) *batch { return nil }

func (*batch) flight(messages.Target, func(messages.Probe)) *flight { return nil }

func (*batch) begin(*flight) {}

func (*flight) cancel() {}
