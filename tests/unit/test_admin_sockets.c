/* The admin process's sockets through prepare, commit and abort. */
#include "proxy/admin_sockets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct admin_sockets sockets;
static struct config config;
static struct report report;
static char folder[] = "/tmp/pawl-admin-XXXXXX";
static char path[64];

static int begin(void **state)
{
    char address[80];
    struct error error;

    (void)state;
    memset(&sockets, 0, sizeof(sockets));
    memset(&report, 0, sizeof(report));
    (void)snprintf(folder, sizeof(folder), "/tmp/pawl-admin-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    (void)snprintf(address, sizeof(address), "unix:%s", path);
    assert_true(value_read_addresses(address, ADDRESS_LISTEN_LOCAL,
                                     &config.admin.addresses, &error));
    return 0;
}

static int end(void **state)
{
    (void)state;
    admin_sockets_close(&sockets);
    report_close(&report);
    (void)unlink(path);
    return rmdir(folder);
}

static bool is_there(void)
{
    return access(path, F_OK) == 0;
}

static void prepare(void)
{
    admin_sockets_prepare(&sockets, &config, &report);
}

static void a_socket_is_for_user_and_group(void **state)
{
    struct stat status;

    (void)state;
    prepare();
    assert_int_equal(report.errors, 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
}

static void an_abort_closes_what_was_new(void **state)
{
    (void)state;
    prepare();
    assert_true(is_there());
    admin_sockets_abort(&sockets);
    assert_int_equal(sockets.count, 0);
    assert_false(is_there());
}

static void what_serves_survives_an_abort(void **state)
{
    (void)state;
    prepare();
    admin_sockets_commit(&sockets);
    int fd = sockets.items[0].fd;
    config.admin.addresses.count = 0;
    prepare();
    admin_sockets_abort(&sockets);
    assert_int_equal(sockets.count, 1);
    assert_int_equal(sockets.items[0].fd, fd);
    assert_true(is_there());
}

static void an_address_that_is_gone_is_closed(void **state)
{
    (void)state;
    prepare();
    admin_sockets_commit(&sockets);
    config.admin.addresses.count = 0;
    prepare();
    assert_true(is_there());
    admin_sockets_commit(&sockets);
    assert_false(is_there());
    assert_int_equal(sockets.count, 0);
}

static void an_address_that_stays_keeps_its_socket(void **state)
{
    (void)state;
    prepare();
    admin_sockets_commit(&sockets);
    int fd = sockets.items[0].fd;
    prepare();
    admin_sockets_commit(&sockets);
    assert_int_equal(sockets.count, 1);
    assert_int_equal(sockets.items[0].fd, fd);
}

static void a_socket_in_use_is_not_taken(void **state)
{
    struct admin_sockets other = {.count = 0};

    (void)state;
    prepare();
    admin_sockets_prepare(&other, &config, &report);
    assert_int_equal(other.count, 0);
    assert_int_equal(report.errors, 1);
    assert_non_null(strstr(report.entries[0].text, "Address already in use"));
    assert_true(is_there());
}

static void a_socket_that_was_left_behind_is(void **state)
{
    (void)state;
    struct sockaddr_un *un =
        (struct sockaddr_un *)&config.admin.addresses.items[0].storage;
    int left = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(bind(left, (struct sockaddr *)un, sizeof(*un)), 0);
    close(left);
    prepare();
    assert_int_equal(report.errors, 0);
    assert_int_equal(sockets.count, 1);
}

static void a_file_is_left_alone(void **state)
{
    (void)state;
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    prepare();
    assert_int_equal(report.errors, 1);
    assert_true(is_there());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_socket_is_for_user_and_group),
        TEST(an_abort_closes_what_was_new),
        TEST(what_serves_survives_an_abort),
        TEST(an_address_that_is_gone_is_closed),
        TEST(an_address_that_stays_keeps_its_socket),
        TEST(a_socket_in_use_is_not_taken),
        TEST(a_socket_that_was_left_behind_is),
        TEST(a_file_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
