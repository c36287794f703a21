// The limit: what a process manager on this machine can cost at the least. It starts the payloads (vfork, exec), starts anew
// what ends (signalfd, waitpid), asks each whether it is healthy (epoll), and ends all at TERM. No file is read, nothing is
// recorded, nothing logged, nobody can ask it anything; USR1 adds one instance. It prints "answered NANOSECONDS"
// (CLOCK_MONOTONIC) when each has answered once.
//
//	limit -n N -more M -port FIRST -payload FILE -board FILE -dir DIR -probe MILLISECONDS [-- ARGUMENT...]
//
// Instance i listens on FIRST+i, has slot i of the board, and writes into DIR/i. Up to M may be added. With -probe each is
// asked once in so long, in groups of what is due in 250 ms; 0: never again.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GROUP_MS = 250, RETRY_MS = 1, REFUSALS = 8, ARGS = 32 };

struct instance {
	pid_t pid;
	int probe; // the socket of a probe under way, or -1
	char answered;
};

static struct instance *instances;
static int count, most, first, *by_pid, events, alive, answered, refused, stopping;
static const char *payload, *board, *dir;
static char *extra[ARGS];
static int extras;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void start(int i) {
	char port[16], slot[16], path[4096];
	snprintf(port, sizeof port, "%d", first + i);
	snprintf(slot, sizeof slot, "%d", i);
	snprintf(path, sizeof path, "%s/%d", dir, i);
	char *args[8 + ARGS] = {(char *)payload, "-port", port, "-board", (char *)board, "-slot", slot};
	memcpy(args + 7, extra, sizeof(char *) * (size_t)extras);
	char *environment[] = {NULL};
	int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0) die(path);
	pid_t pid = vfork();
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, 0);
		setsid();
		dup2(out, 1);
		dup2(out, 2);
		execve(payload, args, environment);
		_exit(127);
	}
	if (pid < 0) die("vfork");
	close(out);
	instances[i].pid = pid;
	by_pid[pid] = i;
	alive++;
}

// probe begins to ask instance i.
static void probe(int i) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(first + i)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0) die("socket");
	if (connect(s, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
		close(s);
		refused++;
		return;
	}
	struct epoll_event e = {.events = EPOLLOUT, .data.u64 = (uint64_t)i};
	if (epoll_ctl(events, EPOLL_CTL_ADD, s, &e) < 0) die("epoll_ctl");
	instances[i].probe = s;
}

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void over(int i, int good) {
	close(instances[i].probe);
	instances[i].probe = -1;
	if (!good) refused++;
	if (!good || instances[i].answered) return;
	instances[i].answered = 1;
	if (++answered == count) {
		printf("answered %llu\n", (unsigned long long)now());
		fflush(stdout);
	}
}

static void go_on(int i, uint32_t what) {
	static const char request[] = "GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
	int s = instances[i].probe;
	if (s < 0) return;
	if (what & EPOLLIN) {
		char text[1024];
		ssize_t n = read(s, text, sizeof text);
		over(i, n > 12 && !memcmp(text + 8, " 200", 4));
	} else if (what & (EPOLLERR | EPOLLHUP)) {
		over(i, 0);
	} else if (what & EPOLLOUT) {
		struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)i};
		if (write(s, request, sizeof request - 1) < 0 || epoll_ctl(events, EPOLL_CTL_MOD, s, &e) < 0) over(i, 0);
	}
}

// reap waits for the process, if it is known: to look for one that has ended, waitpid(-1) walks over all that have not.
static void reap(pid_t one) {
	int status;
	for (pid_t pid; (pid = waitpid(one, &status, WNOHANG)) > 0;) {
		alive--;
		if (!stopping) start(by_pid[pid]);
		if (one > 0) return;
	}
}

static void signalled(int fd) {
	struct signalfd_siginfo s;
	while (read(fd, &s, sizeof s) == sizeof s) {
		if (s.ssi_signo == SIGCHLD) {
			reap((pid_t)s.ssi_pid);
			reap(-1); // one signal may stand for many
		}
		if (s.ssi_signo == SIGUSR1 && count < most) {
			start(count);
			count++;
		}
		if (s.ssi_signo == SIGTERM && !stopping) {
			stopping = 1;
			for (int i = 0; i < count; i++) kill(instances[i].pid, SIGTERM);
		}
	}
}

int main(int c, char **args) {
	int more = 0;
	long long period = 0;
	for (int i = 1; i < c; i++) {
		if (!strcmp(args[i], "--")) {
			while (++i < c && extras < ARGS) extra[extras++] = args[i];
			break;
		}
		if (i + 1 == c) return 2;
		const char *name = args[i], *value = args[++i];
		if (!strcmp(name, "-n")) count = atoi(value);
		else if (!strcmp(name, "-more")) more = atoi(value);
		else if (!strcmp(name, "-port")) first = atoi(value);
		else if (!strcmp(name, "-payload")) payload = value;
		else if (!strcmp(name, "-board")) board = value;
		else if (!strcmp(name, "-dir")) dir = value;
		else if (!strcmp(name, "-probe")) period = atoll(value);
		else return 2;
	}
	most = count + more;
	int largest = 1 << 22;
	FILE *limit = fopen("/proc/sys/kernel/pid_max", "re");
	if (limit) {
		if (fscanf(limit, "%d", &largest) != 1) largest = 1 << 22;
		fclose(limit);
	}
	instances = calloc((size_t)most, sizeof *instances);
	by_pid = calloc((size_t)largest + 1, sizeof *by_pid);
	if (!instances || !by_pid) die("memory");
	for (int i = 0; i < most; i++) instances[i].probe = -1;

	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, 0);
	events = epoll_create1(EPOLL_CLOEXEC);
	int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (events < 0 || signals < 0 || timer < 0) die("epoll, signalfd, timerfd");
	const uint64_t of_signals = UINT64_MAX, of_timer = UINT64_MAX - 1;
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = of_signals}, t = {.events = EPOLLIN, .data.u64 = of_timer};
	epoll_ctl(events, EPOLL_CTL_ADD, signals, &e);
	epoll_ctl(events, EPOLL_CTL_ADD, timer, &t);

	for (int i = 0; i < count; i++) start(i);
	double due = 0;
	int next = 0, ticking = 0, lowest = 0;
	uint64_t again = 0;
	while (!stopping || alive) {
		int asking = answered < count && !ticking && !stopping;
		// They come up in the order in which they were started, nearly: where some refuse, those behind them would.
		if (asking && now() >= again) {
			again = now() + RETRY_MS * 1000000;
			while (lowest < count && instances[lowest].answered) lowest++;
			refused = 0;
			for (int i = lowest; i < count && refused < REFUSALS; i++)
				if (!instances[i].answered && instances[i].probe < 0) probe(i);
		}
		if (!asking && !ticking && period) {
			struct itimerspec every = {.it_interval.tv_nsec = GROUP_MS * 1000000, .it_value.tv_nsec = GROUP_MS * 1000000};
			timerfd_settime(timer, 0, &every, 0);
			ticking = 1;
		}
		struct epoll_event ready[256];
		int n = epoll_wait(events, ready, 256, asking ? RETRY_MS : -1);
		for (int i = 0; i < n; i++) {
			if (ready[i].data.u64 == of_signals) {
				signalled(signals);
			} else if (ready[i].data.u64 == of_timer) {
				uint64_t times = 0;
				if (read(timer, &times, sizeof times) != sizeof times || stopping) continue;
				for (due += (double)count * GROUP_MS * (double)times / (double)period; due >= 1; due--) {
					if (instances[next % count].probe < 0) probe(next % count);
					next = (next + 1) % count;
				}
			} else {
				go_on((int)ready[i].data.u64, ready[i].events);
			}
		}
	}
	return 0;
}
