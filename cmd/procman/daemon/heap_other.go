//go:build !linux

package daemon

func letGoOfProgram() {}
