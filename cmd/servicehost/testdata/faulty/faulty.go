//go:build wasip1

// Faulty is an application that does everything wrong: each path is one way.
package main

import (
	"os"
	"time"

	"procman/cmd/servicehost/guest"
)

//go:wasmimport servicehost take
func take(ptr, size uint32)

//go:wasmimport servicehost respond
func answer(ptr, size uint32)

func main() {}

var served int

//go:wasmexport setup
func setup() {
	if err := guest.Exec(`CREATE TABLE IF NOT EXISTS t (a, b)`); err != nil {
		panic(err)
	}
}

//go:wasmexport handle
func handle(n uint32) {
	served++
	guest.Serve(n, respond)
}

func respond(r guest.Request) (guest.Response, error) {
	switch r.Path {
	case "/panic":
		panic("faulty on purpose")
	case "/exit":
		os.Exit(0)
	case "/trap":
		var nothing *guest.Request
		return guest.Problem(200, nothing.Path)
	case "/take":
		take(0, 1<<20)
	case "/outside":
		answer(1<<31, 1<<30)
	case "/nonsense":
		answer(0, 8)
	case "/spin":
		for {
			served++
		}
	case "/sleep":
		d, err := time.ParseDuration(r.Query.First("for"))
		if err != nil {
			return guest.Response{}, err
		}
		time.Sleep(d)
	case "/hog":
		var all [][]byte
		for {
			all = append(all, make([]byte, 64<<20)) // in large steps: each growth copies the memory
			served += len(all)
		}
	case "/status":
		return guest.Response{Status: 7}, nil
	case "/header":
		return guest.Response{Header: map[string]string{"X-Split": "a\r\nX-Evil: 1", "Content-Length": "99999",
			"Bad Name": "x"}, Body: []byte("ok")}, nil
	case "/begin":
		if err := guest.Exec(`BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 'left open')`); err != nil {
			return guest.Response{}, err
		}
	case "/transaction":
		for _, sql := range []string{`BEGIN IMMEDIATE`, `INSERT INTO t VALUES (2, 'committed')`, `COMMIT`} {
			if err := guest.Exec(sql); err != nil {
				return guest.Response{}, err
			}
		}
	case "/sql":
		rows, err := guest.Query(string(r.Body))
		if err != nil {
			return guest.Problem(422, err.Error())
		}
		return guest.JSON(200, rows)
	case "/values":
		rows, err := guest.Query(`SELECT ?, ?, ?, ?`, nil, int64(9007199254740993), 2.5, "té\x00xt")
		if err != nil {
			return guest.Response{}, err
		}
		return guest.JSON(200, rows)
	}
	return guest.JSON(200, map[string]int{"served": served})
}
