// Package port leases the TCP ports that instances listen on.
//
// Invariants:
//   - A port is leased to one instance at the most, and an instance has one lease at the most.
//   - A port in use by anybody else, on any address of either family, is not leased.
//   - An instance keeps its port over restarts, unless it discards it, is forgotten, or no other port is left for
//     another.
//   - With Hold, a port is held by a socket from its lease until its owner is forgotten; while descriptors run short,
//     not while it is parked. A port that was claimed from an earlier manager is held from the end of that claim.
//   - A port that somebody else has is not tried again for a second, but for a few at a time. So a range that others
//     have taken costs the first Acquire a look at each port, and the next ones little.
//   - No operation waits. The table and the kernel are asked under one mutex; an Acquire takes microseconds.
//
// Facts that forced this (measured, Linux 6.18):
//   - A bind to [::] without SO_REUSEADDR fails if any other socket has the port: on 127.0.0.1, 0.0.0.0, ::1 or ::,
//     listening or not, with SO_REUSEADDR or without, and also if only TIME_WAIT connections are left of it. So the
//     held socket is bound without it.
//   - A bound socket that does not listen, and has SO_REUSEADDR set after its bind, does not stop another one that has
//     it set too from binding and listening. So the child can, and a second manager, which binds without it, cannot.
//     The child must set SO_REUSEADDR: nearly all servers do. Hold false is for one that does not.
//   - A bind with SO_REUSEADDR succeeds if nobody listens, also beside TIME_WAIT. But it succeeds beside the held
//     socket of another manager as well, so it proves a port ours only together with a look at who else is bound:
//     NETLINK_SOCK_DIAG shows bound sockets that do not listen since Linux 6.8. Where it does not, or cannot be asked
//     (it is a module, which may be gone; a sandbox may forbid it), the port is skipped.
//   - An accepted or half-closed connection outlives its listener; the held socket is why it does not cost the instance
//     its port.
package port
