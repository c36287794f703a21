package config

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

const fleetBlock = `
fleet:
  endpoints: [https://10.0.0.1:2379]
  name: default              # the fleet; keys lie below /procman/NAME/
  host: ""                   # this host's name; default: the host name
  capacity: 0                # how many instances at most; 0: no limit
  labels: {}
  ttl: 9s
  grace: 1500ms              # what fenced instances get to end in a partition
  tls: {ca_file: "", cert_file: "", key_file: ""}
  user: ""
  password_file: ""
`

// named is a host that knows its name.
func namedHost(name string, err error) Host {
	h := host(nil)
	h.Hostname = func() (string, error) { return name, err }
	return h
}

func fleetOf(t *testing.T, text string) *Fleet {
	t.Helper()
	f, err := Parse("/etc/procman/procman.yaml", []byte(text+"\ninstances: []"), namedHost("h7", nil))
	require.NoError(t, err)
	return f.Fleet
}

func TestAFleetsHostHasItsDefaults(t *testing.T) {
	want := &Fleet{Endpoints: []string{"https://10.0.0.1:2379"}, Name: "default", Host: "h7", TTL: 9 * time.Second,
		Grace: 1500 * time.Millisecond}
	require.Equal(t, want, fleetOf(t, "fleet: {endpoints: ['https://10.0.0.1:2379']}"))
	want.Labels = map[string]string{}
	require.Equal(t, want, fleetOf(t, fleetBlock), "the example of the manual says the defaults")
	require.Nil(t, fleetOf(t, "include: []"), "without the block there is no fleet")
}

func TestAFleetsHostIsReadInFull(t *testing.T) {
	require.Equal(t, &Fleet{
		Endpoints: []string{"https://etcd-1", "https://[::1]:2379/"}, Name: "prod", Host: "h-1", Capacity: 100,
		Labels: map[string]string{"disk": "ssd"},
		TTL:    20 * time.Second, Grace: 5 * time.Second,
		TLS:  FleetTLS{"/etc/procman/ca.pem", "/x/me.pem", "/x/me.key"},
		User: "me", PasswordFile: "/etc/procman/pw",
	}, fleetOf(t, `
fleet:
  endpoints:
    - https://etcd-1
    - https://[::1]:2379/
  name: prod
  host: h-1
  capacity: 100
  labels: {disk: ssd}
  ttl: 20s
  grace: 5s
  tls: {ca_file: ca.pem, cert_file: /x/me.pem, key_file: /x/me.key}
  user: me
  password_file: pw
`), "files are named, and not read")
}

func TestAHostWhoseNameCannotStandForItIsToBeNamed(t *testing.T) {
	for _, h := range []Host{namedHost("my host", nil), namedHost("", errors.New("none")), {Getenv: host(nil).Getenv}} {
		_, err := Parse("f", []byte("fleet: {endpoints: ['http://h:1']}\ninstances: []"), h)
		require.ErrorContains(t, err, "f:1:8: fleet.host is missing, and the host name ")
	}
}

func TestASettingOfTheFleetNeedsANewDaemon(t *testing.T) {
	parse := func(text string) *File {
		f, err := Parse("/f", []byte(text+"\ninstances: []"), namedHost("h", nil))
		require.NoError(t, err)
		return f
	}
	none, one := parse(""), parse(fleetBlock)
	require.Empty(t, RestartNeeded(one, parse(fleetBlock)))
	require.Equal(t, []string{"fleet"}, RestartNeeded(none, one))
	require.Equal(t, []string{"fleet"}, RestartNeeded(one, none))
	other := parse("fleet: {endpoints: ['https://10.0.0.1:2379'], labels: {a: b}, tls: {ca_file: x}}")
	require.Equal(t, []string{"fleet.labels", "fleet.tls.ca_file"}, RestartNeeded(one, other))
}

func TestWhereAnInstanceMayRunIsMergedNameByName(t *testing.T) {
	f := good(t, `
fleet: {endpoints: [https://h], host: h}
defaults: {movable: true, fence: none, hosts: {disk: ssd, zone: a}}
instances:
  - {id: a, args: [x]}
  - {id: b, args: [x], fence: leash, hosts: {zone: b}}
  - {id: c, args: [x], movable: false}
`)
	require.Equal(t, &messages.Placement{Movable: true, Fence: messages.FenceNone,
		Hosts: map[string]string{"disk": "ssd", "zone": "a"}}, f.Instances[0].Placement)
	require.Equal(t, &messages.Placement{Movable: true, Fence: messages.FenceLeash,
		Hosts: map[string]string{"disk": "ssd", "zone": "b"}}, f.Instances[1].Placement)
	require.Equal(t, &messages.Placement{Hosts: map[string]string{"disk": "ssd", "zone": "a"}},
		f.Instances[2].Placement, "an inherited fence has no use")
	plain := good(t, "instances: [{id: a, args: [x], movable: false, hosts: {}}]")
	require.Nil(t, plain.Instances[0].Placement, "what says nothing costs nothing")
}

func TestAnInstanceMayMoveOnlyInAFleetOrOnItsList(t *testing.T) {
	const text = "instances:\n  - {id: a, args: [x], movable: true}\n"
	require.Equal(t, []string{"f:2:33: movable is for the instances of a fleet, and the configuration has no section " +
		"fleet; leave it out, or write that"}, bad(t, text))
	_, err := ParseList("f", []byte(text), host(nil))
	require.NoError(t, err)
	_, err = ParseInstance("spec/a", hostOf(t, ""), []byte(`{"id":"a","args":["x"],"movable":true}`))
	require.NoError(t, err)
	in, err := Parse("/f", []byte(text+"fleet: {endpoints: [https://h], host: h}\n"), host(nil))
	require.NoError(t, err)
	_, _, err = parse("/f", []byte(text), host(nil), in)
	require.ErrorContains(t, err, "/f:2:33: movable is for the instances of a fleet",
		"also if the instance itself is as it was")
}

func TestWhatIsFencedLeavesNothingBehind(t *testing.T) {
	for text, want := range map[string]string{
		"instances:\n  - {id: a, args: [x], movable: true, stop: {leftovers: leave}}": "f:2:57: stop.leftovers is " +
			"leave, but what this instance leaves would outlive",
		"stop: {leftovers: leave}\ninstances:\n  - {id: a, args: [x], movable: true}": "f:3:5: stop.leftovers is leave",
	} {
		_, err := ParseList("f", []byte(text), host(nil))
		require.ErrorContains(t, err, want)
	}
	_, err := ParseList("f", []byte("instances: [{id: a, args: [x], movable: true, fence: none, stop: {leftovers: "+
		"leave}}, {id: b, args: [x], stop: {leftovers: leave}}]"), host(nil))
	require.NoError(t, err)
}
