package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"procman/supervisor/api"
	"procman/supervisor/config"
)

// doors are the addresses at which the daemon is spoken to. Whoever serves one may close it, too.
type doors struct {
	socket  net.Listener
	remote  net.Listener // the API over TCP; nil: there is none
	metrics net.Listener // nil: there is none
}

// socketPatience is how long the socket of a daemon is waited for that has ended, as its lock was.
const socketPatience = time.Second

// openDoors binds all that the configuration asks for, or none.
func openDoors(file *config.File, log log) (d doors, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	// The state directory is locked: who answers there is on its way out, or has it from another configuration.
	for late := time.Now().Add(socketPatience); ; time.Sleep(10 * time.Millisecond) {
		if d.socket, err = api.Listen(file.Socket); !errors.Is(err, api.ErrSocketInUse) || time.Now().After(late) {
			break
		}
	}
	if err != nil {
		return d, err
	}
	if file.API.Listen != "" {
		if d.remote, err = net.Listen("tcp", file.API.Listen); err != nil {
			return d, fmt.Errorf("api.listen cannot be had; choose another address, or none: %w", err)
		}
	}
	if file.Metrics.Listen != "" {
		if d.metrics, err = net.Listen("tcp", file.Metrics.Listen); err != nil {
			return d, fmt.Errorf("metrics.listen cannot be had; choose another address, or none: %w", err)
		}
		if a, is := d.metrics.Addr().(*net.TCPAddr); is && !a.IP.IsLoopback() {
			log.Warn("the metrics are open to the network, and nobody is asked who he is", "key", "metrics.listen", "address", a.String())
		}
	}
	return d, nil
}

// Close closes those that nobody has closed yet.
func (d doors) Close() error {
	var errs []error
	for _, l := range []net.Listener{d.metrics, d.remote, d.socket} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
