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
	d, err := openDatabase(t.Context(), filepath.Join(t.TempDir(), "odd ?#%41 name.db"), 1)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.close()) }()
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.Int64().Draw(r, "n")
		f := rapid.Float64().Draw(r, "f")
		text := rapid.String().Draw(r, "text")
		blob := guest.Blob{Bytes: rapid.SliceOf(rapid.Byte()).Draw(r, "blob")}
		statement, err := json.Marshal(guest.Statement{SQL: "SELECT ?, CAST(? AS REAL), ?, ?, ?", Args: []any{n, f, text, blob, nil}})
		require.NoError(r, err)
		s := session{pool: d.pool}
		rows := s.query(t.Context(), statement)
		require.NoError(r, s.end())
		require.Empty(r, rows.Error)
		var gotN int64
		var gotF float64
		var gotText string
		var gotBlob guest.Blob
		var null any
		require.NoError(r, rows.Scan(0, &gotN, &gotF, &gotText, &gotBlob, &null))
		require.Equal(r, n, gotN)
		require.Equal(r, f, gotF)
		require.Equal(r, text, gotText)
		require.Equal(r, len(blob.Bytes), len(gotBlob.Bytes))
		require.Equal(r, append([]byte{}, blob.Bytes...), append([]byte{}, gotBlob.Bytes...))
		require.Nil(r, null)
	})
	require.FileExists(t, d.path)
}

func TestAStatementThatIsNoneIsAnError(t *testing.T) {
	d, err := openDatabase(t.Context(), filepath.Join(t.TempDir(), "a/b/test.db"), 1)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.close()) }()
	for encoded, says := range map[string]string{
		``:                                   "not JSON",
		`{"sql": 7}`:                         "not JSON",
		`{"sql": "SELECT 1"} x`:              "something else",
		`{"sql": "SELECT ?", "args": [[1]]}`: "argument 1",
		`{"sql": "SELECT ?", "args": [{"blob": "%"}]}`:       "argument 1",
		`{"sql": "SELECT ?", "args": [1e999]}`:               "argument 1",
		`{"sql": "SELECT ?"}`:                                "missing argument",
		`{"sql": "SELEKT"}`:                                  "syntax error",
		`{"sql": "INSERT INTO nowhere VALUES (1)"}`:          "nowhere",
		`{"sql": "SELECT 9e999"}`:                            "column",
		`{"sql": "SELECT ?", "args": [{"blob": "", "x":1}]}`: "argument 1",
	} {
		s := session{pool: d.pool}
		require.Contains(t, s.query(t.Context(), []byte(encoded)).Error, says, encoded)
		require.NoError(t, s.end())
	}
}
