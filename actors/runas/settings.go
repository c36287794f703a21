package runas

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"

	"procman/messages"
)

// Settings are a process policy of which it is known what it means here. The nil Settings ask for nothing.
type Settings struct {
	policy   messages.ProcessPolicy
	identity *identity // nil: that of this process
	umask    int       // -1: as it is
	limits   []limit
}

// identity is whom a process runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32
	login    string // empty: it has no name
	home     string
}

// limit is one limit of a process.
type limit struct {
	name     string
	resource int
	value    uint64
}

// Resolve finds out what the policy means; nil for one that asks for nothing. The error says which key cannot be met
// here, by this process: there is no such user, or it is not root. It may read the host's tables of users.
func Resolve(p messages.ProcessPolicy) (*Settings, error) {
	if p == (messages.ProcessPolicy{}) {
		return nil, nil
	}
	s := &Settings{policy: p, umask: -1}
	if p.Umask != "" {
		mask, err := strconv.ParseUint(string(p.Umask), 8, 16)
		if err != nil {
			return nil, fmt.Errorf("process.umask is %.40q, which is no octal number", p.Umask)
		}
		s.umask = int(mask)
	}
	var err error
	if s.identity, err = identify(p.User, p.Group); err != nil {
		return nil, err
	}
	for _, l := range p.Limits.List() {
		s.limits = append(s.limits, limit{name: l.Name, value: l.Value})
	}
	return s, s.allowed()
}

// identify finds the user and the group.
func identify(login, group string) (*identity, error) {
	if login == "" && group == "" {
		return nil, nil
	}
	i := &identity{}
	me, known := uint32(0), false
	if login == "" {
		me, i.gid = self()
		i.uid, known = me, true
	} else if u, err := lookUp(login); err == nil {
		i.login, i.home = u.Username, u.HomeDir
		if i.uid, i.gid, err = numbers(u); err != nil {
			return nil, fmt.Errorf("process.user %q: %w", login, err)
		}
		known = true
		ids, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("process.user %q: its groups cannot be read: %w", login, err)
		}
		for _, id := range ids {
			if gid, err := number(id); err == nil {
				i.groups = append(i.groups, gid)
			}
		}
	} else if uid, numErr := number(login); numErr == nil {
		i.uid = uid
	} else {
		return nil, fmt.Errorf("process.user: there is no user %q on this host", login)
	}
	switch {
	case group != "":
		gid, err := number(group)
		if g, lookErr := user.LookupGroup(group); lookErr == nil {
			gid, err = number(g.Gid)
		}
		if err != nil {
			return nil, fmt.Errorf("process.group: there is no group %q on this host", group)
		}
		i.gid = gid
	case !known:
		return nil, fmt.Errorf("process.user: nothing says which groups user %s has; name process.group too", login)
	}
	if !slices.Contains(i.groups, i.gid) {
		i.groups = append([]uint32{i.gid}, i.groups...)
	}
	return i, nil
}

// lookUp finds a user by name, else by number.
func lookUp(login string) (*user.User, error) {
	u, err := user.Lookup(login)
	if err != nil {
		if _, numErr := number(login); numErr == nil {
			return user.LookupId(login)
		}
	}
	return u, err
}

func numbers(u *user.User) (uid, gid uint32, err error) {
	uid, err1 := number(u.Uid)
	gid, err2 := number(u.Gid)
	return uid, gid, errors.Join(err1, err2)
}

func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

// Name is the name of the user, or its number; empty if it is that of this process.
func (s *Settings) Name() string {
	if s == nil || s.identity == nil {
		return ""
	}
	if s.identity.login != "" {
		return s.identity.login
	}
	return "uid " + strconv.FormatUint(uint64(s.identity.uid), 10)
}

// Environ are the variables by which programs know their user: HOME, USER and LOGNAME; none if it is that of this
// process, or has no name.
func (s *Settings) Environ() map[string]string {
	if s == nil || s.identity == nil || s.identity.login == "" {
		return nil
	}
	return map[string]string{"HOME": s.identity.home, "USER": s.identity.login, "LOGNAME": s.identity.login}
}
