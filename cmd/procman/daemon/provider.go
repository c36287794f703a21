package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"procman/actors/output"
	"procman/actors/port"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/config"
)

// provider is the configuration's, and warns of keys that were changed and that only a new daemon takes up.
type provider struct {
	*config.Provider
	log       *slog.Logger
	inUse     *config.File // without its instances
	secrets   Secrets
	forget    func() error
	renewal   *renewal
	pendingIO *PendingIO
	mu        sync.Mutex
	warned    []string
	blind     string      // see warnOfEnv
	wrong     string      // see fault
	unread    atomic.Bool // the last good configuration comes into force, and the file is asked then
	ports     *port.Ports // nil: none yet
	leased    config.Ports
	outputs   *output.Outputs // nil: none yet
	total     int64           // of what they keep
}

var (
	_ supervisor.Notifier = (*provider)(nil)
	_ supervisor.Sharer   = (*provider)(nil)
)

// newProvider keeps what it knows of secrets in the state directory, which this daemon has locked.
// It begins with the file that was loaded, if what is on disk is broken.
func newProvider(path string, dir messages.StateDir, loaded *config.File, log *slog.Logger) (*provider, error) {
	draft := ""
	if g, err := readLastGood(dir); err == nil { // what is wrong with it is told where it is needed
		draft = g.Draft
	}
	inner, err := config.NewProvider(path, config.ProviderOptions{Logger: log, LastGood: loaded, Draft: draft,
		StartFaults: true})
	if err != nil {
		return nil, err
	}
	p := &provider{Provider: inner, log: log, inUse: inner.File().Settings(), renewal: newRenewal(log, renewPause)}
	p.unread.Store(inner.Snapshot().Path == "")
	p.forget = p.secrets.keep(dir, log)
	p.secrets.Learn(inner.File().Instances)
	return p, nil
}

// Close ends the watch of the file.
func (p *provider) Close() error { return errors.Join(p.Provider.Close(), p.forget()) }

// AppInstances is Shared for who may change what is returned.
func (p *provider) AppInstances(ctx context.Context) ([]messages.AppInstance, error) {
	shared, err := p.Shared(ctx)
	if err != nil {
		return nil, err
	}
	return messages.Clones(shared), nil
}

// Shared returns what the file wants to run now.
func (p *provider) Shared(ctx context.Context) ([]*messages.AppInstance, error) {
	done := p.pendingIO.Begin("the configuration " + p.inUse.Path)
	list, err := p.Provider.Shared(ctx)
	done()
	p.note(err)
	if err != nil {
		return nil, err
	}
	p.secrets.Learn(list)
	keys := p.pending()
	p.warnOfEnv(list)
	p.renewal.list(list)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lease(p.File().Ports)
	p.keep(p.File().Output.Total)
	if len(keys) > 0 && !slices.Equal(keys, p.warned) {
		p.log.Warn("some changed keys take effect in a new daemon only", "keys", strings.Join(keys, ", "),
			"help", HowToApply(keys...)+": no instance restarts")
	}
	p.warned = keys
	return list, nil
}

// warnOfEnv says which instances could not be started, once.
func (p *provider) warnOfEnv(list []*messages.AppInstance) {
	var faults []string
	for _, app := range list {
		if app.EnvFault != "" {
			faults = append(faults, string(app.InstanceID)+": "+app.EnvFault)
		}
	}
	text := strings.Join(faults, "\n")
	p.mu.Lock()
	defer p.mu.Unlock()
	if text != "" && text != p.blind {
		p.log.Warn("some instances cannot be started: their env_file cannot be used", "instances", faults,
			"consequence", "what runs is left as it is; the rest of the list is in force")
	}
	p.blind = text
}

// reconciled hears that a list is in force. Once that of the last good configuration is, the file is asked: what is
// wrong with it is told then, as it always is, and is the newest that is known of it.
func (p *provider) reconciled(messages.Reconciled) {
	if p.unread.Swap(false) {
		p.Notify()
	}
}

func (p *provider) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = text
}

// fault is why the configuration on disk is not in force; empty: it is.
func (p *provider) fault() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong
}

// pending returns the keys that were changed and that only a new daemon takes up.
func (p *provider) pending() []string { return config.RestartNeeded(p.inUse, p.File()) }

// leaseFrom gives the provider the table of ports that what the file says of them is told to.
func (p *provider) leaseFrom(ports *port.Ports, by config.Ports) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ports, p.leased = ports, by
}

// leasing is how ports are leased now.
func (p *provider) leasing() config.Ports {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leased
}

// lease has ports leased in another way from now on, if it is another.
func (p *provider) lease(by config.Ports) {
	if p.ports == nil || by == p.leased {
		return
	}
	if err := p.ports.Change(by.First, by.Last, by.Hold); err != nil {
		p.log.Error("ports are leased as before", "error", err.Error())
		return
	}
	p.log.Info("ports are leased anew from now on", "first", by.First, "last", by.Last, "hold", by.Hold,
		"help", "what runs keeps its port until its next start")
	p.leased = by
	warnOfOverlap(p.log, by)
}

// keepFrom gives the provider the output that what the file says of its total is told to.
func (p *provider) keepFrom(outputs *output.Outputs, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outputs, p.total = outputs, total
}

// keep has all output files keep so many bytes from now on, if that is another number.
func (p *provider) keep(total int64) {
	if p.outputs == nil || total == p.total {
		return
	}
	if err := p.outputs.SetTotal(total); err != nil {
		p.log.Error("output is kept as before", "error", err.Error())
		return
	}
	p.log.Info("output.total is another from now on", "bytes", total, "help", "0: there is none")
	p.total = total
}

func warnOfOverlap(log *slog.Logger, ports config.Ports) {
	if warning, overlaps := port.Overlap(ports.First, ports.Last); overlaps {
		log.Warn("port range", "warning", warning)
	}
}
