package output

import (
	"errors"
	"fmt"
	"os"

	"procman/actors/record"
)

// checkpointName is the file, in the directory of an instance, that holds its checkpoints.
const checkpointName = "output.json"

const checkpointVersion = 1

// maxCheckpointFile is more bytes than any has.
const maxCheckpointFile = 1 << 20

// checkpointFile is what is remembered of an instance's output over the manager's death.
type checkpointFile struct {
	Version int        `json:"version"`
	Run     int        `json:"run"` // the run that was followed
	PID     int        `json:"pid"`
	Ended   bool       `json:"ended"` // its follower has forwarded everything
	Stdout  checkpoint `json:"stdout"`
	Stderr  checkpoint `json:"stderr"`
}

// encode seals the content against the decay of disks: a wrong position would skip lines.
func (c checkpointFile) encode() ([]byte, error) { return record.SealShort(c) }

func decodeCheckpoints(data []byte) (checkpointFile, error) {
	var c checkpointFile
	if err := record.UnsealShort(data, &c); err != nil {
		return checkpointFile{}, err
	}
	if c.Version != checkpointVersion {
		return checkpointFile{}, fmt.Errorf("its version is %d, not %d", c.Version, checkpointVersion)
	}
	return c, errors.Join(c.Stdout.valid(), c.Stderr.valid())
}

// loadCheckpoints reads a checkpoint file. One that does not exist is the zero value. Beside an error it is one that knows
// nothing, but that the offsets which were in use are so no more.
func loadCheckpoints(path string) (checkpointFile, error) {
	data, err := record.ReadFile(path, maxCheckpointFile)
	if errors.Is(err, os.ErrNotExist) {
		return checkpointFile{}, nil
	}
	var c checkpointFile
	if err == nil {
		if c, err = decodeCheckpoints(data); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		lost := checkpoint{Era: 1<<32 + int64(record.Checksum(data))} // no era that was counted, and the same for all who look
		return checkpointFile{Stdout: lost, Stderr: lost}, err
	}
	return c, nil
}

// save replaces the file at path as a whole. It is not synced: the page cache outlives us, and after a crash of the
// machine the worst is a checkpoint from which everything begins anew.
func (c checkpointFile) save(path string) error {
	data, err := c.encode()
	if err != nil {
		return err
	}
	return record.WriteFile(path, data, false)
}
