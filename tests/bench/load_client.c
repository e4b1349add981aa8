/*
 * A TLS client on wolfSSL that costs little: many connections in flight in one thread.
 *
 *   load_client HOST PORT handshake|request|hold [--count N | --seconds N] [--parallel N]
 *       [--warm N] [--version 1.2|1.3] [--group NAME] [--cipher NAME] [--resume]
 *       [--path PATH] [--upload BYTES]
 *
 * An operation is a connection: its handshake, with `request` also one HTTP request and
 * the whole response, and the end of it.  `hold` makes a request on each connection and
 * keeps them all.  Prints `ready` after --warm operations on each place (or when all are
 * held), goes on when it reads a line, then prints what was done as one JSON object.  An
 * operation counts only if version, group and cipher are as they were asked for.  With
 * --resume each uses the last ticket of its place; how many were resumed is printed,
 * since a server may want a full handshake now and then.  Exit code 0 unless nothing
 * could be done at all.
 */
#include "tests/bench/load_client.h"

#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 64,
    BEGUN_MAX = 64,
    STUCK_MS = 30000 /* without any progress everything still open has failed */
};

struct load load = {.options = {.parallel = 8,
                                .group = WOLFSSL_ECC_X25519,
                                .group_name = "X25519",
                                .path = "/small"}};

_Noreturn void load_fail(const char *what)
{
    fprintf(stderr, "load_client: %s\n", what);
    exit(1);
}

uint64_t load_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned held_count(const struct place *places)
{
    unsigned held = 0;

    for (unsigned i = 0; i < load.options.parallel; i++)
        held += places[i].held;
    return held;
}

static bool is_over(const struct place *places)
{
    if (load.options.mode != MODE_HOLD)
        return load.active == 0;
    return held_count(places) == load.active && load.started == load.start_most;
}

/* Of connections that are to be held only so many are begun at once. */
static void begin_some(struct place *places)
{
    unsigned room = load.options.parallel;

    if (load.options.mode == MODE_HOLD)
        room = load.active - held_count(places) < BEGUN_MAX ? BEGUN_MAX : 0;
    for (unsigned i = 0; i < load.options.parallel && room > 0; i++) {
        if (places[i].phase == PHASE_IDLE) {
            place_go_on(&places[i]);
            room--;
        }
    }
}

/* Until `count` operations have begun, or the time is over, and all have ended. */
static void run(struct place *places, uint64_t count, uint64_t seconds)
{
    struct epoll_event events[EVENTS];

    load.started = 0;
    load.start_most = count;
    load.progress_ms = load_now_ms();
    load.deadline_ms = seconds ? load_now_ms() + seconds * 1000 : 0;
    begin_some(places);
    while (!is_over(places)) {
        int ready = epoll_wait(load.poller, events, EVENTS, 1000);
        for (int i = 0; i < ready; i++)
            place_step(events[i].data.ptr);
        if (load.options.mode == MODE_HOLD)
            begin_some(places);
        if (load_now_ms() - load.progress_ms < STUCK_MS)
            continue;
        load.start_most = 0;
        for (unsigned i = 0; i < load.options.parallel; i++) {
            if (places[i].phase != PHASE_IDLE)
                place_fail(&places[i], "nothing happened for 30 s", 0);
        }
    }
}

static void wait_for_line(const struct place *places)
{
    if (load.options.mode == MODE_HOLD)
        printf("ready %u\n", held_count(places));
    else
        puts("ready");
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin))
        continue;
}

static void print_results(uint64_t ms)
{
    printf("{\"operations\": %llu, \"errors\": %llu, \"resumed\": %llu, \"bytes\": %llu, "
           "\"milliseconds\": %llu, \"version\": \"%s\", \"cipher\": \"%s\", "
           "\"group\": \"%s\", \"first_error\": \"%s\"}\n",
           (unsigned long long)load.results.done, (unsigned long long)load.results.errors,
           (unsigned long long)load.results.resumed,
           (unsigned long long)load.results.bytes, (unsigned long long)ms,
           load.results.version, load.results.cipher, load.results.group,
           load.results.first_error);
}

static void read_group(const char *name)
{
    load.options.group_name = name;
    if (strcmp(name, "X25519MLKEM768") == 0)
        load.options.group = WOLFSSL_X25519MLKEM768;
    else if (strcmp(name, "X25519") == 0)
        load.options.group = WOLFSSL_ECC_X25519;
    else if (strcmp(name, "SECP256R1") == 0)
        load.options.group = WOLFSSL_ECC_SECP256R1;
    else
        load_fail("unknown group");
}

static void read_option(int key)
{
    switch (key) {
    case 'n':
        load.options.count = strtoull(optarg, NULL, 10);
        break;
    case 's':
        load.options.seconds = strtoull(optarg, NULL, 10);
        break;
    case 'p':
        load.options.parallel = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 'w':
        load.options.warm = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 'v':
        load.options.tls12 = strcmp(optarg, "1.2") == 0;
        break;
    case 'g':
        read_group(optarg);
        break;
    case 'c':
        load.options.cipher = optarg;
        break;
    case 'r':
        load.options.resume = true;
        break;
    case 'P':
        load.options.path = optarg;
        break;
    case 'u':
        load.options.upload = strtoull(optarg, NULL, 10);
        break;
    default:
        exit(2);
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {{"count", required_argument, NULL, 'n'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"parallel", required_argument, NULL, 'p'},
                                          {"warm", required_argument, NULL, 'w'},
                                          {"version", required_argument, NULL, 'v'},
                                          {"group", required_argument, NULL, 'g'},
                                          {"cipher", required_argument, NULL, 'c'},
                                          {"resume", no_argument, NULL, 'r'},
                                          {"path", required_argument, NULL, 'P'},
                                          {"upload", required_argument, NULL, 'u'},
                                          {NULL, 0, NULL, 0}};
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;

    for (int key; (key = getopt_long(argc, argv, "", names, NULL)) != -1;)
        read_option(key);
    if (argc - optind != 3 || load.options.parallel == 0)
        load_fail("usage: load_client HOST PORT handshake|request|hold [options]");
    if (getaddrinfo(argv[optind], argv[optind + 1], &hints, &found) != 0)
        load_fail("not a numeric address");
    memcpy(&load.options.address, found->ai_addr, found->ai_addrlen);
    load.options.address_length = found->ai_addrlen;
    freeaddrinfo(found);
    const char *mode = argv[optind + 2];
    if (strcmp(mode, "request") == 0)
        load.options.mode = MODE_REQUEST;
    else if (strcmp(mode, "hold") == 0)
        load.options.mode = MODE_HOLD;
    else if (strcmp(mode, "handshake") != 0)
        load_fail("the mode is none of handshake, load.request, hold");
}

static void make_request(void)
{
    int length = snprintf(load.request, sizeof load.request,
                          "%s %s HTTP/1.1\r\nHost: bench.example\r\nConnection: %s\r\n",
                          load.options.upload ? "POST" : "GET", load.options.path,
                          load.options.mode == MODE_HOLD ? "keep-alive" : "close");

    if (load.options.upload)
        length +=
            snprintf(load.request + length, sizeof load.request - (size_t)length,
                     "Content-Length: %llu\r\n", (unsigned long long)load.options.upload);
    length +=
        snprintf(load.request + length, sizeof load.request - (size_t)length, "\r\n");
    load.request_length = (size_t)length;
}

int main(int argc, char **argv)
{
    struct rlimit files;

    read_options(argc, argv);
    make_request();
    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    wolfSSL_Init();
    load.context = wolfSSL_CTX_new(load.options.tls12 ? wolfTLSv1_2_client_method()
                                                      : wolfTLSv1_3_client_method());
    struct place *places = calloc(load.options.parallel, sizeof *places);
    load.poller = epoll_create1(EPOLL_CLOEXEC);
    if (!load.context || !places || load.poller < 0)
        load_fail("no memory");
    wolfSSL_CTX_set_verify(load.context, WOLFSSL_VERIFY_NONE, NULL);
    if (load.options.resume && !load.options.tls12)
        wolfSSL_CTX_UseSessionTicket(load.context);
    for (unsigned i = 0; i < load.options.parallel; i++)
        places[i].fd = -1;
    run(places, (uint64_t)load.options.warm * load.options.parallel, 0);
    if (load.options.mode == MODE_HOLD)
        run(places, load.options.parallel, 0);
    wait_for_line(places);
    load.counting = true;
    uint64_t began = load_now_ms();
    if (load.options.mode == MODE_HOLD)
        load.results.done = held_count(places);
    else
        run(places, load.options.count ? load.options.count : UINT64_MAX,
            load.options.seconds);
    print_results(load_now_ms() - began);
    return load.results.done > 0 ? 0 : 1;
}
