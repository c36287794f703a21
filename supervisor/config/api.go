package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// API says where the HTTP API is served beside the socket.
type API struct {
	Listen    string // host:port; empty: nowhere else
	TokenFile string // absolute; empty: none
	// Token is what a caller must show. It is read if Listen is set, and has at least 16 bytes then.
	Token string `json:"-"`
}

// String leaves the token out.
func (a API) String() string { return fmt.Sprintf("{%s %s}", a.Listen, a.TokenFile) }

// The limits of a token, in bytes.
const leastToken, mostToken = 16, 4096

// checkAPI reads the token: whoever reaches the address could end every instance without one.
func checkAPI(d *decoder, v value, of *level) {
	a := &of.file.API
	if a.Listen == "" {
		return
	}
	if a.TokenFile == "" {
		d.failf(d.under(v, "token_file", "listen").at, "api.token_file is missing; api.listen needs one: %s", makeToken("FILE"))
		return
	}
	text, err := d.named(a.TokenFile)
	if a.Token = strings.TrimSpace(string(text)); err == nil {
		err = checkToken(a.Token)
	}
	if err != nil {
		file := d.under(v, "token_file")
		d.failf(file.at, "api.token_file %s: %v; make one: %s", file.quoted(a.TokenFile), err, makeToken(file.whole(a.TokenFile)))
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
		"if":   map[string]any{"properties": map[string]any{"listen": map[string]any{"minLength": 1}}, "required": []string{"listen"}},
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
