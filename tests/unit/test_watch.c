/* Real files, real inotify; an event loop that runs until something is reported. */
#include "proxy/watch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_S = 10, QUIET_TIME_MS = 600 };

static char directory[64];
static struct event_base *base;
static struct watch *watch;
static struct file_list files;
static unsigned changes;

static const char *path_of(const char *file)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, file);
    return path;
}

static void write_file(const char *file, const char *text)
{
    const int fd = open(path_of(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void on_change(void *argument)
{
    (void)argument;
    changes++;
    event_base_loopbreak(base);
}

static int begin(void **state)
{
    (void)state;
    struct error error;
    (void)snprintf(directory, sizeof directory, "/tmp/pawl-test-watch-XXXXXX");
    assert_non_null(mkdtemp(directory));
    base = event_base_new();
    watch = watch_new(base, on_change, NULL, &error);
    assert_non_null(watch);
    changes = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    watch_free(watch);
    event_base_free(base);
    file_list_close(&files);
    (void)snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command) == 0 ? 0 : -1;
}

static void follow(const char *file, bool fits)
{
    assert_true(file_list_add(&files, path_of(file)));
    watch_follow(watch, &files, file_list_state(&files), fits);
    assert_int_equal(files.count, 0);
}

static void run_ms(unsigned ms)
{
    const struct timeval time = {.tv_sec = ms / 1000,
                                 .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_base_loopexit(base, &time);
    event_base_dispatch(base);
}

static void assert_change(void)
{
    const unsigned before = changes;
    run_ms(PATIENCE_S * 1000);
    assert_int_equal(changes, before + 1);
}

static void assert_no_change(void)
{
    const unsigned before = changes;
    run_ms(QUIET_TIME_MS);
    assert_int_equal(changes, before);
}

static void a_file_that_is_written_has_changed(void **state)
{
    (void)state;
    write_file("a", "old");
    follow("a", true);
    write_file("a", "new");
    assert_change();
    assert_no_change();
}

static void a_file_that_is_renamed_over_has_changed(void **state)
{
    (void)state;
    write_file("a", "old");
    write_file("b", "new");
    follow("a", true);
    assert_int_equal(rename(path_of("b"), path_of("a")), 0);
    assert_change();
}

static void a_file_that_is_deleted_has_changed_and_its_return_too(void **state)
{
    (void)state;
    write_file("a", "old");
    follow("a", true);
    assert_int_equal(unlink(path_of("a")), 0);
    assert_change();
    write_file("a", "new");
    assert_change();
}

static void a_file_may_appear_with_its_directory(void **state)
{
    (void)state;
    follow("later/on/a", true);
    assert_int_equal(mkdir(path_of("later"), 0700), 0);
    assert_no_change();
    assert_int_equal(mkdir(path_of("later/on"), 0700), 0);
    assert_no_change();
    write_file("later/on/a", "new");
    assert_change();
}

static void a_link_on_the_way_may_be_exchanged(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("one"), 0700), 0);
    assert_int_equal(mkdir(path_of("two"), 0700), 0);
    write_file("one/a", "old");
    write_file("two/a", "new");
    assert_int_equal(symlink("one", path_of("current")), 0);
    assert_int_equal(symlink(path_of("current/a"), path_of("a")), 0);
    follow("a", true);
    assert_int_equal(symlink("./one/../two", path_of("next")), 0);
    assert_int_equal(rename(path_of("next"), path_of("current")), 0);
    assert_change();
    write_file("two/a", "newer");
    assert_change();
}

static void links_in_a_circle_end(void **state)
{
    (void)state;
    assert_int_equal(symlink("b", path_of("a")), 0);
    assert_int_equal(symlink("a", path_of("b")), 0);
    follow("a", true);
    assert_no_change();
    assert_int_equal(unlink(path_of("b")), 0);
    write_file("b", "a file");
    assert_change();
}

static void a_directory_changes_with_its_entries(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("sites"), 0700), 0);
    follow("sites", true);
    write_file("sites/a", "new");
    assert_change();
}

static void other_files_are_of_no_interest(void **state)
{
    (void)state;
    write_file("a", "old");
    follow("a", true);
    write_file("b", "new");
    assert_no_change();
}

static void many_writes_are_one_change(void **state)
{
    (void)state;
    write_file("a", "old");
    follow("a", true);
    for (int i = 0; i < 100; i++)
        write_file("a", "new");
    assert_change();
    assert_no_change();
}

static void what_changed_before_it_was_followed_is_reported(void **state)
{
    (void)state;
    write_file("a", "old");
    assert_true(file_list_add(&files, path_of("a")));
    const uint64_t before = file_list_state(&files);
    write_file("a", "newer");
    watch_follow(watch, &files, before, true);
    assert_change();
}

static void what_does_not_fit_is_reported_without_a_change(void **state)
{
    (void)state;
    write_file("a", "old");
    follow("a", false);
    assert_no_change();
    assert_change();
}

static void nothing_is_reported_once_nothing_is_followed(void **state)
{
    (void)state;
    struct file_list none = {0};
    write_file("a", "old");
    follow("a", false);
    watch_follow(watch, &none, 0, true);
    write_file("a", "new");
    run_ms(1500);
    assert_int_equal(changes, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_written_has_changed),
        TEST(a_file_that_is_renamed_over_has_changed),
        TEST(a_file_that_is_deleted_has_changed_and_its_return_too),
        TEST(a_file_may_appear_with_its_directory),
        TEST(a_link_on_the_way_may_be_exchanged),
        TEST(links_in_a_circle_end),
        TEST(a_directory_changes_with_its_entries),
        TEST(other_files_are_of_no_interest),
        TEST(many_writes_are_one_change),
        TEST(what_changed_before_it_was_followed_is_reported),
        TEST(what_does_not_fit_is_reported_without_a_change),
        TEST(nothing_is_reported_once_nothing_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
