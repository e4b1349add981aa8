/* Pages of counters: what one process counts another reads, and only reads. */
#include "proxy/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct error error;

static int new_page(void)
{
    int fd = stats_page_new("test", sizeof(struct stats_worker), &error);

    assert_true(fd >= 0);
    return fd;
}

static void what_one_maps_another_sees(void **state)
{
    (void)state;
    int fd = new_page();
    struct stats_worker *writer = stats_page_map(fd, sizeof(*writer), true, &error);
    const struct stats_worker *reader =
        stats_page_map(fd, sizeof(*reader), false, &error);

    assert_non_null(writer);
    assert_non_null(reader);
    writer->accepted += 3;
    assert_int_equal(reader->accepted, 3);
    stats_page_unmap(writer, sizeof(*writer));
    stats_page_unmap(reader, sizeof(*reader));
    close(fd);
}

static void a_read_only_descriptor_cannot_be_written_through(void **state)
{
    (void)state;
    int fd = new_page();
    int reader = stats_page_read_only(fd, &error);

    assert_true(reader >= 0);
    assert_null(stats_page_map(reader, sizeof(struct stats_worker), true, &error));
    assert_int_equal(write(reader, "x", 1), -1);
    close(reader);
    close(fd);
}

static void a_page_keeps_its_size(void **state)
{
    (void)state;
    int fd = new_page();

    assert_int_equal(ftruncate(fd, 1), -1);
    assert_int_equal(errno, EPERM);
    close(fd);
}

static void what_is_no_page_is_refused(void **state)
{
    (void)state;
    int plain = memfd_create("plain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int small = stats_page_new("small", 8, &error);

    assert_int_equal(ftruncate(plain, sizeof(struct stats_worker)), 0);
    assert_null(stats_page_map(plain, sizeof(struct stats_worker), false, &error));
    assert_null(stats_page_map(small, sizeof(struct stats_worker), false, &error));
    assert_null(stats_page_map(-1, sizeof(struct stats_worker), false, &error));
    close(plain);
    close(small);
}

static void a_new_worker_keeps_counters_and_drops_gauges(void **state)
{
    (void)state;
    struct stats_worker stats = {.accepted = 7, .generation = 2, .sessions = {4}};

    stats_worker_begin(&stats);
    assert_int_equal(stats.accepted, 7);
    assert_int_equal(stats.generation, 0);
    assert_int_equal(stats.sessions[0], 0);
}

static void a_backend_has_one_place_by_its_name(void **state)
{
    static struct stats_worker stats;

    (void)state;
    struct stats_backend *app = stats_backend_of(&stats, "app");
    assert_string_equal(app->name, "app");
    assert_ptr_not_equal(stats_backend_of(&stats, "api"), app);
    assert_ptr_equal(stats_backend_of(&stats, "app"), app);
}

static void backends_without_a_place_share_the_last(void **state)
{
    static struct stats_worker stats;
    char name[CONFIG_NAME_MAX];

    (void)state;
    for (int i = 0; i < STATS_BACKENDS - 1; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        assert_string_equal(stats_backend_of(&stats, name)->name, name);
    }
    struct stats_backend *last = &stats.backends[STATS_BACKENDS - 1];
    assert_ptr_equal(stats_backend_of(&stats, "one more"), last);
    assert_ptr_equal(stats_backend_of(&stats, "and another"), last);
    assert_string_equal(last->name, "");
    assert_ptr_not_equal(stats_backend_of(&stats, "7"), last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_maps_another_sees),
        cmocka_unit_test(a_read_only_descriptor_cannot_be_written_through),
        cmocka_unit_test(a_page_keeps_its_size),
        cmocka_unit_test(what_is_no_page_is_refused),
        cmocka_unit_test(a_backend_has_one_place_by_its_name),
        cmocka_unit_test(backends_without_a_place_share_the_last),
        cmocka_unit_test(a_new_worker_keeps_counters_and_drops_gauges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
