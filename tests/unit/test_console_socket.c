/* The control socket's path: taken, taken over, left alone, given back. */
#include "proxy/console_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

enum { PATH_ROOM = 64 };

static char folder[PATH_ROOM], directory[PATH_ROOM + 8], path[PATH_ROOM + 16];
static struct console_socket made, other;
static bool in_use;
static struct error error;
static size_t fds_before;

static int begin(void **state)
{
    (void)state;
    fds_before = net_open_fds();
    (void)snprintf(folder, sizeof folder, "/tmp/pawl-console-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(directory, sizeof directory, "%s/run", folder);
    (void)snprintf(path, sizeof path, "%s/c.sock", directory);
    made.fd = other.fd = -1;
    return 0;
}

/* No test may leave a descriptor or a file behind. */
static int end(void **state)
{
    (void)state;
    console_socket_close(&made);
    console_socket_close(&other);
    (void)unlink(path);
    (void)rmdir(directory);
    return rmdir(folder) == 0 && net_open_fds() == fds_before ? 0 : -1;
}

static bool opens(struct console_socket *socket)
{
    return console_socket_open(socket, path, &in_use, &error);
}

static mode_t mode_of(const char *name)
{
    struct stat status;
    assert_int_equal(lstat(name, &status), 0);
    return status.st_mode & 07777;
}

/* Somebody who dies without taking the path away. */
static void leave_stale(void)
{
    struct address address;
    assert_true(mkdir(directory, 0700) == 0);
    net_unix_address(path, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address.storage, address.length),
                     0);
    (void)close(fd);
}

static void socket_and_directory_are_for_their_owner_alone(void **state)
{
    (void)state;
    (void)umask(0);
    assert_true(opens(&made));
    assert_int_equal(mode_of(directory), 0700);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(umask(022), 0); /* as it was */
    assert_true(console_socket_is_ours(&made));
}

static void a_client_can_connect_at_once(void **state)
{
    struct address address;
    (void)state;
    assert_true(opens(&made));
    net_unix_address(path, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(fd, (const struct sockaddr *)&address.storage, address.length), 0);
    (void)close(fd);
}

static void a_stale_socket_is_taken_over(void **state)
{
    (void)state;
    leave_stale();
    assert_true(opens(&made));
    assert_true(console_socket_is_ours(&made));
}

static void the_socket_of_a_living_owner_is_left_alone(void **state)
{
    (void)state;
    assert_true(opens(&made));
    assert_false(opens(&other));
    assert_true(in_use);
    assert_non_null(strstr(error.text, path));
    assert_true(console_socket_is_ours(&made));
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    (void)state;
    assert_int_equal(mkdir(directory, 0700), 0);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_false(opens(&made));
    assert_false(in_use);
    assert_non_null(strstr(error.text, "no socket"));
    assert_int_equal(access(path, F_OK), 0);
}

static void two_who_start_at_once_do_not_both_win(void **state)
{
    (void)state;
    assert_int_equal(mkdir(directory, 0700), 0);
    int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_false(opens(&made));
    assert_non_null(strstr(error.text, "just opening"));
    (void)close(lock);
    assert_true(opens(&made));
}

static void closing_takes_the_path_away(void **state)
{
    (void)state;
    assert_true(opens(&made));
    console_socket_close(&made);
    assert_int_equal(access(path, F_OK), -1);
    console_socket_close(&made);
}

static void closing_leaves_what_another_has_put_there(void **state)
{
    (void)state;
    assert_true(opens(&made));
    assert_int_equal(unlink(path), 0);
    assert_false(console_socket_is_ours(&made));
    assert_true(opens(&other));
    console_socket_close(&made);
    assert_true(console_socket_is_ours(&other));
}

static void an_inherited_socket_is_adopted_at_its_own_path_only(void **state)
{
    (void)state;
    assert_true(opens(&made));
    assert_false(console_socket_adopt(&other, made.fd, "/elsewhere"));
    assert_int_equal(other.fd, -1);
    assert_true(console_socket_adopt(&other, made.fd, path));
    assert_true(console_socket_is_ours(&other));
    made.fd = -1;
}

static void a_missing_parent_is_named(void **state)
{
    (void)state;
    assert_false(console_socket_open(&made, "/nonexistent/pawl/c.sock", &in_use, &error));
    assert_non_null(strstr(error.text, "/nonexistent/pawl"));
    assert_false(in_use);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    char longest[CONSOLE_PATH_MAX + 1];
    (void)state;
    memset(longest, 'a', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    assert_false(console_socket_open(&made, longest, &in_use, &error));
    assert_non_null(strstr(error.text, "too long"));
}

static void auto_means_what_this_user_has(void **state)
{
    char found[CONSOLE_PATH_MAX];
    (void)state;
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0);
    console_socket_resolve("auto", found);
    assert_string_equal(found, geteuid() == 0 ? "/run/pawl/control.sock"
                                              : "/run/user/7/pawl/control.sock");
    console_socket_resolve("off", found);
    assert_string_equal(found, "");
    console_socket_resolve("/x/y", found);
    assert_string_equal(found, "/x/y");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(socket_and_directory_are_for_their_owner_alone),
        TEST(a_client_can_connect_at_once),
        TEST(a_stale_socket_is_taken_over),
        TEST(the_socket_of_a_living_owner_is_left_alone),
        TEST(a_file_that_is_no_socket_is_left_alone),
        TEST(two_who_start_at_once_do_not_both_win),
        TEST(closing_takes_the_path_away),
        TEST(closing_leaves_what_another_has_put_there),
        TEST(an_inherited_socket_is_adopted_at_its_own_path_only),
        TEST(a_missing_parent_is_named),
        TEST(a_path_that_is_too_long_is_refused),
        TEST(auto_means_what_this_user_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
