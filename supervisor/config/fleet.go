package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"procman/messages"
	"procman/supervisor/fleet/member"
)

// Fleet says of which fleet this host is a member, and as what. Its schedule fits, see member.NewSchedule.
type Fleet struct {
	Endpoints []string // of etcd: http or https, a host and perhaps a port, nothing else; at least one
	Name      string   // of the fleet
	Host      string   // of this host in it; never empty
	Capacity  int      // how many instances at most; 0: no limit
	Labels    map[string]string

	TTL   time.Duration // of the lease
	Grace time.Duration // what fenced instances get to end once they may not be here any more

	TLS          FleetTLS
	User         string
	PasswordFile string // absolute; empty if, and only if, User is
}

// FleetTLS are the files of the connection to etcd, absolute. They are read by who connects, when he does.
type FleetTLS struct {
	CAFile            string // of the servers' certificates; empty: the host's
	CertFile, KeyFile string // what the servers are shown; both or none
}

// fleet is where its settings are read.
func (f *File) fleet() *Fleet {
	if f.Fleet == nil {
		return &Fleet{}
	}
	return f.Fleet
}

// fleetKeys are the settings of a fleet's host.
func fleetKeys() []key {
	set := func(f messages.Field, at func(*Fleet) any) key {
		f.Key, f.Effect = "fleet."+f.Key, messages.NewDaemon
		return setting(f, func(f *File) any { return at(f.fleet()) })
	}
	endpoints := set(messages.Field{Key: "endpoints", Kind: messages.KindTexts,
		Doc: "the members of etcd, 3.6.5 or later: a list of https://HOST:PORT"},
		func(f *Fleet) any { return &f.Endpoints })
	endpoints.required, endpoints.read, endpoints.sample = true, readEndpoints, `["https://10.0.0.1:2379"]`
	labels := set(messages.Field{Key: "labels", Kind: messages.KindNames,
		Limits: []messages.Limit{messages.HostLabels()},
		Doc:    "of this host; an instance may ask for some by hosts"}, func(f *Fleet) any { return &f.Labels })
	labels.sample = "{}"
	// What begins and checks a section is said by one of its keys.
	name := set(messages.Field{Key: "name", Kind: messages.KindText, Default: "default",
		Limits: []messages.Limit{fleetName(false)},
		Doc:    "the fleet; its keys in etcd lie below /procman/NAME/"}, func(f *Fleet) any { return &f.Name })
	name.begin, name.check = func(f *File) { f.Fleet = &Fleet{} }, checkFleet
	file := func(key, doc string, at func(*Fleet) any) key {
		return set(messages.Field{Key: key, Kind: messages.KindPath, Default: "", Doc: doc}, at)
	}
	return []key{
		endpoints, name,
		set(messages.Field{Key: "host", Kind: messages.KindText, Default: "", Limits: []messages.Limit{fleetName(true)},
			Doc: "this host in the fleet, unlike every other one; default: the host name"},
			func(f *Fleet) any { return &f.Host }),
		set(messages.Field{Key: "capacity", Kind: messages.KindInteger, Default: 0,
			Limits: []messages.Limit{messages.AtLeast(0)},
			Doc:    "how many instances of the fleet at most; 0: no limit"}, func(f *Fleet) any { return &f.Capacity }),
		labels,
		set(messages.Field{Key: "ttl", Kind: messages.KindDuration, Default: 9 * time.Second,
			Doc: "of the lease: so long after a host was heard of last, others take over what may move"},
			func(f *Fleet) any { return &f.TTL }),
		set(messages.Field{Key: "grace", Kind: messages.KindDuration, Default: 1500 * time.Millisecond,
			Doc: "between TERM and KILL of what a partition ends"}, func(f *Fleet) any { return &f.Grace }),
		file("tls.ca_file", "who has signed etcd's certificates; default: whom the host trusts",
			func(f *Fleet) any { return &f.TLS.CAFile }),
		file("tls.cert_file", "what etcd is shown", func(f *Fleet) any { return &f.TLS.CertFile }),
		file("tls.key_file", "of cert_file", func(f *Fleet) any { return &f.TLS.KeyFile }),
		set(messages.Field{Key: "user", Kind: messages.KindText, Default: "", Doc: "of etcd"},
			func(f *Fleet) any { return &f.User }),
		file("password_file", "with the user's password", func(f *Fleet) any { return &f.PasswordFile }),
	}
}

// fleetName is the limit of what becomes part of a key in the store.
func fleetName(mayBeEmpty bool) messages.Limit {
	pattern := "^[A-Za-z0-9][A-Za-z0-9._-]*$"
	if mayBeEmpty {
		pattern = "^$|" + pattern
	}
	return messages.Must(func(s string) string {
		if s == "" && mayBeEmpty || messages.InstanceID(s).Validate() == nil {
			return ""
		}
		return fmt.Sprintf("it is 1 to %d letters, digits, '.', '_' and '-', and begins with a letter or a digit",
			messages.MaxInstanceID)
	}, map[string]any{"pattern": pattern, "maxLength": messages.MaxInstanceID})
}

func readEndpoints(d *decoder, v value, l *level) {
	items, _ := d.items(v, texts)
	for _, item := range items {
		if _, is := item.node.(*ast.MappingNode); is {
			d.failf(item.at, "%s must be text; within braces it needs quotes", item.name)
			continue
		}
		text, ok := d.verbatim(item)
		if !ok {
			continue
		}
		shown := item.quoted(text)
		if strings.Contains(text, "@") { // there may be a password before it
			shown = mask
			d.src.hideValue(item.at.Line, item.at.Column)
		}
		if complaint := wrongEndpoint(text); complaint != "" {
			d.failf(item.at, "%s is %s; %s", item.name, shown, complaint)
		}
		l.file.Fleet.Endpoints = append(l.file.Fleet.Endpoints, text)
	}
}

func wrongEndpoint(text string) string {
	u, err := url.Parse(text)
	switch {
	case strings.Contains(text, "@"):
		return "a user is named by fleet.user and fleet.password_file"
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return "write https://HOST:PORT, or http:// for one that is not protected"
	}
	return ""
}

// checkFleet looks at what no single key of a fleet shows, and finds out as what this host is known.
func checkFleet(d *decoder, v value, of *level) {
	f := of.file.Fleet
	fail := func(format string, args []any, keys ...string) { d.failf(d.under(v, keys...).at, format, args...) }
	if len(f.Endpoints) == 0 {
		fail("fleet.endpoints is missing; name the members of etcd, such as [https://10.0.0.1:2379]", nil, "endpoints")
	}
	if _, err := member.NewSchedule(f.TTL, f.Grace); err != nil {
		fail("%v", []any{err}, "ttl", "grace")
	}
	tls := d.under(v, "tls")
	if (f.TLS.CertFile == "") != (f.TLS.KeyFile == "") {
		d.failf(d.under(tls, "cert_file", "key_file").at,
			"of fleet.tls.cert_file and fleet.tls.key_file one is given; both are needed, or none")
	}
	for _, e := range f.Endpoints {
		if f.TLS != (FleetTLS{}) && strings.HasPrefix(e, "http:") {
			fail("fleet.endpoints has %s, which is not protected, but fleet.tls is given; write https",
				[]any{d.under(v, "endpoints").quoted(e)}, "endpoints")
			break
		}
	}
	if (f.User == "") != (f.PasswordFile == "") {
		fail("of fleet.user and fleet.password_file one is given; both are needed, or none", nil,
			"user", "password_file")
	}
	if f.Host == "" {
		f.Host = d.hostName()
		if messages.InstanceID(f.Host).Validate() != nil {
			fail("fleet.host is missing, and the host name %s cannot stand for it; write fleet.host",
				[]any{clip(f.Host)}, "host")
		}
	}
}

// hostName is the name of this host; empty if it cannot be known.
func (d *decoder) hostName() string {
	if d.host.Hostname == nil {
		return ""
	}
	name, err := d.host.Hostname()
	if err != nil { // who needs it says that it is missing
		return ""
	}
	return name
}
