// The payload: listens on a port of 127.0.0.1, answers 200 to every request, writes a line of log, ends at TERM. It notes what
// it does, and when, in its slot of the board (see board.go), which costs a few system calls on a tmpfs and wakes nobody.
//
//	payload -port PORT -board FILE -slot [NAME-]N [-exit | -flood MILLISECONDS | -hang N]
//
// -exit: ends at once, with status 1. -flood: writes lines to stdout for so long before it listens. -hang: those of the
// first N slots never listen.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct slot {
	uint64_t pid, runs, began, listening, written, writing, unused[2];
};

static int board = -1;
static off_t place, hangs;
static struct slot own;

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note(void) {
	if (board >= 0 && pwrite(board, &own, sizeof own, place) != sizeof own) _exit(3);
}

static void ended(int signal) {
	(void)signal;
	_exit(0);
}

static void flood(uint64_t milliseconds) {
	char line[128];
	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	uint64_t start = now(), length = milliseconds * 1000000u;
	while ((own.writing = now() - start) < length)
		for (int i = 0; i < 100; i++) {
			ssize_t n = write(1, line, sizeof line);
			if (n > 0) own.written += (uint64_t)n;
		}
	note();
}

int main(int count, char **args) {
	own.began = now();
	int port = 0, exits = 0;
	uint64_t floods = 0;
	const char *file = 0;
	for (int i = 1; i < count; i++) {
		const char *value = i + 1 < count ? args[i + 1] : "";
		if (!strcmp(args[i], "-exit")) { exits = 1; continue; }
		if (!strcmp(args[i], "-port")) port = atoi(value);
		else if (!strcmp(args[i], "-board")) file = value;
		else if (!strcmp(args[i], "-slot")) place = (off_t)atoi(strrchr(value, '-') ? strrchr(value, '-') + 1 : value) * (off_t)sizeof own;
		else if (!strcmp(args[i], "-hang")) hangs = (off_t)atoi(value) * (off_t)sizeof own;
		else if (!strcmp(args[i], "-flood")) floods = (uint64_t)atoi(value);
		else _exit(2);
		i++;
	}
	if (file) {
		struct slot before;
		board = open(file, O_RDWR | O_CLOEXEC);
		if (board < 0 || pread(board, &before, sizeof before, place) != sizeof before) _exit(3);
		own.runs = before.runs + 1;
	}
	own.pid = (uint64_t)getpid();
	note();
	if (exits) return 1;

	struct sigaction end = {.sa_handler = ended};
	sigaction(SIGTERM, &end, 0);
	signal(SIGPIPE, SIG_IGN);
	while (place < hangs) pause();
	if (floods) flood(floods);

	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 16) < 0) _exit(5);
	own.listening = now();
	note();
	static const char hello[] = "listening\n";
	if (write(1, hello, sizeof hello - 1) < 0) _exit(4);

	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	char request[2048];
	for (;;) {
		int c = accept4(listener, 0, 0, SOCK_CLOEXEC);
		if (c < 0) continue;
		if (read(c, request, sizeof request) > 0) (void)!write(c, answer, sizeof answer - 1);
		close(c);
	}
}
