package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
)

// Checksum finds the decay of a disk, and no forgery. It is what SealShort and SealLine seal with.
func Checksum(content []byte) uint32 { return crc32.ChecksumIEEE(content) }

// short is the form of a file that is written too often for more.
type short struct {
	Sum  uint32          `json:"crc32"`
	Body json.RawMessage `json:"record"`
}

// SealShort seals a body, as json.Marshal would write it, with a checksum of 32 bits, of no kind and no schema: what it
// is has to tell of itself.
func SealShort(body []byte) []byte {
	const head, middle = `{"crc32":`, `,"record":`
	b := append(make([]byte, 0, len(head)+10+len(middle)+len(body)+1), head...)
	b = strconv.AppendUint(b, uint64(Checksum(body)), 10)
	return append(append(append(b, middle...), body...), '}')
}

// UnsealShort fills body with what SealShort has sealed.
func UnsealShort(sealed []byte, body any) error {
	s, is := opened(sealed)
	if !is {
		if err := json.Unmarshal(sealed, &s); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if Checksum(s.Body) != s.Sum {
		return fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	if err := json.Unmarshal(s.Body, body); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// opened returns the parts of what was written as SealShort does, without having read the body, which is read by
// whoever wants it.
func opened(sealed []byte) (s short, is bool) {
	rest, is := bytes.CutPrefix(sealed, []byte(`{"crc32":`))
	digits, rest, cut := bytes.Cut(rest, []byte(`,"record":`))
	body, closed := bytes.CutSuffix(rest, []byte("}"))
	sum, err := strconv.ParseUint(string(digits), 10, 32)
	return short{uint32(sum), body}, is && cut && closed && err == nil
}

// A sealed line is a JSON object whose last member is the checksum of what is before it:
// `{"cursor":7,…,"crc":"0123abcd"}`.
const (
	sumHead = `,"crc":"`
	sumSize = len(sumHead) + 8 + len(`"}`)
)

// SealLine makes a line, with its end, of a JSON object that is not empty. It may write into that.
func SealLine(object []byte) []byte {
	body := object[:len(object)-1]
	return fmt.Appendf(body, `%s%08x"}`+"\n", sumHead, Checksum(body))
}

// UnsealLine returns the object that a line, without its end, was made of; false if it is none, or a damaged one. It
// may write into the line.
func UnsealLine(line []byte) ([]byte, bool) {
	n := len(line) - sumSize
	if n < 0 || string(line[n:n+len(sumHead)]) != sumHead {
		return nil, false
	}
	sum, err := strconv.ParseUint(string(line[n+len(sumHead):len(line)-2]), 16, 32)
	if err != nil || uint32(sum) != Checksum(line[:n]) {
		return nil, false
	}
	return append(line[:n:n+1], '}'), true
}
