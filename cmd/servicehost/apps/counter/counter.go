//go:build wasip1

// Counter is a sample application of servicehost: named numbers that only grow, and survive restarts.
//
//	GET  /                    every counter, by name
//	GET  /?name=NAME          that counter
//	POST /increment[?name=]   adds one and answers the new value; the name is "default" if none is given
package main

import (
	"unicode/utf8"

	"procman/cmd/servicehost/guest"
)

const (
	defaultName = "default"
	maxName     = 64 // characters
)

type counter struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

func main() {} // a reactor: the host calls the exports

//go:wasmexport setup
func setup() {
	if err := guest.Exec(
		`CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID`); err != nil {
		panic(err)
	}
}

//go:wasmexport handle
func handle(n uint32) { guest.Serve(n, respond) }

func respond(r guest.Request) (guest.Response, error) {
	switch r.Path {
	case "/":
		if r.Method != "GET" && r.Method != "HEAD" {
			return guest.NotAllowed(r, "GET, HEAD")
		}
		if name := r.Query.First("name"); name != "" {
			return one(name)
		}
		return all()
	case "/increment":
		if r.Method != "POST" {
			return guest.NotAllowed(r, "POST")
		}
		return increment(r)
	}
	return guest.NotFound(r)
}

func all() (guest.Response, error) {
	rows, err := guest.Query(`SELECT name, value FROM counters ORDER BY name LIMIT 1000`)
	if err != nil {
		return guest.Response{}, err
	}
	counters := make([]counter, rows.Len())
	for i := range counters {
		if err := rows.Scan(i, &counters[i].Name, &counters[i].Value); err != nil {
			return guest.Response{}, err
		}
	}
	return guest.JSON(200, map[string][]counter{"counters": counters})
}

func one(name string) (guest.Response, error) {
	rows, err := guest.Query(`SELECT value FROM counters WHERE name = ?`, name)
	if err != nil {
		return guest.Response{}, err
	}
	if rows.Len() == 0 {
		return guest.Problem(404, "no such counter; POST /increment?name= makes one")
	}
	c := counter{Name: name}
	if err := rows.Scan(0, &c.Value); err != nil {
		return guest.Response{}, err
	}
	return guest.JSON(200, c)
}

func increment(r guest.Request) (guest.Response, error) {
	c := counter{Name: r.Query.First("name")}
	if c.Name == "" {
		c.Name = defaultName
	}
	if !utf8.ValidString(c.Name) || utf8.RuneCountInString(c.Name) > maxName {
		return guest.Problem(400, "the name is not text of at most 64 characters")
	}
	// One statement, so two instances cannot both read the old value.
	rows, err := guest.Query(
		`INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value`, c.Name)
	if err != nil {
		return guest.Response{}, err
	}
	if err := rows.Scan(0, &c.Value); err != nil {
		return guest.Response{}, err
	}
	return guest.JSON(200, c)
}
