package daemon

import (
	"context"
	"crypto/rand"
	bin "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	onDisk "procman/actors/record"
	"procman/messages"
)

const (
	// oldSecrets is how many values of earlier lists are remembered of an instance: a process that was started with
	// them may live on, and what it wrote is kept.
	oldSecrets = 64
	// oldTraces is how many traces are remembered of one: of the present values and, over restarts of the daemon, of
	// earlier ones.
	oldTraces = 1024
	// missedLists is for how many lists an instance may be missing before its values are forgotten: it is still ending.
	missedLists = 16
)

// Secrets are the values that must not show in what instances say, by instance. The zero value is ready, and safe for
// concurrent use. What must outlive the daemon, for the output does, is kept as traces: no secret is on the disk by
// that.
type Secrets struct {
	mu      sync.RWMutex
	of      map[messages.InstanceID]*remembered
	seed    uint64
	changed chan struct{} // the traces are to be written; nil: they are not kept
}

// remembered is what is hidden of one instance.
type remembered struct {
	values []string         // the newest first
	traces []messages.Trace // of these and of earlier ones, the newest first
	masker *messages.Masker
	missed int
}

// Learn takes the values of a list up.
func (s *Secrets) Learn(list []*messages.AppInstance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[messages.InstanceID]*remembered{}
	}
	for _, r := range s.of {
		r.missed++
	}
	changed := false
	for _, app := range list {
		r := s.of[app.InstanceID]
		if r == nil {
			if len(app.Secrets) == 0 {
				continue
			}
			r = &remembered{}
			s.of[app.InstanceID] = r
		}
		r.missed = 0
		changed = r.add(app.SecretValues(), s.seed) || changed
	}
	for id, r := range s.of {
		if r.missed > missedLists && len(r.values) > 0 {
			r.values = nil
			r.masker = messages.NewTraceMasker(nil, s.seed, r.traces)
			changed = true
		}
		if r.missed > missedLists && s.changed == nil {
			delete(s.of, id)
		}
	}
	if changed && s.changed != nil {
		select {
		case s.changed <- struct{}{}:
		default: // it is to be written already
		}
	}
}

// add reports whether the values are others than before.
func (r *remembered) add(newest []string, seed uint64) bool {
	values := slices.Clone(newest)
	for _, v := range r.values {
		if !slices.Contains(newest, v) && len(values) < len(newest)+oldSecrets {
			values = append(values, v)
		}
	}
	if slices.Equal(values, r.values) {
		return false
	}
	var traces []messages.Trace
	if seed != 0 { // else none are kept
		traces = messages.TracesOf(newest, seed)
	}
	present := len(traces)
	for _, t := range r.traces {
		if !slices.Contains(traces, t) && len(traces) < present+oldTraces {
			traces = append(traces, t)
		}
	}
	r.values, r.traces = values, traces
	r.masker = messages.NewTraceMasker(values, seed, traces)
	return true
}

// Mask returns what hides the secrets of an instance; nil if there are none. It is quick.
func (s *Secrets) Mask(id messages.InstanceID) *messages.Masker {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.of[id]; r != nil {
		return r.masker
	}
	return nil
}

// traceRecord is the form of the traces on the disk.
type traceRecord struct {
	Version   int                                      `json:"version"`
	Seed      uint64                                   `json:"seed"`
	Instances map[messages.InstanceID][]messages.Trace `json:"instances"`
}

const (
	traceVersion   = 1
	mostTraceBytes = 64 << 20
)

// tracePatience is how long a state disk may take for the traces, and so for how long it can delay the end of the
// daemon.
const tracePatience = 2 * time.Second

// keep takes up the traces that earlier daemons left in the state directory, and keeps them there until the end of what
// it returns.
func (s *Secrets) keep(dir messages.StateDir, log *slog.Logger) (end func() error) {
	err := s.Recall(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		log.Warn("secrets of earlier daemons are not known", "error", err.Error(),
			"consequence", "`logs` and `why` may show those that were changed, where old output has them")
	}
	s.mu.Lock()
	if s.seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never returns an error
		s.seed = bin.LittleEndian.Uint64(b[:]) | 1<<40
	}
	s.changed = make(chan struct{}, 1)
	s.mu.Unlock()
	disk := onDisk.NewDisk("the state disk", 1)
	over := make(chan struct{})
	var writing sync.WaitGroup
	var unsaved error // guarded by writing
	save := func() error {
		_, unsaved = disk.Do(context.Background(), tracePatience, func() error { return s.save(dir) }, nil)
		return unsaved
	}
	// In the background: nothing waits for the disk. What a daemon that dies right now has not written are values of
	// this moment.
	writing.Go(func() {
		untilWritten(s.changed, over, save, func(err error) {
			if err == nil {
				log.Info("what secrets look like is kept again")
				return
			}
			log.Warn("what secrets look like cannot be kept; that is tried again until it is", "error", err.Error(),
				"consequence", "the next daemon may show values in old output that have changed by then")
		})
	})
	return sync.OnceValue(func() error {
		close(over)
		writing.Wait()
		return unsaved
	})
}

// Recall reads the traces of a state directory.
func (s *Secrets) Recall(dir messages.StateDir) error {
	text, err := onDisk.ReadFile(dir.Traces(), mostTraceBytes)
	if err != nil {
		return err
	}
	var r traceRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("%s is damaged: %w", dir.Traces(), err)
	}
	if r.Version != traceVersion || r.Seed == 0 {
		return fmt.Errorf("%s is of another version of procman", dir.Traces())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seed, s.of = r.Seed, map[messages.InstanceID]*remembered{}
	for id, traces := range r.Instances {
		if id.Validate() == nil {
			s.of[id] = &remembered{traces: traces, masker: messages.NewTraceMasker(nil, r.Seed, traces)}
		}
	}
	return nil
}

// save writes the traces, and forgets those of instances that have left the list and left no output.
func (s *Secrets) save(dir messages.StateDir) error {
	r := traceRecord{Version: traceVersion, Instances: map[messages.InstanceID][]messages.Trace{}}
	s.mu.Lock()
	r.Seed = s.seed
	var left []messages.InstanceID
	for id, of := range s.of {
		if of.missed > missedLists {
			left = append(left, id)
		}
		r.Instances[id] = of.traces
	}
	s.mu.Unlock()
	for _, id := range left {
		if _, err := os.Stat(dir.Instance(id)); errors.Is(err, fs.ErrNotExist) {
			delete(r.Instances, id)
			s.mu.Lock()
			if of := s.of[id]; of != nil && of.missed > missedLists {
				delete(s.of, id)
			}
			s.mu.Unlock()
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return onDisk.WriteFile(dir.Traces(), text, false)
}
