package explain

import (
	"fmt"
	"strings"
	"time"

	"procman/messages"
)

// unhealthy says what follows if its health checks have failed since then, at that moment, as the core decides.
func (j *judge) unhealthy(since, at time.Time) string {
	f := j.future(at).unhealthy(since)
	if f.Phase == j.Phase && f.Run == j.Run {
		return "that is said, and no process is touched: health.on_failure is report"
	}
	return "it is stopped, and " + j.again(f)
}

// healthy is what a probe waits for, in words that follow "until".
func (j *judge) healthy() string {
	switch h := j.rules.Health; h.Kind {
	case messages.HealthTCP:
		return "it accepts a connection"
	case messages.HealthCommand:
		return "health.command ends with 0"
	default:
		return "it answers " + statuses(h.Asks())
	}
}

// answer is what a probe that succeeds has found.
func (j *judge) answer() string {
	switch h := j.rules.Health; h.Kind {
	case messages.HealthTCP:
		return fmt.Sprintf("port %d accepts a connection", j.Port)
	case messages.HealthCommand:
		return j.command() + " ends with 0"
	default:
		return fmt.Sprintf("%s answers %s", request(h), statuses(h.Asks()))
	}
}

// needed is what makes it healthy.
func (j *judge) needed() string {
	h := j.rules.Health
	switch h.Kind {
	case messages.HealthTCP:
		return fmt.Sprintf("a connection that it accepts on port %d within %v", j.Port, h.Timeout)
	case messages.HealthCommand:
		return fmt.Sprintf("exit code 0 of %s within %v", j.command(), h.Timeout)
	default:
		return fmt.Sprintf("a %s for %s on port %d within %v", statuses(h.Asks()), request(h), j.Port, h.Timeout)
	}
}

// command is the one of its checks, without secrets.
func (j *judge) command() string {
	line := "`" + strings.Join(j.rules.CheckCommand(j.Port), " ") + "`"
	return messages.NewMasker(j.rules.SecretValues()).Mask(line)
}

func request(h messages.HealthPolicy) string {
	c := h.Asks()
	if c.Scheme == messages.SchemeHTTPS {
		return c.Method + " " + h.Path + " by https"
	}
	return c.Method + " " + h.Path
}

func statuses(c *messages.HealthCheck) string { return messages.Alternatives(c.Status.Words()) }
