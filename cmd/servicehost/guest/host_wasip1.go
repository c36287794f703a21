package guest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unsafe"
)

//go:wasmimport servicehost take
func hostTake(ptr unsafe.Pointer, size uint32)

//go:wasmimport servicehost respond
func hostRespond(ptr unsafe.Pointer, size uint32)

//go:wasmimport servicehost query
func hostQuery(ptr unsafe.Pointer, size uint32) uint32

// Serve answers the request of n bytes that waits in the host. The body of the exported function handle. A URL or a
// form that cannot be decoded is answered with 400. An error of the handler is written to stderr and answered with 500;
// a panic ends the instance, which the host answers with 500.
func Serve(n uint32, handler func(Request) (Response, error)) {
	var request Request
	err := json.Unmarshal(take(n), &request)
	var response Response
	if err == nil {
		if bad := request.decode(); bad != nil {
			response, err = Problem(400, bad.Error())
		} else {
			response, err = handler(request)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s %s: %v\n", request.Method, request.URL, err)
		response = Response{Status: 500, Body: []byte(`{"error":"internal error"}`),
			Header: map[string]string{"Content-Type": "application/json"}}
	}
	response.Status = cmp.Or(response.Status, 200)
	encoded, err := json.Marshal(response)
	if err != nil {
		panic(err) // a Response holds only strings, numbers and bytes
	}
	hostRespond(unsafe.Pointer(unsafe.SliceData(encoded)), uint32(len(encoded)))
}

// Exec runs statements whose rows nobody needs.
func Exec(sql string, args ...any) error {
	_, err := Query(sql, args...)
	return err
}

// Query runs a statement and returns all its rows. Values belong in args, never into the text of the SQL. The host
// bounds the size of the rows: use LIMIT. What a change did is in RETURNING, changes() and last_insert_rowid().
func Query(sql string, args ...any) (Rows, error) {
	encoded, err := json.Marshal(Statement{SQL: sql, Args: args})
	if err != nil {
		return Rows{}, fmt.Errorf("the arguments of %q: %w", sql, err)
	}
	var rows Rows
	if err := json.Unmarshal(take(hostQuery(unsafe.Pointer(unsafe.SliceData(encoded)), uint32(len(encoded)))),
		&rows); err != nil {
		return Rows{}, err
	}
	if rows.Error != "" {
		return Rows{}, errors.New(rows.Error)
	}
	return rows, nil
}

func take(n uint32) []byte {
	b := make([]byte, n)
	hostTake(unsafe.Pointer(unsafe.SliceData(b)), n)
	return b
}
