package health

import (
	"bytes"
	"net/http"
	"strings"

	"procman/messages"
)

// plain takes from what has come what nearly every healthy instance answers, and reports whether it was that: 200,
// whole, with a body of a length that is said, and with nothing else that matters to a probe. What it finds is what
// net/http would, which reads everything else: that makes a map, and a dozen small pieces, of each answer.
func (r *reader) plain(maxBody int64, p *messages.Probe) (closes, is bool) {
	all, err := r.buf.Peek(r.buf.Buffered())
	if err != nil {
		return false, false
	}
	line, rest, whole := bytes.Cut(all, []byte("\r\n"))
	if !whole || !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) || !printed(line) {
		return false, false
	}
	length := int64(-1)
	connection := false
	for {
		if line, rest, whole = bytes.Cut(rest, []byte("\r\n")); !whole {
			return false, false
		}
		if len(line) == 0 {
			break
		}
		name, value, good := bytes.Cut(line, []byte(":"))
		if !good || !word(name) || !printed(value) {
			return false, false
		}
		value = bytes.Trim(value, " ")
		switch {
		case same(name, "Content-Length"):
			if length >= 0 || len(value) == 0 || len(value) > 9 {
				return false, false
			}
			length = 0
			for _, c := range value {
				if c < '0' || c > '9' {
					return false, false
				}
				length = 10*length + int64(c-'0')
			}
		case same(name, "Connection"):
			if connection || !same(value, "close") && !same(value, "keep-alive") {
				return false, false
			}
			connection, closes = true, same(value, "close")
		case same(name, "Transfer-Encoding"), same(name, "Trailer"), same(name, "Upgrade"):
			return false, false
		}
	}
	if length < 0 || length >= maxBody || length > int64(len(rest)) {
		return false, false
	}
	p.Status = http.StatusOK
	kept := rest[:min(length, keptBody)]
	if length > int64(len(kept)) {
		kept = kept[:r.mask.Whole(kept)]
	}
	p.Body = ""
	if len(kept) > 0 {
		p.Body = text([]byte(r.mask.Mask(string(kept))))
	}
	return closes, true
}

// same reports whether it is that word, in whatever case.
func same(b []byte, word string) bool {
	return len(b) == len(word) && strings.EqualFold(string(b), word)
}

// word reports whether it is made of letters, digits and hyphens.
func word(b []byte) bool {
	for _, c := range b {
		if c != '-' && !alphanumeric(c) {
			return false
		}
	}
	return len(b) > 0
}

func alphanumeric(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }

// printed reports whether it holds printable ASCII only.
func printed(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
