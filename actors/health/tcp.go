package health

import (
	"context"
	"errors"
	"net"

	"procman/messages"
)

// overTCP makes the probes of messages.HealthTCP: a connection that is accepted is all that is asked for. It is ended
// by a reset, which leaves no TIME_WAIT on either side.
type overTCP struct{}

func (overTCP) probe(ctx context.Context, t target, _ *messages.Probe) (*net.TCPAddr, error) {
	conn, err := dial(ctx, t.Port, t.deadline)
	if err != nil {
		return nil, err
	}
	answerer, _ := conn.RemoteAddr().(*net.TCPAddr)
	return answerer, errors.Join(conn.SetLinger(0), conn.Close())
}
