//go:build !linux

package daemon

func LetGoOfProgram() {}
