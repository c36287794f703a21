package gate

// looks is a heap of starts: the first is the one that is to be looked at first.
type looks []*Start

func (l *looks) add(s *Start) {
	s.at = len(*l)
	*l = append(*l, s)
	l.up(s.at)
}

func (l *looks) remove(s *Start) {
	n, last := s.at, len(*l)-1
	if n < 0 || last < 0 || n > last || (*l)[n] != s {
		return
	}
	l.swap(n, last)
	(*l)[last] = nil
	*l = (*l)[:last]
	s.at = -1
	if n < last {
		l.up(n)
		l.down(n)
	}
}

func (l looks) swap(a, b int) {
	l[a], l[b] = l[b], l[a]
	l[a].at, l[b].at = a, b
}

func (l looks) up(n int) {
	for parent := (n - 1) / 2; n > 0 && l[n].due.Before(l[parent].due); parent = (n - 1) / 2 {
		l.swap(n, parent)
		n = parent
	}
}

func (l looks) down(n int) {
	for {
		least := n
		for child := 2*n + 1; child <= 2*n+2 && child < len(l); child++ {
			if l[child].due.Before(l[least].due) {
				least = child
			}
		}
		if least == n {
			return
		}
		l.swap(n, least)
		n = least
	}
}
