package test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors/health"
	"procman/actors/port"
	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor"
)

// A host program that runs instances inside its own actor system. Any server that takes a port will do; here it is this
// test binary. Error handling is left out to show how little is needed.
func Example_embed() {
	dir, _ := os.MkdirTemp("", "procman")
	defer os.RemoveAll(dir)
	log := slog.New(slog.DiscardHandler)
	system := actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return log }))

	spawner, _ := spawn.Open(messages.StateDir(dir), spawn.Options{Logger: log})
	ports, _ := port.New(port.Options{First: 24000, Last: 24100, Hold: true})
	host, _ := supervisor.New(supervisor.Config{
		Provider: supervisor.Static{{
			InstanceID: "users", Executable: os.Args[0], Args: []string{"{port}"}, Env: map[string]string{"PROCMAN_TEST_SERVER": "1"},
		}},
		Spawner: spawner, Ports: ports, Health: health.New(health.Options{Owner: true}), System: system, Logger: log,
	})

	<-host.Ready()
	users, _ := host.Lookup("users")
	fmt.Println(users.ID, users.Phase, users.Health, users.Port >= 24000)

	fmt.Println(host.Shutdown(context.Background()))
	_ = spawner.Close()
	_ = ports.Close()
	// Output:
	// users running healthy true
	// <nil>
}
