package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/cmd/servicehost/guest"
)

func TestEveryValueComesBackAsItWasBound(t *testing.T) {
	d, err := openDatabase(t.Context(), filepath.Join(t.TempDir(), "odd ?#%41 name.db"), 2)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.close()) }()
	connection, err := d.connect(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, connection.Close()) }()
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.Int64().Draw(r, "n")
		f := rapid.Float64().Draw(r, "f")
		text := rapid.String().Draw(r, "text")
		statement, err := json.Marshal(guest.Statement{SQL: "SELECT ?, CAST(? AS REAL), ?, ?",
			Args: []any{n, f, text, nil}})
		require.NoError(r, err)
		rows, err := query(t.Context(), connection, statement)
		require.NoError(r, err)
		var gotN int64
		var gotF float64
		var gotText string
		var null any
		require.NoError(r, rows.Scan(0, &gotN, &gotF, &gotText, &null))
		require.Equal(r, n, gotN)
		require.Equal(r, f, gotF)
		require.Equal(r, text, gotText)
		require.Nil(r, null)
	})
	require.FileExists(t, d.path)
}

func TestAStatementThatIsNoneIsAnError(t *testing.T) {
	d, err := openDatabase(t.Context(), filepath.Join(t.TempDir(), "a/b/test.db"), 2)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.close()) }()
	connection, err := d.connect(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, connection.Close()) }()
	for encoded, says := range map[string]string{
		``:                                     "not JSON",
		`{"sql": 7}`:                           "not JSON",
		`{"sql": "SELECT 1"} x`:                "not JSON",
		`{"sql": "SELECT ?", "args": [[1]]}`:   "argument",
		`{"sql": "SELECT ?", "args": [1e999]}`: "argument 1",
		`{"sql": "SELECT ?"}`:                  "missing argument",
		`{"sql": "SELEKT"}`:                    "syntax error",
		`{"sql": "INSERT INTO nowhere VALUES (1)"}`: "nowhere",
		`{"sql": "SELECT 9e999"}`:                   "column",
		`{"sql": "SELECT ?", "args": [{"x": 1}]}`:   "argument",
	} {
		_, err := query(t.Context(), connection, []byte(encoded))
		require.ErrorContains(t, err, says, encoded)
		require.NoError(t, rollBack(connection))
	}
}
