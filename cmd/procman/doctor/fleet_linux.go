package doctor

import "golang.org/x/sys/unix"

// LookClock finds how the clocks of this host run.
func LookClock() (c Clock) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		c.Err = err
		return c
	}
	// A tick is so many microseconds, of 100 a second; the frequency has 16 bits of fractions of a millionth.
	rate := float64(t.Tick)/10000 + float64(t.Freq)/65536/1e6
	c.Rate, c.Synced = &rate, state != unix.TIME_ERROR
	return c
}
