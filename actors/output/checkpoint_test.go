package output

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/actors/record"
)

const modelBlock = 8

// disk is a file with a hole at its head, and a checkpoint, which outlive a crash.
type disk struct {
	bytes []byte
	hole  int64
	inode uint64
	saved []byte
}

func (d *disk) info() fileInfo { return fileInfo{Inode: d.inode, Size: int64(len(d.bytes))} }

// TestACheckpointSkipsNothingWhereverTheManagerDies runs the steps of follower and bounding against a model file, dies
// between any two of them, and compares what was forwarded with what was written.
func TestACheckpointSkipsNothingWhereverTheManagerDies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &disk{inode: 1}
		var written []byte          // everything, ever
		var seen []bool             // of written: forwarded
		var fileStart, reborn int64 // the index in written of the file's first byte; and of the newest file
		alphabet := rapid.SampledFrom([]string{"a", "ab", "abcdefghijklmnopqrstuvwxyz"}).Draw(t, "alphabet")
		var p checkpoint
		intent := false
		// The offset of the first byte of the newest file: it never changes while that is the file.
		origin, era := int64(0), int64(0)
		same := func() {
			require.Equal(t, origin, p.Base-(fileStart-reborn), "an offset means another byte")
			require.Equal(t, era, p.Era)
			require.True(t, p.Torn || p.head == origin, "where the head was taken away a line may be torn")
		}
		save := func() {
			data, err := json.Marshal(p)
			require.NoError(t, err)
			d.saved, intent = data, p.Collapsing > 0
		}
		resume := func() {
			p = checkpoint{}
			if d.saved != nil {
				require.NoError(t, json.Unmarshal(d.saved, &p))
				require.NoError(t, p.valid())
			}
			intent = p.Collapsing > 0
			anew, err := p.resume(d.info(), d.hole, bytes.NewReader(d.bytes))
			require.NoError(t, err)
			require.Empty(t, anew, "everything is repeated without need")
			same()
		}
		resume()
		const limit = 32
		for range rapid.IntRange(100, 300).Draw(t, "steps") {
			same()
			require.LessOrEqual(t, p.Base, p.head)
			require.LessOrEqual(t, p.head, p.Next)
			require.LessOrEqual(t, p.Next, p.end)
			dies := func() bool { return rapid.IntRange(0, 4).Draw(t, "dies") == 0 }
			switch rapid.SampledFrom([]int{0, 0, 0, 2, 2, 2, 3, 4, 4, 4, 5}).Draw(t, "step") {
			case 0: // the process writes
				b := []byte(rapid.StringOfN(rapid.RuneFrom([]rune(alphabet)), 1, 40, -1).Draw(t, "bytes"))
				d.bytes, written, seen = append(d.bytes, b...), append(written, b...),
					append(seen, make([]bool, len(b))...)
				p.end = p.Base + int64(len(d.bytes))
			case 2: // forward
				n := max(0, p.end-p.Next-rapid.Int64Range(0, 20).Draw(t, "left"))
				tail := p.comparable()
				from := p.Next - p.Base
				require.Equal(t, string(d.bytes[from-int64(len(tail)):from]), string(tail))
				for i := range n {
					seen[fileStart+from+i] = true
				}
				p.advance(p.Next+n, append(bytes.Clone(tail), d.bytes[from:from+n]...))
			case 3:
				save()
			case 4: // bound
				to := p.excess(limit, limit/4, modelBlock)
				if to == 0 {
					continue
				}
				require.Zero(t, to%modelBlock)
				saves := !dies() // a full disk
				if intent && !saves {
					continue
				}
				if saves {
					save()
				}
				clear(d.bytes[d.hole:to])
				d.hole = to
				p.punched(to)
				if dies() {
					resume()
					continue
				}
				p.Collapsing = to
				save()
				if dies() {
					resume()
					continue
				}
				d.bytes, d.hole, fileStart = bytes.Clone(d.bytes[to:]), 0, fileStart+to
				p.collapsed(to)
				if dies() {
					resume()
				}
			case 5:
				if rapid.Bool().Draw(t, "truncated") {
					d.bytes, d.hole, fileStart = nil, 0, int64(len(written))
					d.inode += rapid.Uint64Range(0, 1).Draw(t, "replaced")
					reborn = fileStart
					p.begin(d.info(), 0)
					require.GreaterOrEqual(t, p.Base, origin)
					require.Greater(t, p.Era, era)
					origin, era = p.Base, p.Era
					save()
				} else {
					resume()
				}
			}
		}
		resume()
		// What is before the position was forwarded, as far as it is of this file.
		for i := max(reborn, 0); i < fileStart+p.Next-p.Base; i++ {
			require.True(t, seen[i], "byte %d of %d was skipped", i, len(written))
		}
	})
}

func TestACheckpointFileOfDecayedBytesIsRefused(t *testing.T) {
	r := checkpointFile{Version: checkpointVersion, Run: 3, PID: 77, Stdout: checkpoint{Known: true, Inode: 5,
		Base: 8, Next: 20, Fingerprint: []byte("tail"), Times: timeIndex{{10, 1000}}}}
	data := r.encode()
	back, err := decodeCheckpoints(data)
	require.NoError(t, err)
	require.Equal(t, r, back)
	for i := range data {
		_, err := decodeCheckpoints(data[:i])
		require.Error(t, err, "cut at byte %d", i)
		bad := bytes.Clone(data)
		bad[i] ^= 0x01
		if got, err := decodeCheckpoints(bad); err == nil {
			require.Equal(t, r, got, "byte %d", i) // in the name of a key: JSON ignores case
		}
	}
	path := filepath.Join(t.TempDir(), "missing.json")
	got, err := loadCheckpoints(path)
	require.NoError(t, err)
	require.Zero(t, got)
	require.NoError(t, os.WriteFile(path, make([]byte, 40), 0o600))
	_, err = loadCheckpoints(path)
	require.ErrorContains(t, err, path)
}

// Managers of other versions read what this one writes, and write what this one reads: byte for byte, since it is
// sealed.
func TestTheFormOfACheckpointFileIsFixed(t *testing.T) {
	full := checkpoint{Known: true, Inode: 5, Born: 6, Base: 8, Next: 20, Fingerprint: []byte("tail"), Torn: true,
		Collapsing: 4,
		Times:      timeIndex{{10, 1000}, {20, 2500}}, Era: 1, Start: 9, Prior: 7, head: 12, end: 30}
	c := checkpointFile{Version: checkpointVersion, Run: 3, PID: 77, Ended: true, Stdout: full}
	data := c.encode()
	const fixed = `{"crc32":3135245886,"record":{"version":1,"run":3,"pid":77,"ended":true,` +
		`"stdout":{"known":true,"inode":5,"born":6,"base":8,"next":20,"tail":"dGFpbA==","torn":true,"collapsing":4,` +
		`"marks":[10,1000,10,1500],"era":1,"start":9,"prior":7},"stderr":{"known":false,"base":0,"next":0}}}`
	require.Equal(t, fixed, string(data))
	back, err := decodeCheckpoints([]byte(fixed))
	require.NoError(t, err)
	full.head, full.end = 0, 0
	c.Stdout = full
	require.Equal(t, c, back)

	for _, c := range []checkpointFile{{}, c, {Stderr: full},
		{Run: -1, PID: -2, Stdout: checkpoint{Base: -3, Fingerprint: []byte{}, Times: timeIndex{}}}} {
		plain, err := json.Marshal(c)
		require.NoError(t, err)
		require.Equal(t, string(record.SealShort(plain)), string(c.encode()), "as the library writes it")
	}
}
