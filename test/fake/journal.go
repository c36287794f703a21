package fake

import (
	"bytes"
	"sync"
)

// Journal is a text that may be read while it is written: where a logger under test, or a program, puts its lines. The
// zero Journal is empty and ready.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to the text.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns the text so far.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
