package messages

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// Masked stands where a secret was.
const Masked = "***"

// leastMasked is the length in bytes of the shortest secret that is masked within texts: shorter ones are words like
// any other, and to mask them would garble the text and give away where they are.
const leastMasked = 5

// Masker hides the values of secrets in texts, in a time that grows with the length of the text only, whatever the
// secrets are. The nil Masker hides nothing.
type Masker struct {
	short  [256][]string // by their first byte, the longest first
	long   []longSecret
	trails []*trail
	seed   uint64
	reach  int // the length of the longest trace
}

// longSecret is one that is not compared byte by byte at each place of a text.
type longSecret struct {
	value  string
	border []int32 // for each of its beginnings, the length of the longest proper one that is its end as well
}

// leastLong is the length in bytes from which a secret counts as long.
const leastLong = 64

// NewMasker returns a masker of the values, and of each line of those that have several; nil if there is nothing to
// hide.
func NewMasker(values []string) *Masker { return NewTraceMasker(values, 0, nil) }

// NewTraceMasker also hides what the traces, made with the seed, are of.
func NewTraceMasker(values []string, seed uint64, traces []Trace) *Masker {
	hidden := secretParts(values)
	m := &Masker{seed: seed}
	known := map[Trace]bool{}
	for _, v := range hidden {
		if len(traces) > 0 {
			for _, t := range tracesOf(v, seed) {
				known[t] = true
			}
		}
		if len(v) < leastLong {
			m.short[v[0]] = append(m.short[v[0]], v)
		} else {
			m.long = append(m.long, longSecret{v, borders(v)})
		}
	}
	for _, t := range traces {
		if known[t] || t.Length < leastMasked || t.Length > mostTraced {
			continue
		}
		n := slices.IndexFunc(m.trails, func(old *trail) bool { return old.length == t.Length })
		if n < 0 {
			n, m.trails = len(m.trails), append(m.trails, newTrail(t.Length, seed))
		}
		m.trails[n].add(t.Sum)
		m.reach = max(m.reach, t.Length)
	}
	if len(hidden) == 0 && m.reach == 0 {
		return nil
	}
	return m
}

// secretParts returns what is to be hidden of values, the longest first: one may begin with another.
func secretParts(values []string) []string {
	var hidden []string
	for _, v := range values {
		for _, part := range append(strings.Split(v, "\n"), v) {
			if part = strings.TrimSpace(part); len(part) >= leastMasked {
				hidden = append(hidden, part)
			}
		}
	}
	slices.SortFunc(hidden, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(hidden)
}

// Mask returns the text with every secret masked.
func (m *Masker) Mask(text string) string {
	if m == nil {
		return text
	}
	var b strings.Builder
	shown := 0
	m.scan(text, false, func(from, to int) {
		b.WriteString(text[shown:from])
		b.WriteString(Masked)
		shown = to
	})
	if shown == 0 {
		return text
	}
	b.WriteString(text[shown:])
	return b.String()
}

// Whole returns how much of the beginning of a text can be shown when the text goes on elsewhere: up to a secret that
// may have begun but not ended in it. Cut there, a text has every secret whole on either side.
func (m *Masker) Whole(text []byte) int {
	if m == nil {
		return len(text)
	}
	return m.scan(string(text), true, func(int, int) {})
}

// scan finds the secrets of a text, from the left, of those that begin at one place the longest. If the text goes on
// elsewhere, it ends at the first place where one may begin that the text does not have to its end, and returns that.
func (m *Masker) scan(text string, goesOn bool, found func(from, to int)) int {
	long, open := m.longIn(text, goesOn)
	m.tracesIn(text, long)
	rare := len(long) > 0 || goesOn && (len(open) > 0 || m.reach > 0)
	for i := 0; i < len(text); {
		n := 0
		if rare {
			n = long[i]
		} else if m.short[text[i]] == nil {
			i++
			continue
		}
		for _, v := range m.short[text[i]] {
			rest := text[i:]
			if goesOn && len(rest) < len(v) && v[:len(rest)] == rest {
				return i
			}
			if len(v) > n && strings.HasPrefix(rest, v) {
				n = len(v)
				break
			}
		}
		switch {
		case goesOn && (open[i] || n < m.reach && len(text)-i < m.reach):
			return i
		case n == 0:
			i++
		default:
			found(i, i+n)
			i += n
		}
	}
	return len(text)
}

// longIn returns the lengths of the long secrets in a text by where they begin and, for a text that goes on elsewhere,
// where one begins that may go on there.
func (m *Masker) longIn(text string, goesOn bool) (lengths map[int]int, open map[int]bool) {
	lengths, open = map[int]int{}, map[int]bool{}
	for _, s := range m.long {
		matched := 0 // so much of its beginning ends here
		for i := 0; i < len(text); i++ {
			if matched == 0 {
				next := strings.IndexByte(text[i:], s.value[0])
				if next < 0 {
					break
				}
				i += next
			}
			for matched > 0 && (matched == len(s.value) || text[i] != s.value[matched]) {
				matched = int(s.border[matched-1])
			}
			if text[i] == s.value[matched] {
				matched++
			}
			if from := i + 1 - matched; matched == len(s.value) {
				lengths[from] = max(lengths[from], matched)
			}
		}
		if matched == len(s.value) {
			matched = int(s.border[matched-1])
		}
		for ; goesOn && matched > 0; matched = int(s.border[matched-1]) {
			open[len(text)-matched] = true
		}
	}
	return lengths, open
}

func borders(v string) []int32 {
	b := make([]int32, len(v))
	n := int32(0)
	for i := 1; i < len(v); i++ {
		for n > 0 && v[i] != v[n] {
			n = b[n-1]
		}
		if v[i] == v[n] {
			n++
		}
		b[i] = n
	}
	return b
}

// Trace is what can be remembered of a secret in order to find it in a text without keeping the secret: its length and
// a number that its bytes give with a seed. Nothing but a guess leads back from it to the secret.
type Trace struct {
	Length int    `json:"n"`
	Sum    uint64 `json:"h"`
}

// mostTraced is the length of the longest trace: of a longer secret there are several, one behind the other.
const mostTraced = 1024

// TracesOf returns the traces of what a masker of the values hides in a line. The seed is drawn at random, and kept
// with them.
func TracesOf(values []string, seed uint64) []Trace {
	var traces []Trace
	for _, v := range secretParts(values) {
		traces = append(traces, tracesOf(v, seed)...)
	}
	return traces
}

func tracesOf(part string, seed uint64) []Trace {
	if strings.Contains(part, "\n") {
		return nil // its lines have traces of their own
	}
	var traces []Trace
	for len(part) >= leastMasked { // what is left may be shown
		size := min(len(part), mostTraced)
		traces, part = append(traces, traceOf(part[:size], seed)), part[size:]
	}
	return traces
}

// A sum is a polynomial modulo the prime 2^61-1, whose value for each part of a text follows from that for the part
// before.
const tracePrime = 1<<61 - 1

func traceOf(v string, seed uint64) Trace {
	sum := uint64(0)
	for i := range len(v) {
		sum = traceTimes(sum, seed) + uint64(v[i]) + 1
	}
	return Trace{len(v), sum % tracePrime}
}

func traceTimes(a, b uint64) uint64 {
	high, low := bits.Mul64(a%tracePrime, b%tracePrime)
	return low&tracePrime + (low>>61 | high<<3) // less than 2^62
}

// trail finds the traces of one length.
type trail struct {
	length int
	sums   map[uint64]bool
	few    uint64      // a bit for the lowest six of each sum: most places need no look into sums
	gone   [256]uint64 // what a byte adds to a sum when it is the first of so many
}

func newTrail(length int, seed uint64) *trail {
	t := &trail{length: length, sums: map[uint64]bool{}}
	lead := uint64(1)
	for range length - 1 {
		lead = traceTimes(lead, seed) % tracePrime
	}
	for b := range t.gone {
		t.gone[b] = traceTimes(lead, uint64(b)+1) % tracePrime
	}
	return t
}

func (t *trail) add(sum uint64) {
	t.sums[sum] = true
	t.few |= 1 << (sum & 63)
}

// tracesIn adds to lengths what the traces are of.
func (m *Masker) tracesIn(text string, lengths map[int]int) {
	for _, t := range m.trails {
		if t.length > len(text) {
			continue
		}
		sum := uint64(0)
		for i := range len(text) {
			if i >= t.length {
				sum += tracePrime - t.gone[text[i-t.length]]
			}
			sum = (traceTimes(sum, m.seed) + uint64(text[i]) + 1) % tracePrime
			if t.few&(1<<(sum&63)) != 0 && i+1 >= t.length && t.sums[sum] {
				from := i + 1 - t.length
				lengths[from] = max(lengths[from], t.length)
			}
		}
	}
}

// SecretValues returns the values in Env whose names are in Secrets, and what the headers of its probes have of that
// kind.
func (a AppInstance) SecretValues() []string {
	values := make([]string, 0, len(a.Secrets))
	for _, name := range a.Secrets {
		if v, is := a.Env[name]; is {
			values = append(values, v)
		}
	}
	return append(values, a.Health.Asks().secretHeaders()...)
}
