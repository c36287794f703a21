package leash

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// EnvFence is set to Fenced in the environment of every process of a fenced run. The leash needs no disk to see it.
const (
	EnvFence = kernel.EnvFence
	Fenced   = "leash"
)

// Mark says for what an instance is fenced.
type Mark struct {
	Epoch       int64  `json:"epoch"`
	Incarnation string `json:"incarnation"`
}

// Fence marks the instance as fenced. It must have succeeded before a process of it is started.
func Fence(dir messages.StateDir, id messages.InstanceID, m Mark) error {
	err := id.Validate()
	if err == nil {
		err = os.MkdirAll(dir.Instance(id), 0o700)
	}
	if err == nil {
		err = record.Write(dir.Fence(id), fenceKind, m, false)
	}
	if err != nil {
		return fmt.Errorf("instance %q cannot be marked as fenced, so it must not be started: %w", string(id), err)
	}
	return nil
}

// Unfence takes the mark away, after nothing of the instance lives.
func Unfence(dir messages.StateDir, id messages.InstanceID) error {
	err := os.Remove(dir.Fence(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Marked returns the instances that are fenced, by their marks, whatever is in these.
func Marked(dir messages.StateDir) ([]messages.InstanceID, error) {
	entries, err := os.ReadDir(dir.Instances())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var marked []messages.InstanceID
	for _, e := range entries {
		id := messages.InstanceID(e.Name())
		if _, err := os.Lstat(dir.Fence(id)); !errors.Is(err, fs.ErrNotExist) && id.Validate() == nil {
			marked = append(marked, id)
		}
	}
	return marked, err
}

// MarkOf returns the mark of an instance. The error wraps fs.ErrNotExist if it has none.
func MarkOf(dir messages.StateDir, id messages.InstanceID) (m Mark, err error) {
	err = record.Read(dir.Fence(id), fenceKind, &m)
	return m, err
}

// Ending is what the leash did to a run.
type Ending struct {
	ID  messages.InstanceID `json:"instance"`
	Run int                 `json:"run"` // 0: not known
	Tag string              `json:"tag"`
	At  int64               `json:"at_boottime_ns"`
	Was time.Time           `json:"at"`
	Why string              `json:"why"`
}

// EndingOf returns what the leash did last to a run of the instance. The error wraps fs.ErrNotExist if that is nothing.
func EndingOf(dir messages.StateDir, id messages.InstanceID) (e Ending, err error) {
	err = record.Read(dir.Ending(id), endingKind, &e)
	return e, err
}
