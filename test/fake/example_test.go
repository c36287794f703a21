package fake_test

import (
	"context"
	"fmt"
	"time"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// reporter takes the place of a *testing.T, which an example has not.
type reporter struct{}

func (reporter) Helper()                           {}
func (reporter) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// A host program's test with mocks around a real supervisor. In a test, fake.NewWorld does all of this, in fake time.
func Example() {
	users := messages.AppInstance{
		InstanceID: "users", WasmPath: "users.wasm", DbName: "users.db",
		Restart: messages.RestartPolicy{Initial: time.Millisecond},
	}
	spawner := fake.NewSpawner(reporter{})
	s, err := supervisor.New(supervisor.Config{
		Provider: fake.NewProvider(users),
		Spawner:  spawner,
		Ports:    fake.NewPorts(),
		Health:   fake.NewHealthChecker(nil), // every process answers healthy
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-s.Ready()
	first := spawner.Processes("users")[0]
	fmt.Println(first)

	first.Exit(3)
	for status, _ := s.Lookup("users"); status.Restarts == 0 || status.Health != messages.Healthy; status,
		_ = s.Lookup("users") {
		time.Sleep(time.Millisecond)
	}
	status, _ := s.Lookup("users")
	fmt.Println(status.Run, status.Port, status.LastExit)
	fmt.Println(s.Shutdown(context.Background()), len(spawner.Live()))
	// Output:
	// users run 1, pid 1001, port 30000
	// 2 30000 exited with code 3
	// <nil> 0
}
