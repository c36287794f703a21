package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"procman/actors/spawn"
	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/explain"
)

// unsupervised is what records and processes tell while no daemon answers, in the form of an [api.Document].
type unsupervised struct {
	Schema     int               `json:"schema"`
	Manager    *api.Manager      `json:"manager"`    // null: there is none
	Supervised bool              `json:"supervised"` // a daemon has the state directory, though it does not answer
	Instances  []messages.Status `json:"instances"`
}

// offline shows the instances that were asked for as the records and /proc tell of them, and returns why no daemon
// could be asked. The picture is an extra: the daemon is what is missing, whatever it shows.
func (a *app) offline(ctx context.Context, args []string, why error, to io.Writer) error {
	statuses, owner, err := a.look(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return why // there never was a daemon
	}
	if err != nil {
		a.say("what runs could not be found out in full: %v", err)
	}
	if len(statuses) == 0 {
		return why
	}
	ids, unknown := a.choose(statuses, args)
	if unknown != nil {
		a.say("on record there is %v", unknown)
	}
	statuses = among(statuses, ids)
	if len(statuses) == 0 {
		return why
	}
	a.say("no daemon answers; what is shown is from the records and the processes in /proc")
	return errors.Join(why, a.showOffline(to, statuses, owner != 0))
}

func (a *app) showOffline(to io.Writer, statuses []messages.Status, supervised bool) error {
	if a.output != formatJSON {
		return a.show(to, api.Document{Instances: statuses})
	}
	return writeDocument(to, unsupervised{Schema: api.Schema, Supervised: supervised, Instances: statuses})
}

// look returns the instances of which there are records or processes, and the process that has the state directory,
// though it does not answer; 0: none.
func (a *app) look(ctx context.Context) (_ []messages.Status, owner int, _ error) {
	quiet := a.silently()
	at, err := quiet.place()
	if err != nil || at.dir == "" {
		return nil, 0, err
	}
	defer a.PendingIO.Begin("the state directory " + string(at.dir))()
	owner = spawn.Owner(at.dir)
	traces, err := spawn.Look(ctx, at.dir)
	listed := map[messages.InstanceID]messages.AppInstance{}
	if a.Socket == "" {
		if _, file, err := quiet.Load(); err == nil { // a help: the records do not say what runs
			for _, app := range file.Instances {
				listed[app.InstanceID] = *app
			}
		}
	}
	now := time.Now()
	statuses := make([]messages.Status, len(traces))
	for n, t := range traces {
		m := messages.Memory{ID: t.ID, Phase: messages.Stopped}
		if t.Memory != nil {
			m = *t.Memory
		}
		s := explain.Unwatched(m, t.Survivor, daemon.Terms(), now)
		if owner != 0 { // it is not unsupervised, and what the daemon makes of it is not known
			s.Reason = fmt.Sprintf("by the records; the daemon, process %d, does not answer", owner)
		}
		app := listed[t.ID]
		s.WasmPath, s.DbName, s.Labels, s.Placement = app.WasmPath, app.DbName, app.Labels, app.Placement
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		statuses[n] = s
	}
	return statuses, owner, err
}

// absent reports whether no daemon answers. Behind a socket that is not for this user one may well live.
func absent(err error) bool {
	return errors.Is(err, api.ErrUnreachable) && !errors.Is(err, os.ErrPermission)
}
