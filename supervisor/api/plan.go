package api

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"

	"procman/messages"
)

// Plan is what /v1/plan answers, and what `procman plan -o json` prints: what would become of what runs if the
// configuration were read now.
type Plan struct {
	Schema  int               `json:"schema"`
	Config  string            `json:"config"`  // the file that was read
	Changes []messages.Change `json:"changes"` // sorted by id
	// Live lists the keys of the daemon's own that differ and that would be applied to it.
	Live []string `json:"live"`
	// Daemon lists the keys of the daemon's own that differ and that take effect in a new daemon only.
	Daemon []string `json:"daemon"`
}

// Empty reports whether nothing would change.
func (p Plan) Empty() bool { return len(p.Changes) == 0 && len(p.Live) == 0 && len(p.Daemon) == 0 }

// Proposal is the body of POST /v1/plan: a configuration as whoever asks has read it, with the texts of all that it
// names. The daemon opens none of these paths: it may be allowed to read what the client is not.
type Proposal struct {
	Config string                  `json:"config"` // absolute; its text is one of Files
	Files  map[string]ProposedFile `json:"files"`  // by absolute path
	Dirs   map[string]ProposedDir  `json:"dirs"`   // by absolute path: those that are included
}

// ProposedFile is the text of a file, or why it could not be read.
type ProposedFile struct {
	Text    []byte `json:"text,omitempty"`
	Error   string `json:"error,omitempty"`
	Missing bool   `json:"missing,omitempty"` // there is no such file
}

// ProposedDir holds the names of the files in a directory, or why they could not be read.
type ProposedDir struct {
	Names   []string `json:"names,omitempty"`
	Error   string   `json:"error,omitempty"`
	Missing bool     `json:"missing,omitempty"`
}

// maxProposal is the size in bytes of the body of a plan: what a configuration can have at the most, in JSON.
const maxProposal = 32 << 20

// bodyLimit is how large the body of a request may be.
func bodyLimit(r *http.Request) int64 {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/v1/plan":
		return maxProposal
	case r.Method == http.MethodPut && r.URL.Path == fleetInstance:
		return maxList
	}
	return maxBody
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("config") {
		s.no(w, r, refuse("the daemon opens no file that a client names; send its text with POST, as `procman plan "+
			"-c FILE` does"))
		return
	}
	s.answerPlan(w, r, func() (*Proposal, error) { return nil, nil })
}

func (s *Server) planOf(w http.ResponseWriter, r *http.Request) {
	s.answerPlan(w, r, func() (*Proposal, error) { return proposalOf(r) })
}

func proposalOf(r *http.Request) (*Proposal, error) {
	var p Proposal
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		if e := answerTo(err); e.Status == http.StatusRequestEntityTooLarge {
			return nil, e
		}
		return nil, refuse("the body is no proposal: %v", err)
	}
	if !filepath.IsAbs(p.Config) {
		return nil, refuse("config is %.100q; it must be an absolute path", p.Config)
	}
	if _, is := p.Files[p.Config]; !is {
		return nil, refuse("files has no text of %.100q", p.Config)
	}
	return &p, nil
}

// answerPlan has a plan made, and answers in time whatever it waits for: one that hangs keeps its slot, and nothing
// else.
func (s *Server) answerPlan(w http.ResponseWriter, r *http.Request, proposed func() (*Proposal, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), decideTimeout)
	defer cancel()
	select {
	case s.plans <- struct{}{}:
	case <-ctx.Done():
		s.no(w, r, &Error{"other plans are being made, and have not come to an end; try again", CodeBusy,
			http.StatusServiceUnavailable})
		return
	}
	p, err := proposed() // bounded by the time to send a request
	type result struct {
		plan Plan
		err  error
	}
	made := make(chan result, 1)
	go func() {
		defer func() { <-s.plans }()
		if err != nil {
			made <- result{err: err}
			return
		}
		plan, err := s.options.Plan(ctx, p)
		made <- result{plan, err}
	}()
	var it result
	select {
	case it = <-made:
	case <-ctx.Done():
		it.err = ctx.Err()
	}
	if it.err != nil {
		e := answerTo(it.err)
		if e.Code == CodeFailed {
			e.Code, e.Status = CodeInvalid, http.StatusUnprocessableEntity
		}
		s.no(w, r, e)
		return
	}
	it.plan.Schema = Schema
	s.yes(w, r, http.StatusOK, it.plan)
}
