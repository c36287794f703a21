package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	"procman/cmd/procman/daemon"
	"procman/cmd/procman/doctor"
	"procman/supervisor/config"
)

// storeCommand is what the doctor has the program of a fleet do: it asks the store. It is of no use to people.
const storeCommand = "examine-store"

// storePatience is how long the store is asked.
const storePatience = 5 * time.Second

// asked is what storeCommand prints.
type asked struct {
	Servers []server `json:"servers"`
	Error   string   `json:"error,omitempty"` // of a read; empty: the fleet can be read
}

type server struct {
	Server  string  `json:"server"`
	Version string  `json:"version,omitempty"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
	Advice  string  `json:"advice,omitempty"`
}

// examineStore is storeCommand: its argument is the fleet's part of a configuration, as JSON.
func examineStore(args []string, open daemon.FleetStore, stdout, stderr io.Writer) int {
	var f config.Fleet
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &f) != nil {
		fmt.Fprintln(stderr, "procman: "+storeCommand+" is for the doctor")
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(context.Background(), storePatience)
	defer cancel()
	if err := writeDocument(stdout, askStore(ctx, f, open)); err != nil {
		return exitFailed
	}
	return 0
}

// askStore asks every server who it is, and the store for this host's key.
func askStore(ctx context.Context, f config.Fleet, open daemon.FleetStore) (a asked) {
	s, err := open(f, slog.New(slog.DiscardHandler))
	if err != nil {
		a.Error = err.Error()
		return a
	}
	defer s.Close()
	examining, cancel := context.WithTimeout(ctx, storePatience/2)
	defer cancel()
	for _, x := range daemon.ExamineStore(examining, s) {
		one := server{Server: x.Server, Version: x.Version, Seconds: x.Took.Seconds(), Advice: x.Advice}
		if x.Err != nil {
			one.Error = x.Err.Error()
		}
		a.Servers = append(a.Servers, one)
	}
	if err := daemon.ReadStore(ctx, s, f); err != nil {
		a.Error = err.Error()
	}
	return a
}

// storeFacts has the store asked by this program, or by the one that has a part in fleets.
func storeFacts(ctx context.Context, f config.Fleet, open daemon.FleetStore) doctor.Store {
	if open != nil {
		ctx, cancel := context.WithTimeout(ctx, storePatience)
		defer cancel()
		return askStore(ctx, f, open).facts()
	}
	program, err := daemon.FleetProgram()
	if err != nil {
		return doctor.Store{Missing: err}
	}
	part, err := json.Marshal(f)
	if err != nil {
		return doctor.Store{Missing: err}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*storePatience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, program, storeCommand, string(part))
	c.Stdout, c.Stderr = &stdout, &stderr
	err = c.Run()
	var a asked
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), &a)
	}
	if err != nil {
		return doctor.Store{Missing: fmt.Errorf("%s cannot ask the store: %w: %s", program,
			err, strings.TrimSpace(stderr.String()))}
	}
	return a.facts()
}

func (a asked) facts() doctor.Store {
	s := doctor.Store{Asked: true}
	if a.Error != "" {
		s.Err = errors.New(a.Error)
	}
	for _, x := range a.Servers {
		one := doctor.Server{Name: x.Server, Version: x.Version, Took: time.Duration(x.Seconds * float64(time.Second)),
			Advice: x.Advice}
		if x.Error != "" {
			one.Err = errors.New(x.Error)
		}
		s.Servers = append(s.Servers, one)
	}
	return s
}
