package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"procman/messages"
	"procman/supervisor"
)

// Fleet is what the API needs of a host's part in a fleet.
type Fleet interface {
	// Standing never waits.
	Standing() messages.FleetStanding
	// Hosts returns the hosts, sorted by name.
	Hosts(ctx context.Context) ([]messages.FleetHost, error)
	// Instances returns those of the fleet, or those that are named. The error is messages.ErrUnknownInstance if one is
	// not there.
	Instances(ctx context.Context, ids ...messages.InstanceID) ([]messages.FleetInstance, error)
	// Apply puts instances on the fleet's list, in the keys of the configuration; with prune it takes all others off.
	// What is wrong with one leaves the list as it is.
	Apply(ctx context.Context, specs map[messages.InstanceID]json.RawMessage,
		prune bool) ([]messages.FleetChange, error)
	// Delete takes instances off the list. The error is messages.ErrUnknownInstance if one is not there.
	Delete(ctx context.Context, ids ...messages.InstanceID) ([]messages.FleetChange, error)
	// Drain has a host give up what may move, and take nothing; or ends that.
	Drain(ctx context.Context, host string, drain bool) error
	// Rebalance has what may move move to where it would be placed anew.
	Rebalance(ctx context.Context) error
}

// FleetReport is what GET /v1/fleet answers: how this host stands with its fleet.
type FleetReport struct {
	Schema int `json:"schema"`
	messages.FleetStanding
	// how much longer what is fenced may run here; 0: no lease, or nothing left of it
	DeadlineSeconds float64 `json:"deadline_seconds"`
}

// FleetHosts is what GET /v1/fleet/hosts answers.
type FleetHosts struct {
	Schema int                  `json:"schema"`
	Hosts  []messages.FleetHost `json:"hosts"` // sorted by name
}

// FleetInstances is what GET /v1/fleet/instances answers.
type FleetInstances struct {
	Schema    int                      `json:"schema"`
	Instances []messages.FleetInstance `json:"instances"` // sorted by id
}

// FleetList is the body of PUT /v1/fleet/instances: instances in the keys of the configuration, by id.
type FleetList struct {
	Instances map[messages.InstanceID]json.RawMessage `json:"instances"`
}

// FleetChanges is what a change of the fleet's list answers.
type FleetChanges struct {
	Schema  int                    `json:"schema"`
	Changes []messages.FleetChange `json:"changes"`
}

// FleetDrain is what POST /v1/fleet/hosts/{host}/drain and undrain answer.
type FleetDrain struct {
	Host     string `json:"host"`
	Draining bool   `json:"draining"`
}

// The bounds of a change of the fleet's list. In a million bytes of it there are some thousand instances.
const (
	maxList       = 32 << 20
	listTimeout   = time.Minute
	listsAtOnce   = 1 // each is in memory as a whole
	fleetInstance = "/v1/fleet/instances"
)

var errNoFleet = &Error{"this daemon is a host of no fleet; a section fleet in its configuration, with the endpoints " +
	"of etcd, makes it one",
	CodeNoFleet, http.StatusNotFound}

func (s *Server) fleetRoutes() []route {
	return []route{
		{"GET", "/v1/fleet", s.ofFleet(s.fleetStanding)},
		{"GET", "/v1/fleet/hosts", s.ofFleet(s.fleetHosts)},
		{"POST", "/v1/fleet/hosts/{host}/drain", s.ofFleet(s.fleetDrain(true))},
		{"POST", "/v1/fleet/hosts/{host}/undrain", s.ofFleet(s.fleetDrain(false))},
		{"GET", fleetInstance, s.ofFleet(s.fleetInstances)},
		{"PUT", fleetInstance, s.ofFleet(s.fleetApply)},
		{"GET", fleetInstance + "/{id}", s.ofFleet(s.fleetOne)},
		{"DELETE", fleetInstance + "/{id}", s.ofFleet(s.fleetDelete)},
		{"POST", "/v1/fleet/rebalance", s.ofFleet(s.fleetRebalance)},
	}
}

// ofFleet is the endpoint of a host that may be in no fleet. What serve returns is the answer; nil: it has answered
// itself. Its context ends in time for an answer.
func (s *Server) ofFleet(serve func(ctx context.Context, w http.ResponseWriter, r *http.Request) (any,
	error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.options.Fleet == nil {
			s.no(w, r, errNoFleet)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), decideTimeout)
		defer cancel()
		answer, err := serve(ctx, w, r)
		switch {
		case err != nil:
			s.no(w, r, answerTo(err))
		case answer != nil:
			s.yes(w, r, http.StatusOK, answer)
		}
	}
}

func (s *Server) fleetStanding(_ context.Context, _ http.ResponseWriter, _ *http.Request) (any, error) {
	return s.fleetReport(), nil
}

func (s *Server) fleetReport() *FleetReport {
	now := s.options.Fleet.Standing()
	return &FleetReport{Schema, now, now.Deadline.Seconds()}
}

func (s *Server) fleetHosts(ctx context.Context, _ http.ResponseWriter, _ *http.Request) (any, error) {
	hosts, err := s.options.Fleet.Hosts(ctx)
	for i := range hosts {
		if hosts[i].Labels == nil {
			hosts[i].Labels = map[string]string{}
		}
	}
	return FleetHosts{Schema, append([]messages.FleetHost{}, hosts...)}, err
}

// fleetInstances writes them one after the other: there may be very many.
func (s *Server) fleetInstances(ctx context.Context, w http.ResponseWriter, r *http.Request) (any, error) {
	query := r.URL.Query()
	specs := true
	if text := query.Get("spec"); text != "" {
		var err error
		if specs, err = strconv.ParseBool(text); err != nil {
			return nil, refuse("spec is %.100q; it must be true or false", text)
		}
	}
	all, err := s.options.Fleet.Instances(ctx, asIDs(query["id"])...)
	if err != nil {
		return nil, err
	}
	s.begin(w, http.StatusOK)
	text := append(make([]byte, 0, 2*pieceOfAnswer), fmt.Sprintf(`{"schema":%d,"instances":[`, Schema)...)
	for n := range all {
		if !specs {
			all[n].Spec = nil
		}
		one, err := json.Marshal(shown(all[n]))
		if err != nil {
			s.log.Error("bug: an instance of the fleet has no JSON form", "instance", all[n].ID, "error", err)
			return nil, nil // it is cut short, which shows
		}
		if n > 0 {
			text = append(text, ',')
		}
		if text = append(text, one...); len(text) >= pieceOfAnswer {
			if _, err := w.Write(text); err != nil {
				s.unsent(r, err)
				return nil, nil
			}
			text = text[:0]
		}
	}
	if _, err := w.Write(append(text, "]}\n"...)); err != nil {
		s.unsent(r, err)
	}
	return nil, nil
}

func asIDs(texts []string) []messages.InstanceID {
	ids := make([]messages.InstanceID, len(texts))
	for n, text := range texts {
		ids[n] = messages.InstanceID(text)
	}
	return ids
}

func (s *Server) fleetOne(ctx context.Context, _ http.ResponseWriter, r *http.Request) (any, error) {
	id := messages.InstanceID(r.PathValue("id"))
	some, err := s.options.Fleet.Instances(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case len(some) != 1:
		return nil, messages.ErrUnknownInstance{ID: id}
	}
	return shown(some[0]), nil
}

// shown is an instance as it may be shown: what looks secret is masked, and a mapping is never null.
func shown(i messages.FleetInstance) messages.FleetInstance {
	if i.Hosts == nil {
		i.Hosts = map[string]string{}
	}
	i.Spec = maskedSpec(i.Spec)
	return i
}

// maskedSpec masks the values of variables whose names look secret. What is no object of JSON is not shown at all.
func maskedSpec(spec json.RawMessage) json.RawMessage {
	masked, ok := inObject(spec, func(key string, value json.RawMessage) (json.RawMessage, bool) {
		if key != "env" {
			return value, true
		}
		return inObject(value, func(name string, value json.RawMessage) (json.RawMessage, bool) {
			if messages.LooksSecret(name) {
				value = json.RawMessage(strconv.Quote(messages.Masked))
			}
			return value, true
		})
	})
	if !ok {
		return nil
	}
	return masked
}

// inObject has every value of a JSON object replaced, and keeps the order. It reports whether it is one.
func inObject(object json.RawMessage, replace func(key string, value json.RawMessage) (json.RawMessage,
	bool)) (json.RawMessage, bool) {
	from := json.NewDecoder(bytes.NewReader(object))
	if expect(from, json.Delim('{')) != nil {
		return nil, false
	}
	text := []byte{'{'}
	for from.More() {
		token, err := from.Token()
		key, is := token.(string)
		var value json.RawMessage
		if err != nil || !is || from.Decode(&value) != nil {
			return nil, false
		}
		value, is = replace(key, value)
		name, err := json.Marshal(key)
		if !is || err != nil {
			return nil, false
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(append(append(text, name...), ':'), value...)
	}
	if expect(from, json.Delim('}')) != nil {
		return nil, false
	}
	return append(text, '}'), true
}

func (s *Server) fleetApply(ctx context.Context, w http.ResponseWriter, r *http.Request) (any, error) {
	prune := false
	if text := r.URL.Query().Get("prune"); text != "" {
		var err error
		if prune, err = strconv.ParseBool(text); err != nil {
			return nil, refuse("prune is %.100q; it must be true or false", text)
		}
	}
	select {
	case s.lists <- struct{}{}:
		defer func() { <-s.lists }()
	case <-ctx.Done():
		return nil, &Error{"another list is being applied, and has not come to an end; try again",
			CodeBusy, http.StatusServiceUnavailable}
	}
	list, err := listOf(r)
	if err != nil {
		return nil, err
	}
	// Where there are no deadlines, none has to be moved.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(listTimeout + s.options.writeTimeout))
	// Half of a list is what nobody has asked for, also if nobody waits for the answer any more.
	applying, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	changes, err := s.options.Fleet.Apply(applying, list, prune)
	if err == nil {
		s.log.Info("the list of the fleet was applied", "instances", len(list), "changes", changed(changes), "prune",
			prune, "by", supervisor.Operator(r.Context()))
	}
	return FleetChanges{Schema, append([]messages.FleetChange{}, changes...)}, err
}

func changed(changes []messages.FleetChange) (n int) {
	for _, c := range changes {
		if c.Do != "same" {
			n++
		}
	}
	return n
}

// listOf reads the body of an apply. What is wrong with an instance, its host says.
func listOf(r *http.Request) (map[messages.InstanceID]json.RawMessage, error) {
	var body FleetList
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		if e := answerTo(err); e.Status == http.StatusRequestEntityTooLarge {
			return nil, e
		}
		return nil, refuse(`the body is not of the form {"instances": {"ID": {...}}}: %v`, err)
	}
	if body.Instances == nil {
		return nil, refuse("instances is missing; write {} for none")
	}
	for id, spec := range body.Instances {
		if err := id.Validate(); err != nil {
			return nil, refuse("%v", err)
		}
		if !strings.HasPrefix(string(bytes.TrimSpace(spec)), "{") {
			return nil, refuse("instance %q is no mapping of the keys of an instance", string(id))
		}
	}
	return body.Instances, nil
}

func (s *Server) fleetDelete(ctx context.Context, _ http.ResponseWriter, r *http.Request) (any, error) {
	id := messages.InstanceID(r.PathValue("id"))
	changes, err := s.options.Fleet.Delete(ctx, id)
	if err == nil {
		s.log.Info("an instance was taken off the list of the fleet", "instance", id,
			"by", supervisor.Operator(r.Context()))
	}
	return FleetChanges{Schema, append([]messages.FleetChange{}, changes...)}, err
}

// fleetDrain answers for a host that is there, or that something waits for: a name with a slip in it would drain
// nobody.
func (s *Server) fleetDrain(drain bool) func(context.Context, http.ResponseWriter, *http.Request) (any, error) {
	return func(ctx context.Context, _ http.ResponseWriter, r *http.Request) (any, error) {
		host := r.PathValue("host")
		hosts, err := s.options.Fleet.Hosts(ctx)
		if err != nil {
			return nil, err
		}
		var names []string
		known := false
		for _, h := range hosts {
			names = append(names, h.Name)
			known = known || h.Name == host
		}
		if !known {
			return nil, &Error{fmt.Sprintf("no host of the fleet is %.100q; there are %s",
				host, strings.Join(names, ", ")), CodeNotFound, http.StatusNotFound}
		}
		if err := s.options.Fleet.Drain(ctx, host, drain); err != nil {
			return nil, err
		}
		s.log.Info("a host of the fleet was told to drain, or not to any more", "host", host, "drain", drain,
			"by", supervisor.Operator(r.Context()))
		return FleetDrain{host, drain}, nil
	}
}

func (s *Server) fleetRebalance(ctx context.Context, _ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.options.Fleet.Rebalance(ctx); err != nil {
		return nil, err
	}
	s.log.Info("the fleet was told to balance what may move anew", "by", supervisor.Operator(r.Context()))
	return Condition{Status: "ok"}, nil
}
