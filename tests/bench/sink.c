/*
 * Receives what a server under load sends, at the least cost, and counts it.
 *
 *   sink FD...
 *
 * The descriptors are bound UDP sockets that were handed down. Each line on stdin is answered with one line for each
 * socket, "RTCP SSRC:PACKETS SSRC:PACKETS ...": packets since the start, of each RTP source those with different numbers
 * (of less than a cycle), so that what is sent again counts once; then an empty line. Ends with stdin.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, SLOT = 2048, READY = 64 };

struct source {
    unsigned ssrc;
    unsigned long packets;
    unsigned char seen[65536 / 8];
    struct source *next;
};

struct sink {
    int fd;
    unsigned long rtcp;
    struct source *sources;
};

static unsigned char slots[BATCH][SLOT];
static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];

static void count_rtp(struct sink *sink, const unsigned char *packet)
{
    unsigned ssrc = (unsigned)packet[8] << 24 | packet[9] << 16 | packet[10] << 8 | packet[11];
    unsigned number = packet[2] << 8 | packet[3], bit = 1u << (number & 7);
    struct source *source = sink->sources;

    while (source && source->ssrc != ssrc)
        source = source->next;
    if (!source) {
        source = calloc(1, sizeof *source);
        source->ssrc = ssrc;
        source->next = sink->sources;
        sink->sources = source;
    }
    if (!(source->seen[number >> 3] & bit)) {
        source->seen[number >> 3] |= bit;
        source->packets++;
    }
}

static void drain(struct sink *sink)
{
    int count;

    do {
        count = recvmmsg(sink->fd, headers, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            if (slots[i][0] < 128)
                continue; /* STUN, DTLS */
            if (slots[i][1] >= 192 && slots[i][1] <= 223)
                sink->rtcp++;
            else
                count_rtp(sink, slots[i]);
        }
    } while (count == BATCH);
}

int main(int argc, char **argv)
{
    int sinks = argc - 1, poll = epoll_create1(0);
    struct sink *all = calloc(sinks, sizeof *all);
    struct epoll_event ready[READY], wanted = {.events = EPOLLIN, .data.ptr = NULL};
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
        int count = epoll_wait(poll, ready, READY, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.ptr) {
                drain(ready[i].data.ptr);
                continue;
            }
            if (read(STDIN_FILENO, line, sizeof line) <= 0)
                return 0;
            for (int s = 0; s < sinks; s++) {
                drain(&all[s]);
                printf("%lu", all[s].rtcp);
                for (struct source *source = all[s].sources; source; source = source->next)
                    printf(" %u:%lu", source->ssrc, source->packets);
                printf("\n");
            }
            printf("\n");
            fflush(stdout);
        }
    }
}
