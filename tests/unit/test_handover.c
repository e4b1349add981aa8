/* What is handed over comes back as it was, and nothing that is wrong is taken. */
#include "proxy/handover.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

enum { FDS = 8 };

static struct handover handover, back;
static struct error error;
static int fds[FDS];
static size_t fds_before;

static int begin(void **state)
{
    (void)state;
    fds_before = net_open_fds();
    for (size_t i = 0; i < FDS; i++)
        fds[i] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    handover_init(&handover);
    handover_init(&back);
    handover.master = getpid();
    (void)snprintf(handover.binary, sizeof handover.binary, "/usr/sbin/pawl and more");
    handover.way_back_fd = fds[0];
    handover.generation = UINT32_MAX;
    handover.bundle_fd = fds[1];
    handover.keys_fd = fds[2];
    handover.workers = 3;
    handover.drain_ms = 35000;
    handover.counters = 1;
    handover.ring_fd = fds[3];
    handover.window_ms = 3600000;
    return 0;
}

static int end(void **state)
{
    (void)state;
    handover_close(&handover);
    handover_close(&back);
    for (size_t i = 0; i < FDS; i++)
        (void)close(fds[i]);
    return net_open_fds() == fds_before ? 0 : -1;
}

static bool read_back(void)
{
    const int fd = handover_write(&handover, &error);
    assert_true(fd >= 0);
    const bool ok = handover_read(fd, &back, &error);
    (void)close(fd);
    return ok;
}

/* Reads `text` as if it had been handed over. */
static bool read_text(const char *text, size_t length, int seals)
{
    const int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, text, length), length);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    const bool ok = handover_read(fd, &back, &error);
    (void)close(fd);
    return ok;
}

static bool read_lines(const char *text)
{
    return read_text(text, strlen(text), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
}

/* The lines that must be there, then `more`. */
static bool read_more(const char *more)
{
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "pawl-handover 1\nmaster %ld\nbinary /x\nway-back %d\n"
                   "generation 7 %d %d 2 1000\n%s",
                   (long)getpid(), fds[0], fds[1], fds[2], more);
    return read_lines(text);
}

/* Not by their bytes: there is padding between the members. */
static void assert_same_process(const struct handover_process *a,
                                const struct handover_process *b)
{
    assert_string_equal(a->role, b->role);
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->pid, b->pid);
    assert_int_equal(a->control_fd, b->control_fd);
    assert_int_equal(a->stats_fd, b->stats_fd);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->until_ms, b->until_ms);
}

static void everything_comes_back(void **state)
{
    const struct handover_process worker = {.role = "worker",
                                            .index = 2,
                                            .pid = 4711,
                                            .control_fd = fds[4],
                                            .stats_fd = fds[5],
                                            .generation = 9};
    const struct handover_process leaving = {.role = "keyholder",
                                             .pid = 4712,
                                             .control_fd = -1,
                                             .stats_fd = -1,
                                             .until_ms = UINT64_MAX};
    (void)state;
    assert_true(handover_add_process(&handover, &worker));
    assert_true(handover_add_process(&handover, &leaving));
    assert_true(handover_add_fd(&handover, HANDOVER_SOCKET, fds[6], "[::1]:443"));
    assert_true(handover_add_fd(&handover, HANDOVER_KEPT, fds[7], "a name"));
    (void)snprintf(handover.failed, sizeof handover.failed, "it did: not work");
    assert_true(read_back());
    assert_string_equal(back.binary, handover.binary);
    assert_int_equal(back.way_back_fd, fds[0]);
    assert_int_equal(back.generation, UINT32_MAX);
    assert_int_equal(back.bundle_fd, fds[1]);
    assert_int_equal(back.keys_fd, fds[2]);
    assert_int_equal(back.workers, 3);
    assert_int_equal(back.drain_ms, 35000);
    assert_int_equal(back.counters, 1);
    assert_int_equal(back.ring_fd, fds[3]);
    assert_int_equal(back.window_ms, 3600000);
    assert_string_equal(back.failed, "it did: not work");
    assert_int_equal(back.process_count, 2);
    assert_same_process(&back.processes[0], &worker);
    assert_same_process(&back.processes[1], &leaving);
    assert_int_equal(back.fd_count, 2);
    assert_int_equal(back.fds[0].use, HANDOVER_SOCKET);
    assert_int_equal(back.fds[0].fd, fds[6]);
    assert_string_equal(back.fds[0].name, "[::1]:443");
    assert_int_equal(back.fds[1].use, HANDOVER_KEPT);
    assert_string_equal(back.fds[1].name, "a name");
}

static void processes_that_have_ended_are_left_out(void **state)
{
    const struct handover_process gone = {
        .role = "worker", .control_fd = fds[4], .stats_fd = -1};
    (void)state;
    assert_true(handover_add_process(&handover, &gone));
    assert_true(read_back());
    assert_int_equal(back.process_count, 0);
}

static void descriptors_stay_open_only_when_told_to(void **state)
{
    (void)state;
    handover_keep_open(&handover, true);
    assert_int_equal(fcntl(fds[1], F_GETFD), 0);
    assert_int_equal(fcntl(fds[4], F_GETFD), FD_CLOEXEC); /* not in it */
    handover_keep_open(&handover, false);
    assert_int_equal(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    handover_keep_open(&handover, true);
    assert_true(read_back());
    assert_int_equal(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
}

static void lines_of_unknown_words_are_passed_over(void **state)
{
    (void)state;
    assert_true(read_more("colour green 7 8\nend\n"));
    assert_int_equal(back.generation, 7);
}

static void what_follows_the_end_is_not_read(void **state)
{
    (void)state;
    assert_true(read_more("end\nmaster 1\n"));
}

static void another_process_is_not_the_heir(void **state)
{
    (void)state;
    handover.master = getpid() + 1;
    assert_false(read_back());
    assert_non_null(strstr(error.text, "another process"));
}

static void another_format_is_refused(void **state)
{
    (void)state;
    assert_false(read_lines("pawl-handover 2\nend\n"));
    assert_false(read_lines("pawl-handover 10\nend\n"));
    assert_false(read_lines("\n"));
    assert_false(read_lines("end\n"));
}

static void what_is_missing_is_noticed(void **state)
{
    (void)state;
    assert_false(read_lines("pawl-handover 1\nend\n"));
    assert_false(read_more("")); /* no end */
    assert_false(read_more("end"));
    assert_true(read_more("end\n"));
    handover.keys_fd = -1;
    assert_false(read_back());
}

static void without_seals_nothing_is_read(void **state)
{
    static const char text[] = "pawl-handover 1\nend\n";
    (void)state;
    assert_false(read_text(text, strlen(text), F_SEAL_SHRINK | F_SEAL_GROW));
    assert_non_null(strstr(error.text, "nothing that was handed over"));
    assert_false(handover_read(STDERR_FILENO, &back, &error));
    assert_false(handover_read(fds[0], &back, &error));
    assert_false(handover_read(12345, &back, &error));
}

static void a_nul_among_the_lines_is_refused(void **state)
{
    static const char text[] = "pawl-handover 1\n\0end\n";
    (void)state;
    assert_false(
        read_text(text, sizeof text - 1, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
}

static void wrong_lines_are_refused(void **state)
{
    static const char *const wrong[] = {
        "process worker 0 4711\nend\n",         /* too short */
        "process worker 0 1 40 -1 7\nend\n",    /* pid 1 is no child */
        "process worker 0 4711 -1 -1 7\nend\n", /* nothing to talk over */
        "process worker -1 4711 40 -1 7\nend\n",
        "process worker 0 99999999999 40 -1 7\nend\n",
        "process worker 0 4711 40 -1 99999999999\nend\n",
        "process this-is-a-role-with-too-long-a-name 0 4711 40 -1 7\nend\n",
        "departing worker 0 4711 0\nend\n",
        "departing worker 0 4711 99999999999999999999999\nend\n",
        "socket 40\nend\n", /* no address */
        "socket x 127.0.0.1:443\nend\n",
        "socket 2 127.0.0.1:443\nend\n", /* a standard descriptor */
        "socket -1 127.0.0.1:443\nend\n",
        "socket 99999999999 127.0.0.1:443\nend\n",
        "generation 7 40 41 0 1000\nend\n", /* no worker */
        "tickets x 1\nend\n",
        "failed\nend\n",
        "\nend\n",
        " master 1\nend\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (read_more(wrong[i]))
            fail_msg("was taken: %s", wrong[i]);
        assert_int_equal(back.process_count + back.fd_count, 0);
    }
}

static void a_descriptor_that_is_not_open_or_named_twice_is_refused(void **state)
{
    char line[64];
    (void)state;
    assert_false(read_more("socket 12345 127.0.0.1:443\nend\n"));
    assert_non_null(strstr(error.text, "not open"));
    (void)snprintf(line, sizeof line, "socket %d 127.0.0.1:443\nend\n", fds[0]);
    assert_false(read_more(line));
    (void)snprintf(line, sizeof line, "socket %d 127.0.0.1:443\nend\n", fds[4]);
    assert_true(read_more(line));
}

static void endless_lists_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < HANDOVER_ITEMS_MAX; i++)
        assert_true(handover_add_fd(&handover, HANDOVER_KEPT, -1, ""));
    assert_false(handover_add_fd(&handover, HANDOVER_KEPT, -1, ""));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_comes_back),
        TEST(processes_that_have_ended_are_left_out),
        TEST(descriptors_stay_open_only_when_told_to),
        TEST(lines_of_unknown_words_are_passed_over),
        TEST(what_follows_the_end_is_not_read),
        TEST(another_process_is_not_the_heir),
        TEST(another_format_is_refused),
        TEST(what_is_missing_is_noticed),
        TEST(without_seals_nothing_is_read),
        TEST(a_nul_among_the_lines_is_refused),
        TEST(wrong_lines_are_refused),
        TEST(a_descriptor_that_is_not_open_or_named_twice_is_refused),
        TEST(endless_lists_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
