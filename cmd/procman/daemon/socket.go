package daemon

import (
	"context"
	"errors"
	"net"
	"time"

	"procman/supervisor/api"
)

// SocketEvery is how often it is looked whether the daemon's socket is still its own.
const SocketEvery = 2 * time.Second

// serve answers on a listener until the server ends, or the listener is given up for another.
func (d *daemon) serve(l net.Listener) {
	if err := d.server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		d.served <- err
	}
}

// keepSocket makes the socket again when somebody has removed or replaced it, with the state directory or without: its path
// is a name that anything may come to mean. A nil listener could not be had so far. It returns when ctx ends.
func (d *daemon) keepSocket(ctx context.Context, path string, l net.Listener) {
	look := time.NewTicker(SocketEvery)
	defer look.Stop()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case <-d.socketNow:
		}
		if l != nil && api.Held(l) {
			failed = ""
			continue
		}
		err := d.spawner.Keep() // it may have gone with its directory
		var again net.Listener
		if err == nil {
			again, err = api.Listen(path)
		}
		if err != nil {
			if ctx.Err() == nil && err.Error() != failed {
				failed = err.Error()
				d.log.Error("the socket was removed or replaced, and cannot be made again", "socket", path, "error", failed,
					"consequence", "supervision goes on, and nobody can ask for anything; it is tried again")
			}
			continue
		}
		d.log.Warn("the socket was removed or replaced; it is made again", "socket", path)
		old := l
		l, failed = again, ""
		d.serving.Go(func() { d.serve(again) })
		if old != nil {
			_ = old.Close() // it has no name any more
		}
		d.good.again()
	}
}
