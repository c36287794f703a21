package cli

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"procman/messages"
)

// progress is one line on stderr that tells a person how far a command is that takes long. Elsewhere than on a
// terminal, with --quiet, and for a program, nothing is drawn.
type progress struct {
	bar *progressbar.ProgressBar
	mu  sync.Mutex
	// What has been told.
	since               time.Time
	total, done, failed int                               // instances; a total of 0: it is not about instances
	begun               map[messages.InstanceID]time.Time // of those under way
	goal                string                            // what they are to be, or what goes on

	once       sync.Once
	end, ended chan struct{}
}

// progressEvery is how often it is drawn; what takes less than that draws nothing.
const progressEvery = 250 * time.Millisecond

// progress begins the line for so many instances that are to reach the goal, or, without instances, for what goes on.
// It is drawn until Close.
func (a *app) progress(total int, goal string) *progress {
	p := &progress{since: time.Now(), total: total, goal: goal, begun: map[messages.InstanceID]time.Time{}}
	if a.Quiet || a.output.json() || a.Env("TERM") == "dumb" || !isTerminal(a.Stderr) {
		return p
	}
	p.bar = progressbar.NewOptions(max(total, 1), progressbar.OptionSetWriter(a.Stderr), progressbar.OptionSetWidth(12),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionEnableColorCodes(false), progressbar.OptionSetTheme(progressbar.ThemeASCII))
	p.end, p.ended = make(chan struct{}), make(chan struct{})
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.ended)
	draw := time.NewTicker(progressEvery)
	defer draw.Stop()
	drawn := false
	for {
		select {
		case now := <-draw.C:
			p.mu.Lock()
			text, done, most := p.text(now), p.done+p.failed, max(p.total, 1)
			p.mu.Unlock()
			if p.bar.GetMax() != most {
				p.bar.ChangeMax(most)
			}
			p.bar.Describe(text)
			// the last step would end the line; a terminal that is gone is nobody's loss
			_ = p.bar.Set(min(done, most-1))
			drawn = true
		case <-p.end:
			if drawn {
				_ = p.bar.Clear() // as above
			}
			return
		}
	}
}

// begin tells that the command has begun to wait for an instance.
func (p *progress) begin(id messages.InstanceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun[id] = time.Now()
}

// finish tells what came of it.
func (p *progress) finish(id messages.InstanceID, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.begun, id)
	if err != nil {
		p.failed++
	} else {
		p.done++
	}
}

// left tells which instances have still to end, of those that had a process when it was told first.
func (p *progress) left(all []messages.Status, goal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.begun
	p.begun = map[messages.InstanceID]time.Time{}
	for _, s := range all {
		if s.PID == 0 {
			continue
		}
		if p.begun[s.ID] = before[s.ID]; p.begun[s.ID].IsZero() {
			p.begun[s.ID] = p.since
		}
	}
	p.total, p.goal = max(p.total, len(p.begun)), goal
	p.done = p.total - len(p.begun)
}

// text is the line: how many are there, how many will not get there, and who has been under way for longest.
func (p *progress) text(now time.Time) string {
	if p.total == 0 {
		return fmt.Sprintf("%s, %s", p.goal, span(max(0, now.Sub(p.since))))
	}
	text := fmt.Sprintf("%d of %d %s", p.done, p.total, p.goal)
	if p.failed > 0 {
		text += fmt.Sprintf(", %d failed", p.failed)
	}
	var slowest messages.InstanceID
	var since time.Time
	for id, t := range p.begun {
		if slowest == "" || t.Before(since) || t.Equal(since) && id < slowest {
			slowest, since = id, t
		}
	}
	if slowest != "" {
		text += fmt.Sprintf(", slowest %s %s", slowest, span(max(0, now.Sub(since))))
	}
	return text
}

// Close takes the line away. It may be called more than once.
func (p *progress) Close() {
	if p.bar != nil {
		p.once.Do(func() { close(p.end) })
		<-p.ended
	}
}
