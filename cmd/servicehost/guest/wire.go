package guest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Values maps a name to its values, as in a query string, a form or a header.
type Values map[string][]string

// First is the first value of the name, or "".
func (v Values) First(name string) string {
	if vs := v[name]; len(vs) > 0 {
		return vs[0]
	}
	return ""
}

// Request is one HTTP request. Its size is bounded by the host.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`             // decoded, begins with "/"
	Query  Values `json:"query,omitempty"`  // the decoded query string
	Form   Values `json:"form,omitempty"`   // the decoded body, if it is application/x-www-form-urlencoded
	Header Values `json:"header,omitempty"` // names in canonical form: Content-Type
	Body   []byte `json:"body,omitempty"`
}

// Response is the answer to one [Request]. The zero Status is 200.
type Response struct {
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   []byte            `json:"body,omitempty"`
}

// Statement is SQL with its arguments; without arguments it may be several statements. An argument is nil, a bool, a number, a string or a [Blob].
type Statement struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args,omitempty"`
}

// Blob is a binary SQL value: bytes that are not text.
type Blob struct {
	Bytes []byte `json:"blob"`
}

// Rows is what a statement returned, all of it (the last one of several). Error is empty if it was done.
type Rows struct {
	Error   string              `json:"error,omitempty"`
	Columns []string            `json:"columns,omitempty"`
	Values  [][]json.RawMessage `json:"values,omitempty"`
}

// ErrColumns is the cause of a Scan with another number of destinations than the row has columns.
var ErrColumns = errors.New("the number of destinations is not the number of columns")

// Len is the number of rows.
func (r Rows) Len() int { return len(r.Values) }

// Scan stores the columns of row i in the destinations, which are pointers as for json.Unmarshal ([Blob] for a blob). NULL
// leaves its destination as it is, and sets a pointer to nil.
func (r Rows) Scan(i int, into ...any) error {
	row := r.Values[i]
	if len(row) != len(into) {
		return fmt.Errorf("row %d has %d columns, asked for %d: %w", i, len(row), len(into), ErrColumns)
	}
	for n, column := range row {
		if err := json.Unmarshal(column, into[n]); err != nil {
			return fmt.Errorf("row %d, column %q: %w", i, r.Columns[n], err)
		}
	}
	return nil
}
