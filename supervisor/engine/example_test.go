package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"procman/actors/port"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/engine"
	"procman/test/fake"
)

// quiet is the log of a host program that keeps none.
var quiet = slog.New(slog.DiscardHandler)

// server is an instance: any server that takes a port will do. Here it is this test binary.
func server(id messages.InstanceID) messages.AppInstance {
	return messages.AppInstance{
		InstanceID: id, Executable: os.Args[0], Args: []string{"{port}"},
		Env:    map[string]string{fake.ServerVariable: "1"},
		Health: messages.HealthPolicy{Interval: time.Second},
	}
}

func scratch() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		panic(err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}

func options(dir string, first int, provider supervisor.AppInstanceProvider) engine.Options {
	return engine.Options{
		StateDir: dir, Ports: port.Options{First: first, Last: first + 20, Hold: true},
		Supervisor: supervisor.Config{Provider: provider, Logger: quiet},
	}
}

// A host program that runs instances.
func Example() {
	dir, remove := scratch()
	defer remove()
	e, err := engine.Open(options(dir, 24100, supervisor.Static{server("users")}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	<-e.Ready()
	users, _ := e.Lookup("users")
	fmt.Println(users.ID, users.Phase, users.Health, users.Port >= 24100)
	fmt.Println(e.Shutdown(context.Background()))
	// Output:
	// users running healthy true
	// <nil>
}

// list is a provider whose list changes. It says so, and is asked then.
type list struct {
	apps    chan []messages.AppInstance
	changed chan struct{}
}

func newList(apps ...messages.AppInstance) *list {
	l := &list{make(chan []messages.AppInstance, 1), make(chan struct{}, 1)}
	l.apps <- apps
	return l
}

func (l *list) AppInstances(context.Context) ([]messages.AppInstance, error) {
	apps := <-l.apps
	l.apps <- apps
	return apps, nil
}

func (l *list) Changes() <-chan struct{} { return l.changed }

func (l *list) set(apps ...messages.AppInstance) {
	<-l.apps
	l.apps <- apps
	l.changed <- struct{}{}
}

// A provider of your own: what it lists runs, and what leaves the list is stopped.
func Example_provider() {
	dir, remove := scratch()
	defer remove()
	l := newList(server("blue"))
	o := options(dir, 24130, l)
	stopped, ready := make(chan messages.InstanceID, 10), make(chan messages.InstanceID, 10)
	o.Supervisor.Observe = []supervisor.Observer{{Event: func(e messages.Event) {
		switch e.What {
		case messages.InstanceReady:
			ready <- e.ID
		case messages.InstanceStopped:
			stopped <- e.ID
		}
	}}}
	e, err := engine.Open(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	fmt.Println(<-ready, "runs")
	l.set(server("green"))
	fmt.Println(<-stopped, "has left,", <-ready, "runs")
	_ = e.Shutdown(context.Background())
	// Output:
	// blue runs
	// blue has left, green runs
}

// running returns the ids of those that run healthy.
func running(e *engine.Engine) string {
	var ids []string
	statuses, err := e.Status(context.Background())
	if err != nil {
		return err.Error()
	}
	for _, s := range statuses {
		if s.Phase == messages.Running || s.Phase == messages.Stopping {
			ids = append(ids, string(s.ID))
		}
	}
	return strings.Join(ids, " ")
}

// patient takes everybody for healthy whose process lives.
type patient struct{}

func (patient) Check(context.Context, messages.Target) messages.Probe {
	return messages.Probe{At: time.Now(), OK: true, Status: 200}
}

// A health checker of your own.
func Example_checker() {
	dir, remove := scratch()
	defer remove()
	o := options(dir, 24160, supervisor.Static{server("users")})
	o.Supervisor.Health = patient{}
	e, err := engine.Open(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	<-e.Ready()
	users, _ := e.Lookup("users")
	fmt.Println(users.Health)
	_ = e.Shutdown(context.Background())
	// Output: healthy
}

// Two engines in one process: each has a state directory and ports of its own.
func Example_two() {
	for n, name := range []messages.InstanceID{"one", "two"} {
		dir, remove := scratch()
		defer remove()
		e, err := engine.Open(options(dir, 24190+30*n, supervisor.Static{server(name)}))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer e.Close()
		<-e.Ready()
		fmt.Println(running(e))
		defer e.Shutdown(context.Background())
	}
	// Output:
	// one
	// two
}

// What happens is told after it is done. An observer that panics harms nobody.
func Example_events() {
	dir, remove := scratch()
	defer remove()
	o := options(dir, 24320, supervisor.Static{server("users")})
	happened := make(chan string, 100)
	o.Supervisor.Observe = []supervisor.Observer{{Event: func(e messages.Event) {
		if e.ID != "" {
			happened <- fmt.Sprint(e.ID, ": ", e.What)
		}
	}}}
	e, err := engine.Open(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	<-e.Ready()
	_ = e.Shutdown(context.Background())
	for range 5 {
		fmt.Println(<-happened)
	}
	// Output:
	// users: instance started
	// users: instance ready
	// users: instance stopping
	// users: instance exited
	// users: instance stopped
}
