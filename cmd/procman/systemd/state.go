package systemd

import (
	"fmt"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

// daemonState is how the daemon is, as far as a service manager is concerned.
type daemonState struct {
	listed bool     // the first list is in force
	begun  int      // reloads that were asked of us by a signal
	over   int      // those of them that are over
	end    api.Mode // how the daemon is ending; empty: it is not
	fault  string   // what is wrong with the configuration on disk; empty: it is in force
	status string   // all of it in one line
}

// ModeReplace is an end that is none: another program goes on in this process.
const ModeReplace api.Mode = "replace"

// extension keeps a service manager from losing patience for half a minute.
const extension = "EXTEND_TIMEOUT_USEC=30000000"

// news returns what to tell a service manager that was told of the state known, one message each. clock is the time
// now, as MONOTONIC_USEC.
func (known daemonState) news(is daemonState, clock string) []string {
	status := "STATUS=" + is.status
	reloading := sd.SdNotifyReloading + "\n" + clock + status
	switch {
	case known.end != "":
		return nil
	case is.end == ModeReplace:
		return []string{reloading} // ready is what the next program is
	case is.end == api.ModeStop:
		return []string{sd.SdNotifyStopping + "\n" + status + "\n" + extension}
	case is.end != "":
		return []string{sd.SdNotifyStopping + "\n" + status}
	case !is.listed:
		return nil
	}
	var news []string
	if is.begun > known.begun && known.listed {
		news = append(news, reloading)
	}
	if !known.listed || (known.over != is.over && is.over == is.begun) {
		news = append(news, sd.SdNotifyReady+"\n"+status)
	}
	return news
}

// line says in one line how the daemon and its instances are.
func (is daemonState) line(all []messages.Status) string {
	text := summary(all)
	switch {
	case is.end == ModeReplace:
		text = "making room for the binary on disk; " + text
	case is.end == api.ModeStop:
		text = fmt.Sprintf("stopping, %d of %d %s still running", alive(all), len(all),
			words.Plural(len(all), "instance"))
	case is.end != "":
		text = fmt.Sprintf("ending, %d %s left running", alive(all), words.Plural(alive(all), "instance"))
	case !is.listed:
		text = "looking for what an earlier daemon left running"
	case is.begun > is.over:
		text = "reading the configuration again; " + text
	}
	if is.fault != "" {
		text += "; configuration rejected, the last good one is in force: " + is.fault
	}
	return text
}

// summary counts: "12 of 14 instances healthy, 1 backing off, 1 held".
func summary(all []messages.Status) string {
	if len(all) == 0 {
		return "no instances"
	}
	count := map[string]int{}
	for i := range all {
		count[state(&all[i])]++
	}
	text := fmt.Sprintf("%d of %d %s healthy", count["healthy"], len(all), words.Plural(len(all), "instance"))
	for _, word := range []string{"unhealthy", "starting", "stopping", "backing off", "failed", "held", "disabled",
		"stopped"} {
		if count[word] > 0 {
			text += fmt.Sprintf(", %d %s", count[word], word)
		}
	}
	return text
}

// state is where an instance stands, in a word for a person.
func state(s *messages.Status) string {
	switch {
	case s.Well():
		return "healthy"
	case s.Phase == messages.Running && s.Health == messages.HealthUnknown:
		return "starting" // taken over, and not asked yet
	case s.Phase == messages.Running:
		return "unhealthy"
	case s.Phase == messages.Backoff:
		return "backing off"
	case s.Phase == messages.Stopped && s.Held:
		return "held"
	case s.Phase == messages.Stopped && s.Disabled:
		return "disabled"
	}
	return string(s.Phase)
}

// alive counts the instances that have a process, or are being given one.
func alive(all []messages.Status) int {
	n := 0
	for i := range all {
		switch all[i].Phase {
		case messages.Starting, messages.Running, messages.Stopping:
			n++
		}
	}
	return n
}
