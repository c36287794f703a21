package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// API says where the HTTP API is served beside the socket.
type API struct {
	Listen    string // host:port; empty: nowhere else
	TokenFile string // absolute; empty: none
	// Token is what a caller must show. It is read if Listen is set, and has at least 16 bytes then.
	Token string `json:"-"`
	// ReadTokenFile and ReadToken are the same for who may read and change nothing.
	ReadTokenFile string
	ReadToken     string `json:"-"`
	ReadGroup     string // a name or a number: who is in it may read on the socket; empty: nobody
}

// String leaves the tokens out.
func (a API) String() string {
	return fmt.Sprintf("{%s %s %s %s}", a.Listen, a.TokenFile, a.ReadTokenFile, a.ReadGroup)
}

// The limits of a token, in bytes.
const leastToken, mostToken = 16, 4096

// checkAPI reads the tokens: whoever reaches the address could end every instance without one.
func checkAPI(d *decoder, v value, of *level) {
	a := &of.file.API
	if a.ReadGroup != "" {
		d.group(d.under(v, "read_group"), a.ReadGroup)
	}
	if a.Listen == "" {
		return
	}
	if a.TokenFile == "" {
		d.failf(d.under(v, "token_file", "listen").at, "api.token_file is missing; api.listen needs one: %s",
			makeToken("FILE"))
		return
	}
	a.Token = d.token(d.under(v, "token_file"), a.TokenFile)
	if a.ReadTokenFile == "" {
		return
	}
	file := d.under(v, "read_token_file")
	a.ReadToken = d.token(file, a.ReadTokenFile)
	if a.ReadToken != "" && a.ReadToken == a.Token {
		d.failf(file.at, "api.read_token_file %s holds the token of api.token_file, with which everything may be "+
			"done; make another: %s",
			file.quoted(a.ReadTokenFile), makeToken(file.whole(a.ReadTokenFile)))
	}
}

// token reads the token that is in a file.
func (d *decoder) token(v value, path string) string {
	text, err := d.named(path)
	token := strings.TrimSpace(string(text))
	if err == nil {
		err = checkToken(token)
	}
	if err != nil {
		d.failf(v.at, "%s %s: %v; make one: %s", v.name, v.quoted(path), err, makeToken(v.whole(path)))
	}
	return token
}

// checkMetrics looks at who may read.
func checkMetrics(d *decoder, v value, of *level) {
	m := of.file.Metrics
	if m.Group == "" {
		return
	}
	group := d.under(v, "group")
	if m.Socket == "" {
		d.failf(group.at, "metrics.group is %s, and metrics.socket is not set; it is that socket which the group may "+
			"use", group.quoted(m.Group))
		return
	}
	d.group(group, m.Group)
}

// reachable reports a socket that a group is to use, and cannot come to: the state directory is for the daemon's user
// alone.
func (d *decoder) reachable(file value, f *File) {
	for _, s := range []struct{ section, key, group, socket string }{
		{"api", "read_group", f.API.ReadGroup, f.Socket}, {"metrics", "group", f.Metrics.Group, f.Metrics.Socket},
	} {
		below, err := filepath.Rel(string(f.StateDir), s.socket)
		if s.group == "" || s.socket == "" || err != nil || below == ".." || strings.HasPrefix(below, "../") {
			continue
		}
		group := d.under(d.under(file, s.section), s.key)
		d.failf(group.at, "%s is %s, and the socket for it, %s, lies in state_dir, which is for the daemon's user "+
			"alone; set %s to a path outside of it",
			group.name, group.quoted(s.group), s.socket,
			map[string]string{"api": "socket", "metrics": "metrics.socket"}[s.section])
	}
}

// group reports a group that there is not.
func (d *decoder) group(v value, name string) {
	if d.host.Group == nil {
		return
	}
	if err := d.host.Group(name); err != nil {
		d.failf(v.at, "%s is %s; %v", v.name, v.quoted(name), err)
	}
}

func makeToken(file string) string {
	return fmt.Sprintf("head -c 32 /dev/urandom | base64 > %s; chmod 600 %[1]s", file)
}

// checkToken says nothing of what the token is.
func checkToken(token string) error {
	switch {
	case len(token) < leastToken:
		return fmt.Errorf("the token has %d bytes, and must have %d at least", len(token), leastToken)
	case len(token) > mostToken:
		return fmt.Errorf("the token has more than %d bytes", mostToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token holds a blank, a second line or what is not ASCII; no HTTP header can carry that")
	}
	return nil
}

// tokenNeeded is what checkAPI demands, for the schema.
func tokenNeeded() map[string]any {
	return map[string]any{
		"if": map[string]any{"properties": map[string]any{"listen": map[string]any{"minLength": 1}},
			"required": []string{"listen"}},
		"then": map[string]any{"required": []string{"token_file"}},
	}
}

// named reads a file that the configuration names, and remembers that it did.
func (d *decoder) named(path string) ([]byte, error) {
	d.reads.file(path)
	text, err := d.host.ReadFile(path)
	return text, bare(err)
}

// bare leaves the path out of an error: it is in the message that this one becomes part of.
func bare(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
