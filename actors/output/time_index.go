package output

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"
)

const (
	markEvery = int64(time.Second / time.Millisecond)
	// markShare is the part of a mark's age by which it may stand apart from the next.
	markShare = 16
	// maxMarks bounds the index after thinning: 16·ln(age/16s) marks stand for an age, about 200 for a month.
	maxMarks = 256
)

// timeMark says that every byte before Offset was written no later than Time, in Unix milliseconds.
type timeMark struct{ Offset, Time int64 }

// timeIndex is a sparse index of the times at which a file was written, oldest first. Neither offsets nor times go
// back.
//
// Two neighbours are about a second apart, or a sixteenth of their age if that is more.
type timeIndex []timeMark

// add notes that the file ended at offset at time t. The newest mark is moved for as long as it is within a second of
// the one before it.
func (m timeIndex) add(offset, t int64) timeIndex {
	n := len(m)
	if n > 0 {
		// The wall clock was set back: times must not go back with it, or lines would seem older than they are.
		t = max(t, m[n-1].Time)
		if offset <= m[n-1].Offset {
			return m
		}
	}
	if n > 1 && t-m[n-2].Time < markEvery {
		m[n-1] = timeMark{offset, t}
		return m
	}
	m = append(m, timeMark{offset, t})
	if len(m) > maxMarks {
		m = m.thinned()
	}
	return m
}

// thinned leaves out marks whose neighbours stand close enough for their age; if that is not enough, every second one.
func (m timeIndex) thinned() timeIndex {
	now := m[len(m)-1].Time
	out := m[:1]
	for i := 1; i < len(m)-1; i++ {
		if m[i+1].Time-out[len(out)-1].Time > max(markEvery, (now-m[i].Time)/markShare) {
			out = append(out, m[i])
		}
	}
	out = append(out, m[len(m)-1])
	if len(out) > maxMarks*3/4 {
		half := out[:0:0]
		for i, k := range out {
			if i%2 == 0 || i == len(out)-1 {
				half = append(half, k)
			}
		}
		out = half
	}
	return slices.Clone(out)
}

// from returns the offset before which every byte was written at t or earlier.
func (m timeIndex) from(t int64) int64 {
	i := sort.Search(len(m), func(i int) bool { return m[i].Time > t })
	if i == 0 {
		return 0
	}
	return m[i-1].Offset
}

// until returns the offset from which on every byte was written at t or later.
func (m timeIndex) until(t int64) int64 {
	i := sort.Search(len(m), func(i int) bool { return m[i].Time >= t })
	if i == len(m) {
		return math.MaxInt64
	}
	return m[i].Offset
}

// at returns a time, no earlier than the one at which the byte at offset was written.
func (m timeIndex) at(offset int64) int64 {
	i := sort.Search(len(m), func(i int) bool { return m[i].Offset > offset })
	if i == len(m) {
		return math.MaxInt64
	}
	return m[i].Time
}

// last returns the greatest offset of which there is a mark.
func (m timeIndex) last() int64 {
	if len(m) == 0 {
		return 0
	}
	return m[len(m)-1].Offset
}

// after returns the marks beyond offset: no other is of use once everything before it is gone.
func (m timeIndex) after(offset int64) timeIndex {
	i := sort.Search(len(m), func(i int) bool { return m[i].Offset > offset })
	return slices.Delete(m, 0, i)
}

// MarshalJSON writes the differences between neighbours: they are short, and the index is written every second.
func (m timeIndex) MarshalJSON() ([]byte, error) { return m.append(nil), nil }

func (m timeIndex) append(b []byte) []byte {
	b = append(b, '[')
	var before timeMark
	for i, k := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, k.Offset-before.Offset, 10)
		b = strconv.AppendInt(append(b, ','), k.Time-before.Time, 10)
		before = k
	}
	return append(b, ']')
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *timeIndex) UnmarshalJSON(data []byte) error {
	var flat []int64
	if err := json.Unmarshal(data, &flat); err != nil {
		return err
	}
	if len(flat)%2 != 0 {
		return errors.New("the index of times has an odd number of entries")
	}
	*m = nil
	var k timeMark
	for i := 0; i < len(flat); i += 2 {
		k.Offset, k.Time = k.Offset+flat[i], k.Time+flat[i+1]
		if n := len(*m); n > 0 && (k.Offset < (*m)[n-1].Offset || k.Time < (*m)[n-1].Time) || k.Offset < 0 {
			return errors.New("the index of times goes back")
		}
		*m = append(*m, k)
	}
	return nil
}
