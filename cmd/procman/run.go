package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"procman/supervisor/config"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Be the daemon, in the foreground",
		Long: `Be the daemon, in the foreground. It logs to stderr.

TERM and INT end it as on_shutdown in the configuration says; a second one at once, without touching the instances. HUP
has the configuration read again. QUIT ends it with a stack dump. However it ends, the next daemon finds what still runs.

Under systemd it says when it is ready, what it reloads, that it is alive, and how its instances are; a unit for it must have
KillMode=process, or systemd ends the instances with it.`,
		Example: `  procman run                                      # the configuration is looked for
  procman run -c /etc/procman/procman.yaml
  PROCMAN_CONFIG=apps.yaml procman run 2>>procman.log &`,
		Args: usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.run() },
	}
}

// load finds the configuration and reads it.
func (a *app) load() (path string, file *config.File, err error) {
	if path, err = config.Find(a.config); err != nil {
		return "", nil, err
	}
	if file, err = config.Load(path); err != nil {
		return "", nil, fmt.Errorf("the configuration is broken:\n%w", err)
	}
	return path, file, nil
}

func (a *app) run() error {
	path, file, err := a.load()
	if err != nil {
		return err
	}
	if a.socket != "" {
		file.Socket = a.socket
	}
	defer keepFromPipe()()
	lock, err := inherited(a.env)
	if err != nil {
		return err
	}
	left := heritage{lock: lock, stored: stored(a.env)}
	if err := left.learnNames(a.env); err != nil {
		return err
	}
	left.manager = newCourier(a.env)
	for {
		program, kept, err := a.reign(path, file, &left)
		if program == "" {
			left.manager.Close(lastWords(err))
			return err
		}
		left.manager.Flush(lastWords(nil))
		// Still the old program: it goes on, and adopts what it has just let go.
		fmt.Fprintf(failures(a.stderr), "procman: the upgrade has failed, the daemon goes on as it was: %v\n", replace(program, kept, left.store))
		left.lock, left.renew = kept, false
		left.stored = nameless(left.store.kept())
	}
}

// reign is one life of the daemon, from the first part opened to the last one closed. If it ends in favour of another
// program, that is returned with the lock for it.
func (a *app) reign(path string, file *config.File, left *heritage) (program string, kept *os.File, err error) {
	signals, release := catch()
	defer release()
	log := newLog(a.stderr, file.Log, a.verbose, a.quiet)
	defer log.Close()
	left.store = newFDStore(left.manager, slices.Collect(maps.Keys(left.stored)), left.renew, log.Logger)
	d, err := open(path, file, log, *left)
	if err != nil {
		return "", nil, err
	}
	err = d.live(signals)
	if errors.Is(err, errAbandoned) {
		return "", nil, err
	}
	if err == nil && d.successor != "" {
		if kept, err = d.spawner.Handover(); err == nil {
			program = d.successor
		}
	}
	release() // from here on a signal ends the daemon at once
	if closeErr := d.close(); program == "" {
		err = errors.Join(err, closeErr)
	}
	return program, kept, err
}

// lastWords is how long the service manager may take to read what is left to be said. A daemon that is told to end a
// third time waits for nobody.
func lastWords(err error) time.Duration {
	if errors.Is(err, errAbandoned) {
		return 0
	}
	return 10 * time.Second
}

// learnNames learns what the service manager keeps, if a predecessor in this process knew it and this process has not
// been given it.
func (h *heritage) learnNames(env func(string) string) error {
	names, known, err := bequeathed(env)
	if err != nil {
		return err
	}
	h.renew = h.lock != nil && !known
	if known {
		h.stored = nameless(names)
	}
	return nil
}

func nameless(names []string) map[string]*os.File {
	files := make(map[string]*os.File, len(names))
	for _, name := range names {
		files[name] = nil
	}
	return files
}
