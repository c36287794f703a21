package daemon

import (
	"errors"
	"time"

	onDisk "procman/actors/record"
)

// How long after a write that failed it is tried again: longer each time.
const (
	writeAgain      = time.Second
	writeAgainLater = 10 * time.Second
)

// untilWritten has something written at each of news, and again until it is, for a disk may have no room for a while;
// until quit, after which what is not written is tried once more, unless the disk does not answer. It tells when that
// begins to fail, and, with nil, when it does not any more.
func untilWritten(news, quit <-chan struct{}, write func() error, tell func(error)) {
	pause := writeAgain
	var failed error
	var again <-chan time.Time
	try := func() {
		err := write()
		if (failed != nil) != (err != nil) {
			tell(err)
		}
		failed = err
		if again = nil; failed != nil {
			again = time.After(pause)
			pause = min(2*pause, writeAgainLater)
		} else {
			pause = writeAgain
		}
	}
	for {
		select {
		case <-news:
			try()
		case <-again:
			try()
		case <-quit:
			select {
			case <-news:
				try()
			default:
				if stalled := (*onDisk.StalledError)(nil); failed != nil && !errors.As(failed, &stalled) {
					try()
				}
			}
			return
		}
	}
}
