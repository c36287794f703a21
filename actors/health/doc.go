// Package health asks an instance how it is, and whether it is the instance that answers.
//
// Invariants:
//   - How it is asked is the kind of its policy, see probers: a kind is a file of its own, and what it hears that is
//     not healthy it says itself, as a verdict. Slots, the deadline, whose the listener is and what is not the
//     instance's fault are the same for all.
//   - A probe over HTTP is one request, a GET unless the policy says otherwise, on a literal loopback address. No
//     proxy, no redirect, no resolver, no compression. What a policy says beyond the usual costs only those that say
//     it.
//   - With TLS the server's certificate is verified, on loopback too. Files of certificates are looked at before each
//     such probe, off its path if their disk does not answer, and read again when they have changed; one of a pair that
//     is being replaced is not taken for a minute. What they lack is not the instance's fault.
//   - A TCP probe is a connection that is accepted, by the kernel for a listener that is the instance's own; it is
//     ended by a reset.
//   - A command is run by who forks, see package spawn; here it has its slots, its timeout and its words. That it
//     cannot be run is not the instance's fault.
//   - A probe ends within its timeout, reads a bounded number of bytes and allocates a few kilobytes, whatever the
//     server does. Check runs in its caller's goroutine; while it connects there may be one more.
//   - Begin is Check for many at a time, with sockets that never wait and one goroutine for all, on Linux; elsewhere it
//     is a goroutine that calls Check. An answer is read by the same code, so that what is said of an instance is the
//     same to the word, and the same tests hold both to it. Whatever does not go as it does with an instance that is
//     well (an answer in many parts, a long one, a listener that was not found before) goes on in a goroutine of its
//     own, from where it is: what one instance does delays no other. The latency of an answer that came at once may be
//     told up to a millisecond greater than it was, of a steady probe or if four or more were asked together: that long
//     it is waited for all of them. One that came within seven milliseconds may be told twice as great, and a steady
//     probe begins up to 0.2 ms after it was asked for.
//   - Nothing outlives a probe for longer than 100 ms: no goroutine, no descriptor, no connection. So there is no
//     Close.
//   - Only a proof makes a conflict. An owner that cannot be learned, for want of permission or on another system than
//     Linux, is no failure.
//   - Whose the listener is is asked at every probe, but for a steady one of an instance that is well and was proved to
//     own it less than a minute ago (run.Schedule, messages.Target.Proved). What that leaves open: a process that lives
//     may close its listener, and a stranger may take the port between two probes and answer 200 as it did. That is
//     noticed with the first probe that finds nobody, or anything but 200, or another body than before, and after a
//     minute or one interval at the latest, whichever is longer. A process that ends is noticed by its end, and its
//     port is held for it: so the stranger needs one that goes on without serving.
//
// Facts that forced this (measured, Linux 6.18, Go 1.26, against a net/http server on loopback):
//   - Of what a probe of its own costs in a manager that is idle otherwise, five sixths are wake-ups: of the processor,
//     a timer, a new goroutine, threads, mailboxes. With 1000 instances and an interval of 10 s the manager took 5.4 s
//     of processor time a minute on a slow and busy virtual machine, with 25 together 0.9 to 1.4 s, with 50 together
//     0.7 to 1.1 s. A program in C that makes the same system calls took 0.5 to 0.75 s there, in turn.
//   - A system call that the Go runtime is told of wakes its monitor, which then looks around every 20 µs while
//     anything runs: a third of all switches between threads. The calls of Begin, which never wait, are not told.
//   - To wait for each answer is a wake-up for each. After a millisecond most have come, and are read together; on a
//     busy host after three or seven. To make an epoll for the rest, tell the runtime of it, and begin each probe while
//     the loop ran for the one before cost a quarter of all: 1.8 times what the C program takes, without it 1.3 to 1.6
//     (all three at the same time).
//   - net/http's client needs two goroutines for each connection. Without it a probe takes 50 µs and 5 KB, server
//     included; the proof of ownership adds 10 µs.
//   - 1000 probes that end by an ordinary close leave 1000 connections in TIME_WAIT for a minute: on our side if we
//     close first, and on the instance's, where they stand in the way of its port, if it does. Ended by a reset
//     (SO_LINGER 0), they leave none on either side. A connection kept alive would be one to a process that may be
//     dead, and an extra descriptor on both sides for each instance.
//   - A reset that meets a server which is still busy with the connection shows up in its log. So the request says
//     Connection: close, and if the server agrees, the probe waits up to 100 ms for it to close before it resets. What
//     is reset then is a connection that no program has any more. The wait is not part of the latency.
//   - The listener of an address is found by one sock_diag request: 3 µs with 3000 listeners on the host, while a dump
//     of them takes 1.6 ms. The look-up answers for a dual-stack socket in either family.
//   - A listener that has been found before costs one readlink. Otherwise the leader's descriptors are searched, then
//     those of its group, its session and its descendants: one scan of /proc, shared by all probes that wait for one.
//     Only if it is none of these, the tags of all processes are read, by which one in a session of its own is known.
package health
