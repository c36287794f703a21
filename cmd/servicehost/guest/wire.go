package guest

import (
	"bytes"
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

// Request is one HTTP request. Its size is bounded by the host. What the host does not send is filled in by [Serve].
type Request struct {
	Method string `json:"method"`
	URL    string `json:"url"`              // as the client sent it: /path?query
	Path   string `json:"-"`                // of the URL, decoded, begins with "/"
	Query  Values `json:"-"`                // of the URL, decoded
	Form   Values `json:"-"`                // the decoded body, nil if it is not application/x-www-form-urlencoded
	Header Values `json:"header,omitempty"` // names in canonical form: Content-Type
	Body   []byte `json:"body,omitempty"`
}

// Response is the answer to one [Request]. The status is one from 200 to 599; [Serve] makes 200 of 0.
type Response struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header,omitempty"`
	Body   []byte            `json:"body,omitempty"`
}

// Statement is SQL with its arguments; without arguments it may be several statements. An argument is nil, a bool, a
// number or a string; bytes that are not text are passed as their base64, and a BLOB is returned as that.
type Statement struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args,omitempty"`
}

// UnmarshalJSON makes an int64 of every number that is one, because a float64 would lose the last digits of large
// integers.
func (s *Statement) UnmarshalJSON(encoded []byte) error {
	type plain Statement // without this method
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode((*plain)(s)); err != nil {
		return err
	}
	for i, arg := range s.Args {
		number, ok := arg.(json.Number)
		if !ok {
			continue
		}
		var err error
		if s.Args[i], err = number.Int64(); err != nil {
			s.Args[i], err = number.Float64()
		}
		if err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return nil
}

// Rows is what a statement returned, all of it (the last one of several). Error is empty if it was done.
type Rows struct {
	Error   string            `json:"error,omitempty"`
	Columns []string          `json:"columns,omitempty"`
	Values  []json.RawMessage `json:"values,omitempty"` // each row an array with a value per column
}

// ErrColumns is the cause of a Scan with another number of destinations than the row has columns.
var ErrColumns = errors.New("the number of destinations is not the number of columns")

// Len is the number of rows.
func (r Rows) Len() int { return len(r.Values) }

// Scan stores the columns of row i in the destinations, which are pointers as for json.Unmarshal. NULL leaves
// its destination as it is, and sets a pointer to nil.
func (r Rows) Scan(i int, into ...any) error {
	var row []json.RawMessage
	if err := json.Unmarshal(r.Values[i], &row); err != nil {
		return fmt.Errorf("row %d: %w", i, err)
	}
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
