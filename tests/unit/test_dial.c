/* Connecting without waiting, to real sockets. */
#include "proxy/dial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

static void opens_a_connection(void **state)
{
    struct error error;
    bool connecting;
    struct address address;
    (void)state;
    const int listening = net_listen(&address);
    const int fd = dial_open(&address, &connecting, &error);
    assert_true(fd >= 0);
    net_wait(fd, POLLOUT);
    assert_true(dial_has_connected(fd, &error));
    net_wait(listening, POLLIN);
    (void)close(fd);
    (void)close(listening);
}

static void says_that_a_port_refuses(void **state)
{
    struct error error = {.text = ""};
    bool connecting;
    struct address address;
    (void)state;
    const int held = net_refuse(&address);
    const int fd = dial_open(&address, &connecting, &error);
    if (fd >= 0) {
        assert_true(connecting);
        net_wait(fd, POLLOUT);
        assert_false(dial_has_connected(fd, &error));
        (void)close(fd);
    }
    assert_non_null(strstr(error.text, "Connection refused"));
    (void)close(held);
}

static void says_that_a_unix_socket_is_missing(void **state)
{
    struct error error = {.text = ""};
    struct address address;
    bool connecting = true;
    (void)state;
    net_unix_address("/nonexistent/pawl.sock", &address);
    assert_int_equal(dial_open(&address, &connecting, &error), -1);
    assert_false(connecting);
    assert_string_equal(error.text,
                        "unix:/nonexistent/pawl.sock: No such file or directory");
}

static void leaves_no_descriptor_behind_after_a_failure(void **state)
{
    struct error error;
    struct address address;
    bool connecting;
    (void)state;
    net_unix_address("/nonexistent/pawl.sock", &address);
    const size_t before = net_open_fds();
    assert_int_equal(dial_open(&address, &connecting, &error), -1);
    assert_int_equal(net_open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_a_connection),
        cmocka_unit_test(says_that_a_port_refuses),
        cmocka_unit_test(says_that_a_unix_socket_is_missing),
        cmocka_unit_test(leaves_no_descriptor_behind_after_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
