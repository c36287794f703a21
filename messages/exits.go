package messages

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// WordList is a list of words in one text, with a blank between each two: of a type that == compares, as a policy has
// to be.
type WordList string

// Words returns them.
func (l WordList) Words() []string { return strings.Fields(string(l)) }

// String is the list as a configuration has it: [0, TERM].
func (l WordList) String() string { return "[" + strings.Join(l.Words(), ", ") + "]" }

// HasExit reports whether the list names the way in which a process ended: its exit code, or the signal that ended it,
// with or without SIG before it. An exit that is not known is in no list.
func (l WordList) HasExit(e Exit) bool {
	switch {
	case !e.Known:
		return false
	case e.Signal != "":
		return slices.ContainsFunc(l.Words(), func(word string) bool { return signalOf(word) == e.Signal })
	}
	return slices.Contains(l.Words(), strconv.Itoa(e.Code))
}

// signals are the names of the signals of Linux, without SIG; RTMIN+1 to RTMIN+30 are beside them.
const signals = " HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP " +
	"TTIN TTOU " +
	"URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS RTMIN "

// signalOf returns the signal that a word names, as [Exit.Signal] has it; empty: it names none.
func signalOf(word string) string {
	name := strings.TrimPrefix(word, "SIG")
	if name == "RTMAX" {
		return "RTMIN+30"
	}
	if after, is := strings.CutPrefix(name, "RTMIN+"); is {
		if n, err := strconv.Atoi(after); err != nil || n < 1 || n > 30 || strconv.Itoa(n) != after {
			return ""
		}
		return name
	}
	if name == "" || !strings.Contains(signals, " "+name+" ") {
		return ""
	}
	return name
}

// someWord is the limit of a list that is not to be empty.
var someWord = []Limit{Must(func(l WordList) string {
	return when(l == "",
		"leave it out for the default, or name at least one")
}, map[string]any{"minItems": 1})}

// exits is the limit of a list of exit codes and signals.
var exits = []Limit{Must(func(l WordList) string {
	for _, word := range l.Words() {
		if n, err := strconv.Atoi(word); err == nil && n >= 0 && n <= 255 && strconv.Itoa(n) == word ||
			signalOf(word) != "" {
			continue
		}
		return fmt.Sprintf("%.40q is neither an exit code, from 0 to 255, nor the name of a signal such as TERM", word)
	}
	return ""
}, nil)}

// The files of which a change can restart an instance.
const (
	ExecutableFile = "executable"
	WasmFile       = "wasm"
	// what it says is part of what runs: a change of that restarts the instance, whether it is listed here or not
	EnvFile = "env_file"
)

// changeable is the limit of a list of such files.
var changeable = []Limit{Must(func(l WordList) string {
	known := []string{ExecutableFile, WasmFile, EnvFile}
	for _, word := range l.Words() {
		if !slices.Contains(known, word) {
			return fmt.Sprintf("%.40q is no file of an instance; there are %s", word, Alternatives(known))
		}
	}
	return ""
}, nil)}

// Has reports whether the word is in the list.
func (l WordList) Has(word string) bool { return slices.Contains(l.Words(), word) }
