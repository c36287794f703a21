package output

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"

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
func (c *checkpointFile) encode() []byte {
	b := make([]byte, 0, 512)
	b = strconv.AppendInt(append(b, `{"version":`...), int64(c.Version), 10)
	b = strconv.AppendInt(append(b, `,"run":`...), int64(c.Run), 10)
	b = strconv.AppendInt(append(b, `,"pid":`...), int64(c.PID), 10)
	b = strconv.AppendBool(append(b, `,"ended":`...), c.Ended)
	b = c.Stdout.append(append(b, `,"stdout":`...))
	b = c.Stderr.append(append(b, `,"stderr":`...))
	return record.SealShort(append(b, '}'))
}

// append writes a checkpoint as json.Marshal does, which would take ten times as long: it is done twice in the life of
// every run.
func (c *checkpoint) append(b []byte) []byte {
	given := func(key string, n int64) {
		if n != 0 {
			b = strconv.AppendInt(append(append(append(b, `,"`...), key...), `":`...), n, 10)
		}
	}
	b = strconv.AppendBool(append(b, `{"known":`...), c.Known)
	if c.Inode != 0 {
		b = strconv.AppendUint(append(b, `,"inode":`...), c.Inode, 10)
	}
	given("born", c.Born)
	b = strconv.AppendInt(append(b, `,"base":`...), c.Base, 10)
	b = strconv.AppendInt(append(b, `,"next":`...), c.Next, 10)
	if len(c.Fingerprint) > 0 {
		b = append(base64.StdEncoding.AppendEncode(append(b, `,"tail":"`...), c.Fingerprint), '"')
	}
	if c.Torn {
		b = append(b, `,"torn":true`...)
	}
	given("collapsing", c.Collapsing)
	if len(c.Times) > 0 {
		b = c.Times.append(append(b, `,"marks":`...))
	}
	given("era", c.Era)
	given("start", c.Start)
	given("prior", c.Prior)
	return append(b, '}')
}

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

// loadCheckpoints reads a checkpoint file. One that does not exist is the zero value. Beside an error it is one that
// knows nothing, but that the offsets which were in use are so no more.
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
		// no era that was counted, and the same for all who look
		lost := checkpoint{Era: 1<<32 + int64(record.Checksum(data))}
		return checkpointFile{Stdout: lost, Stderr: lost}, err
	}
	return c, nil
}

// save replaces the file at path as a whole. It is not synced: the page cache outlives us, and after a crash of the
// machine the worst is a checkpoint from which everything begins anew.
func (c *checkpointFile) save(path string) error { return record.WriteFile(path, c.encode(), false) }
