package api

import (
	"net/http"
	"path/filepath"

	"procman/messages"
)

// Plan is what GET /v1/plan answers, and what `procman plan -o json` prints: what would become of what runs if the
// configuration were read now.
type Plan struct {
	Schema  int               `json:"schema"`
	Config  string            `json:"config"`  // the file that was read
	Changes []messages.Change `json:"changes"` // sorted by id
	// Daemon lists the keys of the daemon's own that differ and that take effect in a new daemon only.
	Daemon []string `json:"daemon"`
}

// Empty reports whether nothing would change.
func (p Plan) Empty() bool { return len(p.Changes) == 0 && len(p.Daemon) == 0 }

func (s *Server) plan(w http.ResponseWriter, r *http.Request) {
	file := r.URL.Query().Get("config")
	if file != "" && !filepath.IsAbs(file) {
		s.no(w, r, refuse("config is %q; it must be an absolute path: the daemon has a directory of its own", file))
		return
	}
	plan, err := s.options.Plan(r.Context(), file)
	if err != nil {
		e := answerTo(err)
		if e.Code == CodeFailed {
			e.Code, e.Status = CodeInvalid, http.StatusUnprocessableEntity
		}
		s.no(w, r, e)
		return
	}
	plan.Schema = Schema
	s.yes(w, r, http.StatusOK, plan)
}
