//go:build wasip1

package main

import (
	"html"
	"strings"
)

const head = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Guestbook</title>
<style>body{font:16px/1.5 system-ui;max-width:36em;margin:2em auto;padding:0 1em}input,textarea{display:block;width:100%;margin:.3em 0;font:inherit}small{color:#666}</style>
<h1>Guestbook</h1>
<form method="post" action="/entries">
<input name="name" placeholder="Your name" required maxlength="80">
<textarea name="message" placeholder="Your message" required maxlength="2000"></textarea>
<button>Sign</button>
</form>
`

func page(entries []entry) string {
	var b strings.Builder
	b.WriteString(head)
	for _, e := range entries {
		b.WriteString("<p><b>" + html.EscapeString(e.Name) + "</b> <small>" + e.CreatedAt + "</small><br>" +
			html.EscapeString(e.Message) + "\n")
	}
	return b.String()
}
