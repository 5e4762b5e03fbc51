/*
 * The bound of forwarding: for each packet only what cannot be left out, a copy, libsrtp's AES-GCM-128 and the kernel.
 *
 *   bound RATE FANOUT SECONDS PORT...
 *
 * RATE packets of 172 bytes per second, paced, each protected for FANOUT receivers (a session and a key each) and sent
 * to their ports on 127.0.0.1 in batches of up to 64 with sendmmsg. Prints the packets that the kernel took.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <srtp2/srtp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { SIZE = 172, BATCH = 64, SLOT = 2048 };

static void sleep_until(struct timespec *at, long step_ns)
{
    at->tv_nsec += step_ns;
    while (at->tv_nsec >= 1000000000L) {
        at->tv_nsec -= 1000000000L;
        at->tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    int rate = atoi(argv[1]), fanout = atoi(argv[2]);
    double seconds = atof(argv[3]);
    int ports = argc - 4;
    srtp_t *sessions = calloc(fanout, sizeof *sessions);
    struct sockaddr_in *to = calloc(fanout, sizeof *to);
    static unsigned char slots[BATCH][SLOT];
    struct iovec iov[BATCH];
    struct mmsghdr headers[BATCH];
    unsigned char packet[SIZE] = {0x80, 111}, key[28];
    long sent = 0;

    srtp_init();
    for (int i = 0; i < fanout; i++) {
        srtp_policy_t policy;
        memset(&policy, 0, sizeof policy);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
        memset(key, i + 1, sizeof key);
        policy.key = key;
        policy.ssrc.type = ssrc_any_outbound;
        policy.window_size = 1024;
        policy.allow_repeat_tx = 1;
        if (srtp_create(&sessions[i], &policy) != srtp_err_status_ok)
            return 1;
        to[i].sin_family = AF_INET;
        to[i].sin_port = htons(atoi(argv[4 + i % ports]));
        to[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0), buffer = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < BATCH; i++) {
        iov[i].iov_base = slots[i];
        headers[i].msg_hdr.msg_iov = &iov[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        headers[i].msg_hdr.msg_namelen = sizeof *to;
    }
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    long packets = (long)(rate * seconds);
    for (long n = 0; n < packets; n++) {
        packet[2] = n >> 8;
        packet[3] = n;
        packet[11] = 1; /* the SSRC */
        int used = 0;
        for (int i = 0; i < fanout; i++) {
            int size = SIZE;
            memcpy(slots[used], packet, SIZE);
            if (srtp_protect(sessions[i], slots[used], &size) != srtp_err_status_ok)
                return 1;
            iov[used].iov_len = size;
            headers[used].msg_hdr.msg_name = &to[i];
            if (++used == BATCH || i == fanout - 1) {
                int done = sendmmsg(fd, headers, used, 0);
                sent += done > 0 ? done : 0;
                used = 0;
            }
        }
        sleep_until(&at, 1000000000L / rate);
    }
    printf("%ld\n", sent);
    return 0;
}
