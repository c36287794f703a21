package doctor

func pidfds(f Facts) Finding {
	const check = "kernel"
	k := f.Kernel
	switch {
	case k.Pidfd.Fails():
		return Finding{check, Fault, "Linux " + k.Release + ", and pidfds do not work: " + k.Pidfd.Err.Error(),
			"procman cannot watch a process and does not start",
			"use Linux 5.4 or later, and let the sandbox (seccomp) pass pidfd_open and pidfd_send_signal"}
	case !k.Pidfd.Made:
		return unknown(check, nil, "")
	}
	return ok(check, "Linux %s, pidfds work", k.Release)
}

func groupSignals(f Facts) Finding {
	const check = "group signals"
	t := f.Kernel.GroupSignals
	switch {
	case t.Fails():
		return Finding{check, Warning, "a pidfd does not reach a process group: " + t.Err.Error(),
			"each signal to what an ended process left behind needs a look at all processes; nothing else changes",
			"use Linux 6.9 or later"}
	case !t.Made:
		return unknown(check, nil, "")
	}
	return ok(check, "a pidfd reaches a process group")
}

func exitStatus(f Facts) Finding {
	const check = "exit status"
	t := f.Kernel.ExitStatus
	switch {
	case !t.Made:
		return unknown(check, nil, "")
	case t.Err == nil:
		return ok(check, "a pidfd tells it also after pid 1 has reaped the process")
	case storeOf(f.Unit) > 0:
		return ok(check, "a pidfd does not tell it, but systemd keeps the pidfds of instances")
	}
	return Finding{check, Warning, "a pidfd does not tell it once somebody else has reaped the process: " +
		t.Err.Error(),
		"exit codes of children that died while no daemon lived are then 'unknown' unless systemd's fd store is used",
		"use Linux 6.15 or later, or run the daemon as a systemd service with FileDescriptorStoreMax"}
}
