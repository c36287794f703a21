package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"procman/supervisor/api"
	"procman/supervisor/config"
)

// listeners are the addresses at which the daemon is spoken to. Whoever serves one may close it, too.
type listeners struct {
	socket   net.Listener
	remote   net.Listener // the API over TCP; nil: there is none
	metrics  net.Listener // nil: there is none
	scraping net.Listener // the metrics' own socket; nil: there is none
	readers  *int         // the group that may read on the socket; nil: there is none
	scrapers *int         // the group that may use scraping; nil: there is none
}

// socketPatience is how long the socket of a daemon is waited for that has ended, as its lock was.
const socketPatience = time.Second

// openListeners binds all that the configuration asks for, or none. A daemon that takes over from another has instances
// to watch, and must not end because somebody else has an address meanwhile: it goes on without those that it cannot
// have, which are nil.
func openListeners(file *config.File, log log, takesOver bool) (d listeners, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.readers, err = groupOf("api.read_group", file.API.ReadGroup); err != nil && !takesOver {
		return d, err
	}
	if d.scrapers, err = groupOf("metrics.group", file.Metrics.Group); err != nil && !takesOver {
		return d, err
	}
	// The state directory is locked: who answers there is on its way out, or has it from another configuration.
	for late := time.Now().Add(socketPatience); ; time.Sleep(10 * time.Millisecond) {
		if d.socket, err = api.ListenFor(file.Socket, d.readers); !errors.Is(err, api.ErrSocketInUse) ||
			time.Now().After(late) {
			break
		}
	}
	without := func(what string) bool {
		if err != nil && takesOver {
			log.Error("an address cannot be had; supervision goes on without it, and it is tried again", "address",
				what, "error", err.Error())
			err = nil
			return true
		}
		return false
	}
	if without(file.Socket) {
		d.socket = nil
	}
	if err != nil {
		return d, err
	}
	if file.API.Listen != "" {
		if d.remote, err = net.Listen("tcp", file.API.Listen); err != nil && !without(file.API.Listen) {
			return d, fmt.Errorf("api.listen cannot be had; choose another address, or none: %w", err)
		}
	}
	if file.Metrics.Listen != "" {
		if d.metrics, err = net.Listen("tcp", file.Metrics.Listen); err != nil && !without(file.Metrics.Listen) {
			return d, fmt.Errorf("metrics.listen cannot be had; choose another address, or none: %w", err)
		}
	}
	if file.Metrics.Socket != "" {
		if d.scraping, err = api.ListenFor(file.Metrics.Socket, d.scrapers); err != nil &&
			!without(file.Metrics.Socket) {
			return d, fmt.Errorf("metrics.socket cannot be had; choose another path, or none: %w", err)
		}
	}
	if d.metrics != nil {
		if a, is := d.metrics.Addr().(*net.TCPAddr); is && !a.IP.IsLoopback() {
			log.Warn("the metrics are open to the network, and nobody is asked who he is", "key", "metrics.listen",
				"address", a.String())
		}
	}
	return d, nil
}

// groupOf returns the number of the group that a key names; nil: it names none.
func groupOf(key, name string) (*int, error) {
	if name == "" {
		return nil, nil
	}
	id, err := config.GroupID(name)
	if err != nil {
		return nil, fmt.Errorf("%s is %q: %w", key, name, err)
	}
	return &id, nil
}

// listenLater listens at an address as soon as that can be had. It returns nil when ctx ends before.
func (d *daemon) listenLater(ctx context.Context, key, address string) net.Listener {
	again := time.NewTicker(SocketEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
		if l, err := net.Listen("tcp", address); err == nil {
			d.log.Info("an address is had again", "key", key, "address", address)
			return l
		}
	}
}

// serveRemote answers on a listener until the server ends.
func (d *daemon) serveRemote(l net.Listener, file *config.File) {
	name, _, _ := net.SplitHostPort(file.API.Listen) // it has been listened on
	d.serving.Go(func() {
		d.served <- d.server.ServeTCP(l, name, api.Tokens{Full: file.API.Token, Read: file.API.ReadToken})
	})
}

// Close closes those that nobody has closed yet.
func (d listeners) Close() error {
	var errs []error
	for _, l := range []net.Listener{d.metrics, d.scraping, d.remote, d.socket} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
