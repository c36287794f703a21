package guest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// decode fills in what is derived from the URL, the header and the body.
func (r *Request) decode() error {
	u, err := url.ParseRequestURI(r.URL)
	if err != nil {
		return err
	}
	if !utf8.ValidString(u.Path) {
		return errors.New("the path is not UTF-8")
	}
	r.Path = u.Path
	if r.Query, err = values(u.RawQuery); err != nil {
		return fmt.Errorf("the query cannot be read: %w", err)
	}
	if kind, _, _ := strings.Cut(r.Header.First("Content-Type"),
		";"); strings.TrimSpace(kind) != "application/x-www-form-urlencoded" {
		return nil
	}
	if r.Form, err = values(string(r.Body)); err != nil {
		return fmt.Errorf("the form cannot be read: %w", err)
	}
	return nil
}

// values decodes a query or a form. What is not UTF-8 would be changed silently in JSON.
func values(encoded string) (Values, error) {
	decoded, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, err
	}
	for name, vs := range decoded {
		if !utf8.ValidString(name + strings.Join(vs, "")) {
			return nil, fmt.Errorf("%q is not UTF-8", name)
		}
	}
	return Values(decoded), nil
}
