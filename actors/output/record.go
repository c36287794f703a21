package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	opening "procman/actors/record"
)

// recordName is the file, in the directory of an instance, that remembers the places.
const recordName = "output.json"

const recordVersion = 1

// maxRecord is more than any record has.
const maxRecord = 1 << 20

// record is what is remembered of an instance's output over the manager's death.
type record struct {
	Version int   `json:"version"`
	Run     int   `json:"run"` // the run that was followed
	PID     int   `json:"pid"`
	Ended   bool  `json:"ended"` // its follower has forwarded everything
	Stdout  place `json:"stdout"`
	Stderr  place `json:"stderr"`
}

// envelope guards a record against the decay of disks: a wrong place would skip lines.
type envelope struct {
	Sum    uint32          `json:"crc32"`
	Record json.RawMessage `json:"record"`
}

func (r record) encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{crc32.ChecksumIEEE(body), body})
}

func decodeRecord(data []byte) (record, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return record{}, err
	}
	if crc32.ChecksumIEEE(e.Record) != e.Sum {
		return record{}, errors.New("its checksum is wrong")
	}
	var r record
	if err := json.Unmarshal(e.Record, &r); err != nil {
		return record{}, err
	}
	if r.Version != recordVersion {
		return record{}, fmt.Errorf("its version is %d, not %d", r.Version, recordVersion)
	}
	return r, errors.Join(r.Stdout.valid(), r.Stderr.valid())
}

// loadRecord reads a record. One that does not exist is the zero record. Beside an error it is one that knows nothing, but
// that the offsets which were in use are so no more.
func loadRecord(path string) (record, error) {
	data, err := opening.ReadFile(path, maxRecord)
	if errors.Is(err, os.ErrNotExist) {
		return record{}, nil
	}
	r := record{}
	if err == nil {
		if r, err = decodeRecord(data); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		lost := place{Era: 1<<32 + int64(crc32.ChecksumIEEE(data))} // no era that was counted, and the same for all who look
		return record{Stdout: lost, Stderr: lost}, err
	}
	return r, nil
}

// save replaces the record at path as a whole. It is not synced: the page cache outlives us, and after a crash of the
// machine the worst is a place that is taken up anew.
func (r record) save(path string) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	return opening.WriteFile(path, data, false)
}
