package main

// colours reports whether the answer may be coloured.
func (a *app) colours() bool {
	return !a.noColor && a.env("TERM") != "dumb" && isTerminal(a.stdout)
}
