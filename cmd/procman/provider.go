package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/config"
)

// provider is the configuration's, and warns of keys that were changed and that only a new daemon takes up.
type provider struct {
	*config.Provider
	log     *slog.Logger
	inUse   *config.File
	secrets secrets
	forget  func() error
	mu      sync.Mutex
	warned  []string
}

var _ supervisor.Notifier = (*provider)(nil)

// newProvider keeps what it knows of secrets in the state directory, which this daemon has locked.
func newProvider(path string, dir messages.StateDir, log *slog.Logger) (*provider, error) {
	inner, err := config.NewProvider(path, config.ProviderOptions{Logger: log})
	if err != nil {
		return nil, err
	}
	p := &provider{Provider: inner, log: log, inUse: inner.File()}
	p.forget = p.secrets.keep(dir, log)
	p.secrets.learn(p.inUse.Instances)
	return p, nil
}

// Close ends the watch of the file.
func (p *provider) Close() error { return errors.Join(p.Provider.Close(), p.forget()) }

// AppInstances returns what the file wants to run now.
func (p *provider) AppInstances(ctx context.Context) ([]messages.AppInstance, error) {
	list, err := p.Provider.AppInstances(ctx)
	if err != nil {
		return nil, err
	}
	p.secrets.learn(list)
	keys := config.RestartNeeded(p.inUse, p.File())
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(keys) > 0 && !slices.Equal(keys, p.warned) {
		p.log.Warn("some changed keys take effect in a new daemon only", "keys", strings.Join(keys, ", "),
			"help", "`procman detach` and `procman run` make a new daemon of this one; no instance is restarted")
	}
	p.warned = keys
	return list, nil
}
