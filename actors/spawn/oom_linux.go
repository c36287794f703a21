package spawn

import (
	"log/slog"
	"os"
	"strconv"
	"strings"

	"procman/actors/kernel"
)

// oomScore keeps a protection from the kernel's out-of-memory killer the manager's own: an instance that leaks must not
// be spared at the cost of others. A process inherits it at the fork, and may have forked itself before anybody could
// take it away; so the manager gives it up for as long as it forks. It may: to have it back needs no privilege.
type oomScore struct {
	own int // 0 or less
	set func(int) error
	log *slog.Logger
}

func newOOMScore(proc kernel.Procfs, log *slog.Logger) oomScore {
	path := string(proc) + "/self/oom_score_adj"
	text, err := os.ReadFile(path)
	own, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || convErr != nil {
		own = 0 // it is no Linux with such a thing
	}
	return oomScore{min(own, 0), func(v int) error { return os.WriteFile(path, []byte(strconv.Itoa(v)), 0) }, log}
}

func (o oomScore) giveUp() { o.change(0) }
func (o oomScore) regain() { o.change(o.own) }

func (o oomScore) change(to int) {
	if o.own == 0 {
		return
	}
	if err := o.set(to); err != nil {
		o.log.Warn("the manager's oom_score_adj cannot be changed", "to", to, "error", err)
	}
}
