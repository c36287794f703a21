package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// Propose reads a configuration and all that it names, for a daemon that opens none of it.
func Propose(path string) (api.Proposal, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return api.Proposal{}, err
	}
	text, err := config.Read(whole)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `procman init %s` writes an example there", err, messages.ShellWord(path))
	}
	if err != nil {
		return api.Proposal{}, err
	}
	p := api.Proposal{Config: whole, Files: map[string]api.ProposedFile{}, Dirs: map[string]api.ProposedDir{}}
	host := config.ThisHost()
	readFile, readDir := host.ReadFile, host.ReadDir
	host.ReadFile = func(path string) ([]byte, error) {
		text, err := readFile(path)
		p.Files[path] = api.ProposedFile{Text: text, Error: bare(err), Missing: errors.Is(err, fs.ErrNotExist)}
		return text, err
	}
	host.ReadDir = func(path string) ([]string, error) {
		names, err := readDir(path)
		p.Dirs[path] = api.ProposedDir{Names: names, Error: bare(err), Missing: errors.Is(err, fs.ErrNotExist)}
		return names, err
	}
	// What is wrong with it is found, and told, by the daemon: with its own environment.
	_, _ = config.Parse(whole, text, host)
	p.Files[whole] = api.ProposedFile{Text: text}
	return p, nil
}

// bare is an error without the path that it is about.
func bare(err error) string {
	var at *fs.PathError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &at):
		return at.Err.Error()
	}
	return err.Error()
}

// proposed is the host of a proposal: it has the files that were sent, and no others.
func proposed(p api.Proposal) config.Host {
	failed := func(path, why string, missing bool) error {
		err := errors.New(why)
		if missing {
			err = fs.ErrNotExist
		}
		return &fs.PathError{Op: "read", Path: path, Err: err}
	}
	h := config.DaemonHost()
	h.ReadFile = func(path string) ([]byte, error) {
		f, sent := p.Files[path]
		switch {
		case !sent:
			return nil, failed(path, "it was not sent with the configuration", false)
		case f.Error != "":
			return nil, failed(path, f.Error, f.Missing)
		}
		return f.Text, nil
	}
	h.ReadDir = func(path string) ([]string, error) {
		d, sent := p.Dirs[path]
		switch {
		case !sent:
			return nil, failed(path, "it was not sent with the configuration", false)
		case d.Error != "":
			return nil, failed(path, d.Error, d.Missing)
		}
		return d.Names, nil
	}
	return h
}

// plan compares a configuration with what the daemon runs by; nil is its own file.
func (d *daemon) plan(_ context.Context, p *api.Proposal) (api.Plan, error) {
	inUse := d.provider.inUse
	path, host := inUse.Path, config.DaemonHost()
	if p != nil {
		path, host = p.Config, proposed(*p)
	}
	text, err := host.ReadFile(path)
	if err != nil {
		return api.Plan{}, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	file, err := config.Parse(path, text, host)
	if err != nil {
		return api.Plan{}, err
	}
	changes, err := d.supervisor.Preview(file.Instances)
	if err != nil {
		return api.Plan{}, err
	}
	daemon := config.RestartNeeded(inUse, file)
	if daemon == nil {
		daemon = []string{}
	}
	live := []string{}
	if file.Ports != d.provider.leasing() {
		live = append(live, "ports")
	}
	return api.Plan{Config: path, Changes: changes, Live: live, Daemon: daemon}, nil
}

// HowToApply says how a changed key comes into force without a restart of any instance. What runs is known by the
// records in the state directory: they have to come with it. An upgrade keeps the process, and with it the service that
// it may be; but whoever waits for its answer looks for the socket.
func HowToApply(keys ...string) string {
	const started = "then `procman run` (a service: `systemctl start`)"
	switch {
	case slices.Contains(keys, "state_dir"):
		return "`procman detach`, then `mv` the state directory to where state_dir says, " + started
	case slices.Contains(keys, "socket"):
		return "`procman detach`, " + started
	}
	return "`procman upgrade`"
}
