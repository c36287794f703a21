package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// format is the form of an answer; empty: table.
type format string

const (
	formatTable format = "table"
	formatWide  format = "wide"
	formatJSON  format = "json"
	formatLines format = "jsonl"
)

// Set makes a format a flag.
func (f *format) Set(s string) error {
	all := []string{string(formatTable), string(formatWide), string(formatJSON), string(formatLines)}
	if !slices.Contains(all, s) {
		return fmt.Errorf("%q is none of %s", s, strings.Join(all, ", "))
	}
	*f = format(s)
	return nil
}

func (f *format) String() string { return string(*f) }

// Type is how help names the value.
func (f *format) Type() string { return "FORM" }

// json reports whether the answer is for a program.
func (f format) json() bool { return f == formatJSON || f == formatLines }

// writeDocument writes one JSON document, for people as well.
func writeDocument(to io.Writer, document any) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(document)
}

// writeLines writes a JSON document a line.
func writeLines[T any](to io.Writer, list ...T) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	for _, one := range list {
		if err := e.Encode(one); err != nil {
			return err
		}
	}
	return nil
}
