package supervisor

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
	"procman/supervisor/plan"
)

// FilesOf returns the files that a process of the instance is made of, by the words of restart.on_change. The
// environment file is none of them: what it says is part of what runs.
func FilesOf(app *messages.AppInstance) map[string]string {
	files := map[string]string{}
	program := app.Executable
	if program != "" && !strings.Contains(program, "/") {
		program, _ = exec.LookPath(program) // empty: there is none
	}
	if program, err := filepath.Abs(program); err == nil && app.Executable != "" {
		files[messages.ExecutableFile] = program
	}
	if module, err := filepath.Abs(app.Module()); err == nil && app.Module() != "" {
		files[messages.WasmFile] = module
	}
	return files
}

// App returns what the list in force says of an instance; nil if it says nothing. It never waits, and is not to be
// changed.
func (s *Supervisor) App(id messages.InstanceID) *messages.AppInstance {
	if k := s.know(id); k != nil && k.Listed != nil {
		return k.Listed.AppInstance
	}
	return nil
}

// Renew gives an instance that runs a new process because of what changed, which the event says. It starts nothing that
// does not run, and ends no hold. The error is a messages.ErrUnknownInstance, a messages.ErrNotRunning, or that of ctx.
func (s *Supervisor) Renew(ctx context.Context, id messages.InstanceID, why string) error {
	reply := make(chan error, 1)
	s.system.Root.Send(s.pid, renewing{id: id, why: why, reply: reply})
	return s.await(ctx, reply)
}

func (r *root) gotRenewing(c actor.Context, m renewing) {
	e := r.entries.of[m.id]
	switch {
	case r.closing:
		m.reply <- ErrStopped
	case e == nil || e.Listed == nil:
		m.reply <- messages.ErrUnknownInstance{ID: m.id}
	case e.Hold.On || e.PID == 0 || e.Phase != messages.Starting && e.Phase != messages.Running:
		m.reply <- messages.ErrNotRunning{ID: m.id, Phase: e.Phase}
	default:
		r.step(c, e, plan.Restart{As: messages.ReasonChanged, Why: m.why})
		r.flush()
		m.reply <- nil
	}
}
