//go:build wasip1

// Guestbook is a sample application of servicehost: visitors leave a name and a message.
//
//	GET  /                    the page, with a form
//	GET  /entries[?limit=N]   the entries, newest first, as JSON
//	POST /entries             {"name", "message"} as JSON, or as a form; 201 with the entry (a form: 303 to the page)
package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"procman/cmd/servicehost/guest"
)

const (
	maxName    = 80   // characters
	maxMessage = 2000 // characters
	maxEntries = 500  // in one answer
)

type entry struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Message   string `json:"message"`
	CreatedAt string `json:"created_at"`
}

func main() {} // a reactor: the host calls the exports

//go:wasmexport setup
func setup() {
	if err := guest.Exec(`CREATE TABLE IF NOT EXISTS entries (
		id         INTEGER PRIMARY KEY,
		name       TEXT NOT NULL,
		message    TEXT NOT NULL,
		created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
	)`); err != nil {
		panic(err)
	}
}

//go:wasmexport handle
func handle(n uint32) { guest.Serve(n, respond) }

func respond(r guest.Request) (guest.Response, error) {
	read := r.Method == "GET" || r.Method == "HEAD"
	switch {
	case r.Path == "/" && read:
		entries, err := newest(50)
		if err != nil {
			return guest.Response{}, err
		}
		return guest.HTML(page(entries))
	case r.Path == "/":
		return guest.NotAllowed(r, "GET, HEAD")
	case r.Path == "/entries" && read:
		return list(r)
	case r.Path == "/entries" && r.Method == "POST":
		return sign(r)
	case r.Path == "/entries":
		return guest.NotAllowed(r, "GET, HEAD, POST")
	}
	return guest.NotFound(r)
}

func list(r guest.Request) (guest.Response, error) {
	limit := 100
	if asked := r.Query.First("limit"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 1 || n > maxEntries {
			return guest.Problem(400, "limit is not a number from 1 to "+strconv.Itoa(maxEntries))
		}
		limit = n
	}
	entries, err := newest(limit)
	if err != nil {
		return guest.Response{}, err
	}
	return guest.JSON(200, entries)
}

func newest(limit int) ([]entry, error) {
	rows, err := guest.Query(`SELECT id, name, message, created_at FROM entries ORDER BY id DESC LIMIT ?`, limit)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, rows.Len())
	for i := range entries {
		e := &entries[i]
		if err := rows.Scan(i, &e.ID, &e.Name, &e.Message, &e.CreatedAt); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func sign(r guest.Request) (guest.Response, error) {
	e := entry{Name: r.Form.First("name"), Message: r.Form.First("message")}
	form := r.Form != nil
	if !form {
		if err := json.Unmarshal(r.Body, &e); err != nil {
			return guest.Problem(400, `the body is neither a form nor JSON like {"name": "Ada", "message": "Hello"}`)
		}
	}
	e.Name, e.Message = strings.TrimSpace(e.Name), strings.TrimSpace(e.Message)
	if !text(e.Name, maxName) || !text(e.Message, maxMessage) {
		return guest.Problem(400, "name (at most 80 characters) and message (at most 2000) are text and not empty")
	}
	rows, err := guest.Query(`INSERT INTO entries (name, message) VALUES (?, ?) RETURNING id, created_at`,
		e.Name, e.Message)
	if err != nil {
		return guest.Response{}, err
	}
	if err := rows.Scan(0, &e.ID, &e.CreatedAt); err != nil {
		return guest.Response{}, err
	}
	if form {
		return guest.SeeOther("/")
	}
	return guest.JSON(201, e)
}

func text(s string, most int) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= most
}
