package daemon

import (
	"context"
	"errors"
	"net"
	"time"

	onDisk "procman/actors/record"
	"procman/supervisor/api"
)

// SocketEvery is how long it takes at the most until the daemon's socket, removed or replaced, is made again.
const SocketEvery = 2 * time.Second

const (
	// socketSafety is how often it is looked at while the kernel tells of its removal: of a mount over it it does not.
	socketSafety = 5 * time.Minute
	// socketSettles is how long whoever removes it may take for all that is to be removed with it.
	socketSettles = SocketEvery / 8
)

// serve answers on a listener until the server ends, or the listener is given up for another.
func (d *daemon) serve(l net.Listener) {
	if err := d.server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		d.served <- err
	}
}

// serveToo begins to do that.
func (d *daemon) serveToo(l net.Listener) { d.serving.Go(func() { d.serve(l) }) }

// keptSocket is a socket of the daemon.
type keptSocket struct {
	path  string
	group *int               // who may use it, too; nil: nobody
	own   bool               // it is where the daemon itself is asked
	serve func(net.Listener) // begins to answer there
}

// keepSocket makes a socket again when somebody has removed or replaced it, with the state directory or without: its
// path is a name that anything may come to mean. A nil listener could not be had so far. It returns when ctx ends.
func (d *daemon) keepSocket(ctx context.Context, s keptSocket, l net.Listener) {
	path, consequence := s.path, "supervision goes on, and nobody can read the metrics there; it is tried again"
	var now <-chan struct{}
	if s.own {
		now, consequence = d.socketNow, "supervision goes on, and nobody can ask for anything; it is tried again"
	}
	names, err := onDisk.NewNames() // nil: it is looked at again and again
	if err != nil {
		d.log.Debug("the kernel does not tell when the socket is removed; it is looked at instead",
			"every", SocketEvery, "error", err.Error())
	}
	defer func() { _ = names.Close() }() // nothing is in it
	look := time.NewTimer(0)             // it may have been removed by now
	defer look.Stop()
	failed, settling := "", false
	for {
		select {
		case <-ctx.Done():
			return
		case <-names.Changed():
			if !settling {
				settling = true
				look.Reset(socketSettles)
			}
			continue
		case <-look.C:
		case <-now:
		}
		settling = false
		followed := names.Follow(path) == nil // before it is looked at: what happens after that is told
		if l != nil && api.Held(l) {
			failed = ""
			if followed {
				look.Reset(socketSafety)
			} else {
				look.Reset(SocketEvery)
			}
			continue
		}
		look.Reset(SocketEvery)
		err := d.spawner.Keep() // it may have gone with its directory
		var again net.Listener
		if err == nil {
			again, err = api.ListenFor(path, s.group)
		}
		if err != nil {
			if ctx.Err() == nil && err.Error() != failed {
				failed = err.Error()
				d.log.Error("the socket was removed or replaced, and cannot be made again", "socket", path, "error",
					failed, "consequence", consequence)
			}
			continue
		}
		d.log.Warn("the socket was removed or replaced; it is made again", "socket", path)
		old := l
		l, failed = again, ""
		look.Reset(0)
		s.serve(again)
		if old != nil {
			_ = old.Close() // it has no name any more
		}
		if s.own {
			d.good.again()
		}
	}
}
