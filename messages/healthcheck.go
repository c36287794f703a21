package messages

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HealthKind says how an instance is asked for its health.
type HealthKind string

// The kinds of health checks.
const (
	HealthHTTP    HealthKind = "http"    // a request for Path, whose answer has a status that is accepted
	HealthTCP     HealthKind = "tcp"     // a connection is accepted
	HealthCommand HealthKind = "command" // a command ends with 0
)

// Owner says whose process may answer an instance's health checks.
type Owner string

// The owners.
const (
	OwnerChild Owner = "child" // a process of the instance itself
	OwnerAny   Owner = "any"   // whoever answers: a daemon elsewhere serves for the instance, as with `docker run`
)

// Scheme says how HTTP is spoken.
type Scheme string

// The schemes.
const (
	SchemeHTTP  Scheme = "http"
	SchemeHTTPS Scheme = "https"
)

// OnFailure says what becomes of an instance that is not healthy.
type OnFailure string

// What may become of it.
const (
	FailureRestart OnFailure = "restart" // it is stopped, and what follows is up to its RestartPolicy
	FailureReport  OnFailure = "report"  // it is said, and no process is touched
)

// HealthPolicy says how an instance is probed once it runs. Defaults and limits of all policies: [Fields].
type HealthPolicy struct {
	Kind     HealthKind    // how it is asked
	Path     string        // what is asked for
	Interval time.Duration // between two probes of a running instance
	Timeout  time.Duration // of one probe
	Failures int           // this many failures in a row make an instance unhealthy
	Owner    Owner         // whose the listener must be
	Check    *HealthCheck  // what else is said of it; nil: all of that is as by default. Replaced, and never changed.
}

// HealthCheck is what few instances say of how they are probed.
type HealthCheck struct {
	Status    WordList          // the statuses that are healthy: 200, or 200-299
	Method    string            // of the request
	Host      string            // that it asks for; with the default the port is added
	Headers   map[string]string // beside those that every request has; their values are shown nowhere
	Scheme    Scheme
	TLS       TLSFiles
	Command   []string // and its arguments, in which {id}, {wasm_path}, {db_name} and {port} are filled in
	OnFailure OnFailure
}

// TLSFiles says by which certificates HTTPS is spoken. Their files are read again when they have changed.
type TLSFiles struct {
	CA         string // those that sign the certificate of the server; empty: those that the host trusts
	Cert, Key  string // of the client; empty: it shows none
	ServerName string // for which the certificate of the server must be; empty: the host that is asked for
}

// usualCheck is what a HealthPolicy without a HealthCheck has. It is never written to.
var usualCheck = HealthCheck{Status: "200", Method: "GET", Host: "localhost", Headers: map[string]string{},
	Scheme: SchemeHTTP, Command: []string{},
	OnFailure: FailureRestart}

// Asks returns how an instance of the policy, whose defaults are filled in, is asked. It is not to be changed.
func (p HealthPolicy) Asks() *HealthCheck {
	if p.Check == nil {
		return &usualCheck
	}
	return p.Check
}

// Same reports whether p and q say the same.
func (p *HealthPolicy) Same(q *HealthPolicy) bool {
	if p.Check == q.Check {
		return *p == *q
	}
	one, other := *p, *q
	one.Check, other.Check = nil, nil
	return one == other && reflect.DeepEqual(p.Asks(), q.Asks())
}

// Used returns the policy without what its kind makes no use of, as it may be inherited.
func (p HealthPolicy) Used() HealthPolicy {
	if p.Check == nil {
		return p
	}
	c := *p.Check
	if p.Kind != HealthCommand {
		c.Command = usualCheck.Command
	}
	if p.Kind != HealthHTTP && p.Kind != "" {
		c.Scheme = usualCheck.Scheme
	}
	if c.Scheme != SchemeHTTPS {
		c.TLS = TLSFiles{}
	}
	p.Check = &c
	return p
}

// Accepts reports whether an answer with that status is healthy.
func (c *HealthCheck) Accepts(status int) bool {
	for word := range strings.FieldsSeq(string(c.Status)) {
		if first, last, ok := statuses(word); ok && first <= status && status <= last {
			return true
		}
	}
	return false
}

// statuses reads 200, or 200-299.
func statuses(word string) (first, last int, ok bool) {
	from, to, isRange := strings.Cut(word, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	return first, last, err1 == nil && err2 == nil && len(from) == 3 && len(to) == 3 && 200 <= first &&
		first <= last && last <= 599
}

// HealthFault is something that no single key of a HealthPolicy shows.
type HealthFault struct {
	Key  string // the one to look at, without its section
	Text string
}

// Faults returns what is wrong with the policy as a whole, its defaults filled in.
func (p *HealthPolicy) Faults() (list []HealthFault) {
	c := p.Asks()
	add := func(wrong bool, key, text string) {
		if wrong {
			list = append(list, HealthFault{key, text})
		}
	}
	add(p.Kind == HealthCommand && len(c.Command) == 0, "kind",
		"health.kind is command, and health.command, which it runs, is missing")
	add(c.TLS.Cert != "" && c.TLS.Key == "", "tls",
		"health.tls.cert_file is given without health.tls.key_file: a client shows both, or none")
	add(c.TLS.Cert == "" && c.TLS.Key != "", "tls",
		"health.tls.key_file is given without health.tls.cert_file: a client shows both, or none")
	return list
}

// wrongCommand is the check of health.command.
func wrongCommand(a *AppInstance) (errs []error) {
	for _, arg := range a.Health.Asks().Command {
		errs = append(errs, noNUL(arg))
		errs = append(errs, unknownPlaceholders("health.command", arg)...)
	}
	return errs
}

// wrongHeaders is the check of health.headers. It quotes no value.
func wrongHeaders(a *AppInstance) (errs []error) {
	headers := a.Health.Asks().Headers
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if complaint := HeaderComplaint(name, headers[name]); complaint != "" {
			errs = append(errs, fmt.Errorf("health.headers: %s", complaint))
		}
	}
	return errs
}

// HeaderComplaint says what is wrong with a header of a request, without its value. Empty: nothing is.
func HeaderComplaint(name, value string) string {
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}
	switch {
	case name == "" || strings.ContainsFunc(name, odd):
		// not quoted: it may be a value that slipped
		return "this cannot be the name of a header, which has letters, digits and hyphens"
	case strings.EqualFold(name, "Host"):
		return "Host is said by health.host"
	case slices.ContainsFunc([]string{"Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Trailer",
		"TE", "Expect"},
		func(s string) bool { return strings.EqualFold(s, name) }):
		return fmt.Sprintf("%s is not to be chosen: a probe is one request without a body, on a connection of its own",
			name)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return fmt.Sprintf("the value of %s holds a control character, such as the end of a line", name)
	}
	return ""
}

// secretHeaders are the values of headers that must not appear in any output.
func (c *HealthCheck) secretHeaders() (list []string) {
	for name, value := range c.Headers {
		name = strings.ToUpper(name)
		if slices.ContainsFunc([]string{"AUTH", "COOKIE", "TOKEN", "KEY", "SECRET", "PASS"},
			func(s string) bool { return strings.Contains(name, s) }) {
			list = append(list, value)
			if _, credentials, two := strings.Cut(value, " "); two { // behind Bearer
				list = append(list, credentials)
			}
		}
	}
	return list
}

// The limits of the fields of a HealthCheck.
var (
	statusList = append(someWord, Must(func(l WordList) string {
		for _, word := range l.Words() {
			if _, _, ok := statuses(word); !ok {
				return fmt.Sprintf("%.40q is neither a status, from 200 to 599, nor a range such as 200-299", word)
			}
		}
		return ""
	}, nil))
	method = []Limit{Must(func(s string) string {
		odd := s == "" || len(s) > 20 || s == "CONNECT" ||
			strings.ContainsFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' })
		return when(odd, "it must be a method in capitals, such as GET, HEAD or POST")
	}, map[string]any{"pattern": "^[A-Z]{1,20}$"})}
	hostName = []Limit{Must(func(s string) string {
		odd := s == "" || strings.ContainsFunc(s,
			func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/?#@\\", r) })
		return when(odd, "it must be a host such as example.org, or example.org:8080, as a request names it")
	}, map[string]any{"pattern": `^[^\x00-\x20\x7f/?#@\\]+$`})}
	serverName = []Limit{Must(func(s string) string {
		odd := strings.ContainsFunc(s,
			func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/?#@\\", r) })
		return when(odd, "it must be a name such as example.org, or an address, as the certificate has it")
	}, map[string]any{"pattern": `^[^\x00-\x20\x7f/?#@\\]*$`})}
)

// ofCheck makes a field one of the HealthCheck: what is at its default in all of them takes no room in an instance.
func ofCheck(f Field, at func(*HealthCheck) any) Field {
	f.Effect = Applied
	f.At = func(a *AppInstance) any { return at(a.Health.Asks()) }
	f.Into = func(a *AppInstance) any {
		c := *a.Health.Asks()
		c.Headers = maps.Clone(c.Headers)
		a.Health.Check = &c
		return at(&c)
	}
	return f
}

// checkFields are the fields of a HealthCheck.
func checkFields() table {
	u := usualCheck
	return table{
		ofCheck(Field{Key: "health.method", Kind: KindText, Default: u.Method, Limits: method, Doc: "of the request"},
			func(c *HealthCheck) any { return &c.Method }),
		ofCheck(Field{Key: "health.status", Kind: KindWords, Default: u.Status, Limits: statusList,
			Doc: "the statuses that are healthy, one by one or in ranges as 200-299"},
			func(c *HealthCheck) any { return &c.Status }),
		ofCheck(Field{Key: "health.host", Kind: KindText, Default: u.Host, Limits: hostName,
			Doc: "what is asked for as Host; the connection goes to this host in any case"},
			func(c *HealthCheck) any { return &c.Host }),
		ofCheck(Field{Key: "health.headers", Kind: KindNames, Default: u.Headers, Hidden: true, check: wrongHeaders,
			Doc: "of the request, beside its own; their values are shown nowhere"},
			func(c *HealthCheck) any { return &c.Headers }),
		ofCheck(Field{Key: "health.scheme", Kind: KindText, Default: u.Scheme, Words: words(SchemeHTTP, SchemeHTTPS),
			Doc: "how HTTP is spoken"},
			func(c *HealthCheck) any { return &c.Scheme }),
		ofCheck(Field{Key: "health.tls.ca_file", Kind: KindPath, Default: "",
			Doc: "with the certificates that sign the one of the server; empty: those that this host trusts"},
			func(c *HealthCheck) any { return &c.TLS.CA }),
		ofCheck(Field{Key: "health.tls.cert_file", Kind: KindPath, Default: "",
			Doc: "with the certificate that the probe shows; read again when it changes"},
			func(c *HealthCheck) any { return &c.TLS.Cert }),
		ofCheck(Field{Key: "health.tls.key_file", Kind: KindPath, Default: "", Doc: "with its private key"},
			func(c *HealthCheck) any { return &c.TLS.Key }),
		ofCheck(Field{Key: "health.tls.server_name", Kind: KindText, Default: "", Limits: serverName,
			Doc: "for which the certificate of the server must be; empty: the host that is asked for"},
			func(c *HealthCheck) any { return &c.TLS.ServerName }),
		ofCheck(Field{Key: "health.command", Kind: KindTexts, Default: u.Command, check: wrongCommand,
			Doc: "a program and its arguments, as in args; it runs as the instance does, and 0 is healthy"},
			func(c *HealthCheck) any { return &c.Command }),
		ofCheck(Field{Key: "health.on_failure", Kind: KindText, Default: u.OnFailure,
			Words: words(FailureRestart, FailureReport),
			Doc:   "what becomes of one that is not healthy: it is ended, or that is said"},
			func(c *HealthCheck) any { return &c.OnFailure }),
	}
}
