package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// fleetProgram is the daemon of a host that is in a fleet: this one, with the store of a fleet. It is a program of its
// own, so that what it is linked with costs no other host anything.
const fleetProgram = "procman-fleet"

// errNoStore says that this program cannot reach the store of a fleet.
var errNoStore = errors.New("the configuration has `fleet:`, and this program has no part of etcd's client")

// FleetProgram returns the path of the program that has the store of a fleet: beside this one, or in PATH. The error
// says where to put it.
func FleetProgram() (string, error) {
	running, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoStore, err)
	}
	if filepath.Base(running) == fleetProgram {
		return "", fmt.Errorf("%w, though it is called %s: put the one that was built of cmd/%[2]s there", errNoStore,
			fleetProgram)
	}
	program := filepath.Join(filepath.Dir(running), fleetProgram)
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath(fleetProgram); err != nil {
			return "", fmt.Errorf("%w: put %s beside %s, or into PATH; `go build -o %s/ ./cmd/...` makes both",
				errNoStore, fleetProgram, running, filepath.Dir(running))
		}
	}
	return program, nil
}

// toFleet puts the program that has the store of a fleet in the place of this one, which has touched nothing. It is
// told more, in its environment. It returns only if that fails.
func (o *Options) toFleet(more []string, e signals) error {
	program, err := FleetProgram()
	if err != nil {
		return err
	}
	err = execute(program, append([]string{program}, os.Args[1:]...), append(os.Environ(), more...), e)
	return fmt.Errorf("%s cannot be executed: %w", program, err)
}
