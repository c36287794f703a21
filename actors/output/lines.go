package output

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"procman/messages"
)

// maxLine is the greatest length of a line, in bytes, that is handled in one piece.
const maxLine = 64 << 10

// cutLine cuts the next piece off b: size bytes, of which the line end is not part of text. Partial says that the line
// goes on after it. A size of 0 says that b holds neither a line end nor more than limit bytes.
//
// The last piece of a line is never empty unless the line is, and no piece but the last ends inside of a rune.
func cutLine(b []byte, limit int) (text []byte, size int, partial bool) {
	if i := bytes.IndexByte(b[:min(len(b), limit+1)], '\n'); i >= 0 {
		return b[:i], i + 1, false
	}
	if len(b) <= limit {
		return nil, 0, false
	}
	n := limit
	for back := 1; back < utf8.UTFMax && back < limit; back++ {
		if utf8.RuneStart(b[limit-back]) {
			if !utf8.FullRune(b[limit-back : limit]) {
				n = limit - back
			}
			break
		}
	}
	return b[:n], n, true
}

// cutPiece is cutLine, but cuts no secret apart, unless that is longer than a piece may be.
func cutPiece(b []byte, limit int, mask *messages.Masker) (text []byte, size int, partial bool) {
	text, size, partial = cutLine(b, limit)
	if partial {
		if n := mask.Whole(text); n > 0 {
			text, size = text[:n], n
		}
	}
	return text, size, partial
}

// legible returns a line as a record can carry it: as it is, or, when it is not valid UTF-8, as Go quotes it.
func legible(line string) (s string, quoted bool) {
	if utf8.ValidString(line) {
		return line, false
	}
	return strconv.Quote(line), true
}
