package api

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"procman/actors/record"
	"procman/messages"
	"procman/supervisor"
)

// Supervisor is what the API needs of a supervisor.
type Supervisor interface {
	supervisor.ProcessController
	Lookup(id messages.InstanceID) (messages.Status, bool)
	App(id messages.InstanceID) *messages.AppInstance
	Explain(id messages.InstanceID) (messages.Explanation, bool)
	Desired() int
	Reload(ctx context.Context) error
	Prune(ctx context.Context) ([]messages.Pruned, error)
	Ready() <-chan struct{}
	Done() <-chan struct{}
}

var _ Supervisor = (*supervisor.Supervisor)(nil)

// Options are what a Server is made of. All but Pending, Metrics, Fleet and Logger are required.
type Options struct {
	Supervisor Supervisor
	Manager    Manager
	// Logs reads an instance's output. It ends soon after ctx has ended.
	Logs func(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error]
	// Events reads the event log. It ends soon after ctx has ended.
	Events func(ctx context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error]
	// Upgrade replaces the daemon's program by the one on disk, once that has shown that it can take over; the error
	// says why it cannot. It returns, with the file that will be executed, before that is done.
	Upgrade func(context.Context) (program string, err error)
	// Plan says what a reload would do by the configuration that is proposed, or by the daemon's own file if that is
	// nil.
	Plan func(ctx context.Context, p *Proposal) (Plan, error)
	// Pending returns the changed keys that take effect in a new daemon only; nil: there never are any.
	Pending func() []string
	// ConfigError says why the configuration on disk is not in force; empty: it is. Nil: that is not known.
	ConfigError func() string
	// Waits says for what the daemon waits, and so what it does not know yet; empty: for nothing. Nil: that is not
	// known.
	Waits func() string
	// Holds reports whether a leased port is kept bound by the manager while its instance uses it. Nil: it is not.
	Holds func() bool
	// Fleet is the host's part in a fleet; nil: it is in none.
	Fleet Fleet
	// Use returns what a process uses of the host; nil: it is not known. Nil: it never is.
	Use func(pid int) *messages.Use
	// Metrics answers a scrape; nil: there are none.
	Metrics http.Handler
	// Shutdown begins the end of the daemon, on behalf of somebody, and returns at once. It may be called more than
	// once.
	Shutdown func(mode Mode, by string)
	Logger   *slog.Logger // nil: nothing is logged
	// ReadGroup is the group whose members may read on the socket; nil: there is none.
	ReadGroup *int
	// Connections is how many callers are spoken to at the same time, at each address; further ones wait. Default 1024.
	Connections int
	// Opened is told by how much the number of descriptors that callers hold has changed: a connection, the files that
	// a stream reads; nil: nobody is.
	Opened func(change int)

	// The bounds; the zero values are the defaults.
	readTimeout  time.Duration // to send a request
	writeTimeout time.Duration // a reader that takes nothing for so long is dropped
	heartbeat    time.Duration // of a stream of events
	streams      int           // streams at the same time
	lookTime     time.Duration // between two looks at whether a followed instance is still in the list
}

// The bounds that are the same for all.
const (
	maxBody       = 64 << 10
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	decideTimeout = 10 * time.Second // for the supervisor to accept a command
	idleTimeout   = 10 * time.Second // between two requests; short, for others may wait for the connection
	farewell      = 2 * time.Second  // for requests under way when the server ends
	looksAtOnce   = 2                // at the files of instances: each may hold a thread
	plansAtOnce   = 2                // each may hold a configuration in memory, or wait for a disk
)

// Server answers the API.
type Server struct {
	options Options
	log     *slog.Logger
	mux     *http.ServeMux
	disk    *record.Disk  // of the files of instances
	ages    fileAges      // of these files
	streams chan struct{} // a slot for each stream of output
	plans   chan struct{} // a slot for each plan that is made
	readers chan struct{} // a slot for each request of who may only read
	lists   chan struct{} // a slot for each list of a fleet that is applied
	life    context.Context
	end     context.CancelFunc // ends the streams
	http    *http.Server       // on the socket
	tcp     *http.Server       // with a token
	closed  sync.Once
}

// New returns a server that does not serve yet.
func New(o Options) (*Server, error) {
	if o.Supervisor == nil || o.Logs == nil || o.Shutdown == nil || o.Upgrade == nil || o.Plan == nil ||
		o.Events == nil {
		return nil, errors.New("api: Supervisor, Logs, Events, Plan, Upgrade and Shutdown are required")
	}
	if o.Pending == nil {
		o.Pending = func() []string { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.readTimeout <= 0 {
		o.readTimeout = decideTimeout + 5*time.Second // its end ends the request as well
	}
	if o.writeTimeout <= 0 {
		o.writeTimeout = 10 * time.Second
	}
	if o.lookTime <= 0 {
		o.lookTime = time.Second
	}
	if o.Connections <= 0 {
		o.Connections = 1024
	}
	if o.Opened == nil {
		o.Opened = func(int) {}
	}
	if o.streams <= 0 {
		o.streams = max(o.Connections/2, 1) // so that who follows never keeps others from asking and steering
	}
	if o.heartbeat <= 0 {
		o.heartbeat = heartbeat
	}
	s := &Server{options: o, log: o.Logger, mux: http.NewServeMux(), streams: make(chan struct{}, o.streams),
		plans: make(chan struct{}, plansAtOnce), lists: make(chan struct{}, listsAtOnce),
		disk: record.NewDisk("the disk of the files of instances", looksAtOnce)}
	s.readers = make(chan struct{}, max(o.streams/2, 1)) // they keep nobody from following who may do everything
	s.life, s.end = context.WithCancel(context.Background())
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.method+" "+r.path, r.serve)
	}
	s.http = s.bounded(s.guard(s.Handler()))
	s.http.ConnContext = s.withPeer
	s.tcp = s.bounded(nil)
	return s, nil
}

// bounded is a server in which nobody can take more than his share.
func (s *Server) bounded(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       s.options.readTimeout,
		WriteTimeout:      decideTimeout + s.options.writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// route is one endpoint. openapi.yaml describes each.
type route struct {
	method, path string
	serve        http.HandlerFunc
}

func (s *Server) routes() []route {
	o := s.options.Supervisor
	return append(s.fleetRoutes(), []route{
		{"GET", "/v1/instances", s.instances},
		{"GET", "/v1/instances/{id}", s.instance},
		{"POST", "/v1/instances/{id}/start", s.command(o.Start)},
		{"POST", "/v1/instances/{id}/stop", s.command(o.Stop)},
		{"POST", "/v1/instances/{id}/restart", s.command(o.Restart)},
		{"POST", "/v1/instances/{id}/signal", s.signal},
		{"GET", "/v1/instances/{id}/logs", s.logs},
		{"GET", "/v1/instances/{id}/why", s.why},
		{"GET", "/v1/events", s.events},
		{"GET", "/v1/plan", s.plan},
		{"POST", "/v1/plan", s.planOf},
		{"POST", "/v1/reload", s.reload},
		{"POST", "/v1/prune", s.prune},
		{"POST", "/v1/shutdown", s.shutdown},
		{"POST", "/v1/upgrade", s.upgrade},
		{"GET", "/metrics", s.metrics},
		{"GET", "/healthz", s.healthz},
		{"GET", "/readyz", s.readyz},
	}...)
}

// Handler returns the endpoints alone, to be mounted elsewhere. Who calls is checked by Serve, not by the Handler.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r))
		}
		if e := s.meant(r); e != nil {
			s.no(w, r, e)
			return
		}
		if h, pattern := s.mux.Handler(r); pattern == "" {
			s.refuseRoute(w, r, h)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// Serve answers on l until Close. It returns nil after Close, and why it cannot go on otherwise.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(s.http, l)
}

func (s *Server) serve(h *http.Server, l net.Listener) error {
	err := h.Serve(newConnLimit(newSpareListener(l), s.options.Connections, s.options.Opened))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends Serve and its listener. Streams of output are ended; what else is under way has two seconds.
func (s *Server) Close() error {
	var err error
	s.closed.Do(func() {
		s.end()
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		var errs []error
		for _, h := range []*http.Server{s.http, s.tcp} {
			err := h.Shutdown(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				err = h.Close()
			}
			errs = append(errs, err)
		}
		err = errors.Join(errs...)
	})
	return err
}
