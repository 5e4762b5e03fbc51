/*
 * Receives what a server under load sends, at the least cost, and counts it.
 *
 *   sink FD...
 *
 * The descriptors are bound UDP sockets that were handed down. Each line on stdin is answered with one line for each
 * socket, "RTP RTCP BYTES": packets since the start, and bytes of the RTP ones; then an empty line. Ends with stdin.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, SLOT = 2048 };

struct counts {
    int fd;
    unsigned long rtp, rtcp, bytes;
};

static unsigned char slots[BATCH][SLOT];
static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];

static void drain(struct counts *sink)
{
    int count;

    do {
        count = recvmmsg(sink->fd, headers, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            if (slots[i][0] < 128)
                continue; /* STUN, DTLS */
            if (slots[i][1] >= 192 && slots[i][1] <= 223) {
                sink->rtcp++;
            } else {
                sink->rtp++;
                sink->bytes += headers[i].msg_len;
            }
        }
    } while (count == BATCH);
}

int main(int argc, char **argv)
{
    int sinks = argc - 1, poll = epoll_create1(0);
    struct counts *all = calloc(sinks, sizeof *all);
    struct epoll_event ready[BATCH], wanted = {.events = EPOLLIN, .data.ptr = NULL};
    char line[256];

    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){slots[i], SLOT};
        headers[i].msg_hdr.msg_iov = &vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &wanted);
    for (int i = 0; i < sinks; i++) {
        all[i].fd = atoi(argv[i + 1]);
        wanted.data.ptr = &all[i];
        if (epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &wanted) < 0)
            return 1;
    }
    for (;;) {
        int count = epoll_wait(poll, ready, BATCH, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.ptr) {
                drain(ready[i].data.ptr);
                continue;
            }
            if (read(STDIN_FILENO, line, sizeof line) <= 0)
                return 0;
            for (int s = 0; s < sinks; s++) {
                drain(&all[s]);
                printf("%lu %lu %lu\n", all[s].rtp, all[s].rtcp, all[s].bytes);
            }
            printf("\n");
            fflush(stdout);
        }
    }
}
