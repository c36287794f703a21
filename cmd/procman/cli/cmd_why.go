package cli

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

func (a *app) whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why ID|-l SELECTOR",
		Short: "Say why an instance is as it is, what happens next, and what would change that",
		Long: `Say why an instance is as it is, on one screen: where it stands and for what reason, how its last run ended and what it
wrote last before that, what the last probes found, what has happened to it, when the next attempt comes, and what
would change that.

The exit code is 0, however the instance is; ` + "`procman status ID`" + ` is for scripts that ask whether all is well.`,
		Example:           "  procman why users\n  procman why users -o json | jq -r .summary",
		Args:              usages(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				ids, err := a.whose(ctx, c, args)
				shown := 0
				for err == nil && shown < len(ids) {
					err = a.why(ctx, c, ids[shown], shown == 0)
					shown++
				}
				if absent(err) && shown <= 1 {
					return a.whyOffline(ctx, args, err)
				}
				return err
			})
		},
	}
	a.selects(cmd)
	return cmd
}

// whose returns the id that is named, as it is, or those that are selected.
func (a *app) whose(ctx context.Context, c *api.Client, args []string) ([]messages.InstanceID, error) {
	if len(args) > 0 {
		return []messages.InstanceID{messages.InstanceID(args[0])}, nil
	}
	_, ids, err := a.asked(ctx, c, nil)
	return ids, err
}

func (a *app) why(ctx context.Context, c *api.Client, id messages.InstanceID, first bool) error {
	if id.Validate() != nil {
		return a.unknown(ctx, c, id)
	}
	w, err := c.Why(ctx, id)
	switch {
	case codeOf(err) == exitUnknown:
		return a.unknown(ctx, c, id)
	case err != nil:
		return err
	}
	return a.showWhy(w, first)
}

func (a *app) showWhy(w api.Why, first bool) error {
	switch {
	case a.output == formatLines:
		return writeLines(a.Stdout, w)
	case a.output.json():
		return writeDocument(a.Stdout, w)
	}
	text := whyText(w, time.Now(), a.colours())
	if !first {
		text = "\n" + text
	}
	_, err := io.WriteString(a.Stdout, text)
	return err
}

// unknown returns the error for an id that does not exist, with the nearest that does.
func (a *app) unknown(ctx context.Context, c *api.Client, id messages.InstanceID) error {
	d, err := c.Instances(ctx)
	if err != nil {
		return err
	}
	_, unknown := a.choose(d.Instances, []string{string(id)})
	if unknown != nil && id.Validate() == nil {
		if f, err := c.FleetInstance(ctx, id); err == nil {
			return exit{exitUnknown, fmt.Errorf("no such instance on this host: %q; it is one of the fleet's, and "+
				"%s: %s", string(id), f.Why, a.word("fleet why "+string(id)))}
		}
	}
	return unknown
}

// sheet is a text of facts, each with its name in front.
type sheet struct{ strings.Builder }

// factWidth is the width of the names.
const factWidth = 13

func (s *sheet) fact(name, format string, args ...any) {
	fmt.Fprintf(s, "  %-*s%s\n", factWidth, name, words.Printable(fmt.Sprintf(format, args...)))
}

func (s *sheet) head(format string, args ...any) {
	s.WriteString("\n" + words.Printable(fmt.Sprintf(format, args...)) + "\n")
}

func (s *sheet) line(format string, args ...any) {
	s.WriteString("  " + strings.TrimRight(words.Printable(fmt.Sprintf(format, args...)), " ") + "\n")
}

// whyText is an explanation on one screen.
func whyText(w api.Why, now time.Time, colours bool) string {
	i := w.Instance
	var s sheet
	title := string(i.ID)
	if ink := phaseInk(i); ink != "" && colours {
		title = "\x1b[" + ink + "m" + title + "\x1b[0m"
	}
	s.WriteString(title + " " + words.Printable(w.Summary) + "\n\n")
	s.fact("phase", "%s, health %s", i.Phase, i.Health)
	if i.PID != 0 {
		adopted := ""
		if i.Adopted {
			adopted = ", adopted from an earlier daemon"
		}
		s.fact("process", "pid %d, port %d, run %d, up %s%s", i.PID, i.Port, i.Run, since(i.StartedAt, now), adopted)
	}
	if i.Outdated != "" {
		s.fact("outdated", "%s", outdated(i))
	}
	if x := i.LastExit; x != nil {
		when := ""
		if !x.At.IsZero() {
			when = fmt.Sprintf(", %s ago", since(&x.At, now))
		}
		s.fact("last exit", "%s%s (%s: %s)", x, when, x.Reason, w.Exit)
	} else {
		s.fact("last exit", "none since it is known")
	}
	if i.Unsaved != "" {
		s.fact("not saved", "%s", i.Unsaved)
	}
	if w.Fleet != nil {
		s.fact("fleet", "%s", w.Fleet.Why)
	}
	s.fact("restarts", "%d; failures since it was last stable: %d", i.Restarts, i.ConsecutiveFailures)
	switch {
	case i.NextStartAt != nil:
		s.fact("next attempt", "number %d, at %s", w.Attempt, i.NextStartAt.Local().Format("15:04:05"))
	case i.PID != 0 && w.Attempt > 0:
		s.fact("attempt", "number %d", w.Attempt)
	}
	if w.Command != "" {
		s.fact("runs", "%s", words.Shorten(w.Command, lineWidth))
	}
	s.fact("next", "%s", w.Next)
	for n, change := range w.Change {
		s.fact(map[bool]string{true: "to change", false: ""}[n == 0], "%s", change)
	}
	if x := i.LastExit; x != nil && x.Reason != messages.ReasonStartFailed {
		s.streams("before that exit", w.Stderr, w.Stdout)
	}
	if len(w.Now)+len(w.NowOut) > 0 {
		s.streams("of the process that runs", w.Now, w.NowOut)
	}
	s.probes(w.Probes)
	if len(w.Events) > 0 {
		s.head("what happened last")
		for _, e := range w.Events {
			s.line("%s  %s", e.At.Local().Format(time.DateTime), eventText(e, false))
		}
	}
	for _, m := range w.Missing {
		s.head("not to be had: %s", m)
	}
	return s.String()
}

// streams shows what was said on two streams, the one first that tells more. Of one that says nothing there is nothing
// to see.
func (s *sheet) streams(when string, stderr, stdout []messages.OutputLine) {
	show := func(stream messages.Stream, lines []messages.OutputLine) {
		s.lines(fmt.Sprintf("last lines of %s %s", stream, when), lines)
	}
	switch {
	case len(stdout) == 0:
		show(messages.Stderr, stderr)
	case len(stderr) == 0:
		show(messages.Stdout, stdout)
	case telling(stdout) > telling(stderr):
		show(messages.Stdout, stdout)
		show(messages.Stderr, stderr)
	default:
		show(messages.Stderr, stderr)
		show(messages.Stdout, stdout)
	}
}

// troubles are words by which a line that tells of trouble is known.
var troubles = regexp.MustCompile(
	`(?i)error|fail|fatal|panic|exception|traceback|denied|refused|in use|cannot|could not|unable|not found|no such|killed|abort|invalid|missing`)

// telling counts the lines that tell of trouble.
func telling(lines []messages.OutputLine) int {
	n := 0
	for _, l := range lines {
		if troubles.MatchString(l.Text) {
			n++
		}
	}
	return n
}

func (s *sheet) lines(head string, lines []messages.OutputLine) {
	s.head("%s", head)
	if len(lines) == 0 {
		s.line("(none)")
	}
	for _, l := range lines {
		if l.Skipped > 0 {
			s.line("(%d bytes are not there any more)", l.Skipped)
			continue
		}
		s.line("%s", words.Shorten(words.Printable(l.Text), lineWidth))
	}
}

// lineWidth is how many characters of a line of output are shown.
const lineWidth = 160

func (s *sheet) probes(probes []api.SeenProbe) {
	s.head("last probes")
	if len(probes) == 0 {
		s.line("(none since the daemon was started)")
	}
	for _, p := range probes {
		verdict, status, said := "ok  ", "-", p.Error
		if !p.OK {
			verdict = "FAIL"
		}
		if p.Status != 0 {
			status = strconv.Itoa(p.Status)
		}
		if p.Body != "" {
			first, _, _ := strings.Cut(p.Body, "\n")
			said = strings.TrimSuffix(said, ": "+first) // a check that failed says in one line why
			if said != "" {
				said += ": "
			}
			said += words.Shorten(words.Printable(p.Body), bodyWidth)
		}
		latency := time.Duration(p.LatencySeconds * float64(time.Second)).Round(100 * time.Microsecond)
		s.line("%s  %s  %-3s  %7s  %s", p.At.Local().Format("15:04:05"), verdict, status, latency, said)
	}
}

// bodyWidth is how many characters of the body of a response are shown.
const bodyWidth = 80

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
