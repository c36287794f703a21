package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration file, and where.
type Error struct {
	Path    string
	Line    int // from 1
	Column  int // in characters, from 1
	Message string
	// Snippet is the line of the file, and below it a line with a caret under the column. Long lines are shown in
	// part, values that may be secret as ***. Empty if the file has no such line.
	Snippet string
}

// Error returns path:line:column: message, and the snippet in the lines after it.
func (e *Error) Error() string {
	s := e.Head()
	if e.Snippet != "" {
		s += "\n" + e.Snippet
	}
	return s
}

// Head returns path:line:column: message in one line.
func (e *Error) Head() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Message)
}

// Errors is everything that is wrong with a file, in the order of the file. It is never empty.
type Errors []*Error

// shown is how many errors Errors.Error spells out.
const shown = 20

// Error joins the errors. Of very many it shows the first ones and the number of the others.
func (e Errors) Error() string {
	var b strings.Builder
	for i, err := range e {
		if i == shown {
			fmt.Fprintf(&b, "\nand %d more", len(e)-shown)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap makes each error visible to errors.As.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// inOrder sorts by position and drops repetitions: what is wrong in a mapping that several others merge is found in
// each of them.
func (e Errors) inOrder() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(e, func(a, b *Error) bool { return *a == *b })
}
