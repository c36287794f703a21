// Command procman keeps a declared list of application instances running on this host. It is the daemon (`procman
// run`), see package daemon, and the command line that speaks to it, see package cli.
package main

import (
	"os"

	"procman/cmd/procman/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr, os.Getenv, nil)) }
