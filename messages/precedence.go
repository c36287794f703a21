package messages

import "fmt"

// Precedence says who goes first among starts that wait for their turn. What is less goes before what is more.
type Precedence int8

// The precedences. The zero one is that of a start of which nothing is known.
const (
	PrecedenceUrgent  Precedence = iota - 1 // an operator asked for it, or it was stable until a moment ago
	PrecedenceFirst                         // nothing has failed: it is new, or was changed
	PrecedenceFailed                        // its last run failed
	PrecedenceFailing                       // its last runs failed, more than one
)

// Precedences lists them, who goes first first.
func Precedences() []Precedence {
	return []Precedence{PrecedenceUrgent, PrecedenceFirst, PrecedenceFailed, PrecedenceFailing}
}

// Queue says of an instance whether its start waits for its turn, see start.parallel.
type Queue struct {
	Waits      bool
	Precedence Precedence
	Busy       int // so many that start use the processor,
	Places     int // and so many may
}

// String is for whoever asks why an instance that waits has no process.
func (q Queue) String() string {
	switch {
	case q.Busy < q.Places && q.Precedence == PrecedenceFailing:
		return fmt.Sprintf("waits for its turn: its last runs failed, and such starts have half of the %d places of "+
			"start.parallel", q.Places)
	case q.Busy == 1:
		return fmt.Sprintf("waits for its turn: 1 instance that starts uses the processor, and start.parallel is %d",
			q.Places)
	}
	return fmt.Sprintf("waits for its turn: %d instances that start use the processor, and start.parallel is %d",
		q.Busy, q.Places)
}

func (p Precedence) String() string {
	switch p {
	case PrecedenceUrgent:
		return "urgent"
	case PrecedenceFailed:
		return "failed"
	case PrecedenceFailing:
		return "failing"
	}
	return "first"
}
