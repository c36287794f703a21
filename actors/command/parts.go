package command

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// Head reads what a command writes to the end, so that the command never waits for a reader, and keeps the first of it.
type Head struct {
	from *os.File
	keep int
	done chan struct{}

	mu   sync.Mutex
	kept []byte
}

// NewHead returns one of a pipe that can be read without blocking, which it closes: so many bytes are kept. Read is
// called once.
func NewHead(from *os.File, keep int) *Head {
	return &Head{from: from, keep: keep, done: make(chan struct{})}
}

// Read reads until the end, or until Last or Stop.
func (h *Head) Read() {
	defer close(h.done)
	defer h.from.Close() // it was only read
	buffer := make([]byte, 4<<10)
	for {
		n, err := h.from.Read(buffer)
		h.mu.Lock()
		h.kept = append(h.kept, buffer[:min(n, h.keep-len(h.kept))]...)
		h.mu.Unlock()
		if err != nil { // io.EOF, or it is closed
			return
		}
	}
}

// Last waits for what was written before the command ended, but no longer than that: who has left its group may have
// the pipe open for ever. Nothing is read after it.
func (h *Head) Last(patience time.Duration) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-h.done:
		return
	case <-late.C:
	}
	h.Stop()
	<-h.done
}

// Stop has Read return.
func (h *Head) Stop() { _ = h.from.Close() } // nothing was written

// First returns what is kept so far.
func (h *Head) First() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept[:len(h.kept):len(h.kept)]
}

// KillGroup sends KILL to the group of a command that was started by [Alone], and that its caller has not reaped: until
// then the number is nobody else's. That none is left is no error.
func KillGroup(pid int) error {
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return err
	}
	return nil
}
