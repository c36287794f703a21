package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"procman/supervisor/config"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Be the daemon, in the foreground",
		Long: `Be the daemon, in the foreground. It logs to stderr.

TERM and INT end it as on_shutdown in the configuration says; a second one at once, without touching the instances. HUP
has the configuration read again. QUIT ends it with a stack dump. However it ends, the next daemon finds what still runs.`,
		Args: usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.run() },
	}
}

func (a *app) run() error {
	path, err := config.Find(a.config)
	if err != nil {
		return err
	}
	file, err := config.Load(path)
	if err != nil {
		return fmt.Errorf("the configuration is broken:\n%w", err)
	}
	if a.socket != "" {
		file.Socket = a.socket
	}
	defer keepFromPipe()()
	signals, release := catch()
	defer release()
	log := newLog(a.stderr, file.Log, a.verbose, a.quiet)
	defer log.Close()
	d, err := open(path, file, log)
	if err != nil {
		return err
	}
	err = d.live(signals)
	if errors.Is(err, errAbandoned) {
		return err
	}
	release() // from here on a signal ends the daemon at once
	return errors.Join(err, d.close())
}
