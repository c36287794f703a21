package cli

// colours reports whether the answer may be coloured.
func (a *app) colours() bool {
	return !a.noColor && a.Env("TERM") != "dumb" && isTerminal(a.Stdout)
}
