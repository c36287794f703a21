package fleet

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"procman/actors/record"
	"procman/messages"
)

// assigned is what is kept on disk of an instance that is this host's: a daemon that begins while the store does not
// answer knows by it what to go on with.
type assigned struct {
	ID       messages.InstanceID `json:"instance"`
	Spec     json.RawMessage     `json:"spec"`
	Revision int64               `json:"spec_revision"`
	Assign   assignValue         `json:"assignment"`
	Epoch    int64               `json:"epoch"`
}

const assignedKind = "assigned"

// assigned returns what an earlier daemon kept. What cannot be read is told and passed over.
func (h *Host) assigned() (list []assigned) {
	entries, err := os.ReadDir(h.config.StateDir.Instances())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.log.Error("what was assigned to this host cannot be read; the store is asked", "error", err)
	}
	for _, e := range entries {
		id := messages.InstanceID(e.Name())
		if id.Validate() != nil {
			continue
		}
		var a assigned
		switch err := record.Read(h.config.StateDir.Assigned(id), assignedKind, &a); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			h.log.Error("what was assigned to this host cannot be read; the store is asked", "instance", string(id),
				"error", err)
		case a.ID == id:
			list = append(list, a)
		}
	}
	return list
}

// keep puts what is assigned on disk, or takes it away.
func (h *Host) keep(id messages.InstanceID, a *assigned) error {
	path := h.config.StateDir.Assigned(id)
	if a == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(h.config.StateDir.Instance(id), 0o700); err != nil {
		return err
	}
	return record.Write(path, assignedKind, a, false)
}
