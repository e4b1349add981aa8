/* Control messages over real socket pairs; the test also plays a peer that sends what no
 * peer should. */
#include "proxy/control.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

enum { RAW_FDS_MAX = 4 };

static int ends[2];
static struct control_message message;
static struct control_fds fds;
static size_t fds_before;

static int open_pair(void **state)
{
    struct error error;
    (void)state;
    fds_before = net_open_fds();
    memset(&message, 0xff, sizeof message);
    return control_pair(ends, &error) ? 0 : -1;
}

/* No test may leave a descriptor behind. */
static int close_pair(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            (void)close(ends[i]);
    }
    return net_open_fds() == fds_before ? 0 : -1;
}

static struct control_message commit_message(void)
{
    return (struct control_message){.type = CONTROL_COMMIT, .generation = 7};
}

/* Sends any bytes with `count` copies of `fd`. */
static void send_raw(const void *bytes, size_t length, int fd, size_t count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(RAW_FDS_MAX * sizeof(int))];
    } space = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        header.msg_control = space.bytes;
        header.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (size_t i = 0; i < count; i++)
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
    }
    assert_int_equal(sendmsg(ends[0], &header, 0), length);
}

static enum control_result receive(void)
{
    return control_receive(ends[1], false, &message, &fds);
}

static void assert_no_fds(void)
{
    for (size_t i = 0; i < CONTROL_FDS_MAX; i++)
        assert_int_equal(fds.fd[i], -1);
}

static void carries_a_message_unchanged(void **state)
{
    struct control_message sent = {.type = CONTROL_FINDING,
                                   .generation = 3,
                                   .number = {1, 2, 3, 4, 5},
                                   .text = "proxy.ini:3: something"};
    struct error error;
    (void)state;
    assert_true(control_send(ends[0], &sent, NULL, &error));
    assert_int_equal(receive(), CONTROL_MESSAGE);
    assert_memory_equal(&message, &sent, sizeof sent);
    assert_no_fds();
}

static void carries_a_text_that_fills_its_field(void **state)
{
    struct control_message sent = commit_message();
    struct error error;
    (void)state;
    memset(sent.text, 'x', sizeof sent.text - 1);
    assert_true(control_send(ends[0], &sent, NULL, &error));
    assert_int_equal(receive(), CONTROL_MESSAGE);
    assert_int_equal(strlen(message.text), CONTROL_TEXT_MAX - 1);
}

static void keeps_messages_apart_and_in_order(void **state)
{
    struct control_message sent = commit_message();
    struct error error;
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        sent.generation = i;
        assert_true(control_send(ends[0], &sent, NULL, &error));
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(receive(), CONTROL_MESSAGE);
        assert_int_equal(message.generation, i);
    }
    assert_int_equal(receive(), CONTROL_NOTHING);
}

static void says_that_there_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(receive(), CONTROL_NOTHING);
    assert_no_fds();
}

static void says_that_the_peer_is_gone(void **state)
{
    (void)state;
    (void)close(ends[0]);
    ends[0] = -1;
    assert_int_equal(receive(), CONTROL_CLOSED);
    assert_int_equal(control_receive(ends[1], true, &message, &fds), CONTROL_CLOSED);
}

static void gives_what_a_peer_sent_before_it_went(void **state)
{
    const struct control_message sent = commit_message();
    struct error error;
    (void)state;
    assert_true(control_send(ends[0], &sent, NULL, &error));
    (void)close(ends[0]);
    ends[0] = -1;
    assert_int_equal(receive(), CONTROL_MESSAGE);
    assert_int_equal(receive(), CONTROL_CLOSED);
}

static void sending_to_a_peer_that_is_gone_fails(void **state)
{
    const struct control_message sent = commit_message();
    struct error error = {.text = ""};
    (void)state;
    (void)close(ends[1]);
    ends[1] = -1;
    assert_false(control_send(ends[0], &sent, NULL, &error));
    assert_string_equal(error.text, "cannot send a control message: Broken pipe");
}

static void hands_over_descriptors(void **state)
{
    const struct control_message sent = commit_message();
    struct error error;
    int pipe_ends[2];
    char byte = 0;
    (void)state;
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    const struct control_fds given = {.fd = {pipe_ends[0], pipe_ends[1]}};
    assert_true(control_send(ends[0], &sent, &given, &error));
    assert_int_equal(receive(), CONTROL_MESSAGE);
    assert_int_equal(write(fds.fd[1], "x", 1), 1);
    assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    control_fds_close(&fds);
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
}

static void received_descriptors_are_closed_on_exec(void **state)
{
    const struct control_message sent = commit_message();
    const struct control_fds given = {.fd = {STDERR_FILENO, -1}};
    struct error error;
    (void)state;
    assert_true(control_send(ends[0], &sent, &given, &error));
    assert_int_equal(receive(), CONTROL_MESSAGE);
    assert_true(fcntl(fds.fd[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fds.fd[1], -1);
    control_fds_close(&fds);
}

static void leaves_out_descriptors_that_are_none(void **state)
{
    const struct control_message sent = commit_message();
    const struct control_fds given = {.fd = {-1, STDERR_FILENO}};
    struct error error;
    (void)state;
    assert_true(control_send(ends[0], &sent, &given, &error));
    assert_int_equal(receive(), CONTROL_MESSAGE);
    assert_true(fds.fd[0] >= 0);
    assert_int_equal(fds.fd[1], -1);
    control_fds_close(&fds);
}

static void closing_descriptors_forgets_them(void **state)
{
    struct control_fds both = {.fd = {dup(STDERR_FILENO), -1}};
    (void)state;
    const int fd = both.fd[0];
    control_fds_close(&both);
    assert_int_equal(both.fd[0], -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    control_fds_close(&both);
}

static void the_ends_are_closed_on_exec(void **state)
{
    (void)state;
    assert_true(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(ends[1], F_GETFD) & FD_CLOEXEC);
}

static void refuses_a_message_that_is_too_short(void **state)
{
    const struct control_message sent = commit_message();
    (void)state;
    send_raw(&sent, sizeof sent - 1, STDERR_FILENO, 2);
    assert_int_equal(receive(), CONTROL_INVALID);
    assert_no_fds();
}

static void refuses_a_message_that_is_too_long(void **state)
{
    uint8_t sent[sizeof(struct control_message) + 1] = {CONTROL_COMMIT};
    (void)state;
    send_raw(sent, sizeof sent, STDERR_FILENO, 1);
    assert_int_equal(receive(), CONTROL_INVALID);
    assert_no_fds();
}

static void refuses_types_that_do_not_exist(void **state)
{
    static const uint32_t types[] = {0, CONTROL_TYPE_END, UINT32_MAX};
    struct control_message sent = commit_message();
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        sent.type = types[i];
        send_raw(&sent, sizeof sent, STDERR_FILENO, 1);
        assert_int_equal(receive(), CONTROL_INVALID);
        assert_no_fds();
    }
}

static void refuses_a_text_without_an_end(void **state)
{
    struct control_message sent = commit_message();
    (void)state;
    memset(sent.text, 'x', sizeof sent.text);
    send_raw(&sent, sizeof sent, STDERR_FILENO, 1);
    assert_int_equal(receive(), CONTROL_INVALID);
    assert_no_fds();
}

static void refuses_too_many_descriptors(void **state)
{
    const struct control_message sent = commit_message();
    (void)state;
    send_raw(&sent, sizeof sent, STDERR_FILENO, CONTROL_FDS_MAX + 1);
    assert_int_equal(receive(), CONTROL_INVALID);
    assert_no_fds();
}

static void refuses_descriptors_without_a_message(void **state)
{
    (void)state;
    send_raw("", 0, STDERR_FILENO, 1);
    assert_int_equal(receive(), CONTROL_INVALID);
    assert_no_fds();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(carries_a_message_unchanged),
        TEST(carries_a_text_that_fills_its_field),
        TEST(keeps_messages_apart_and_in_order),
        TEST(says_that_there_is_nothing),
        TEST(says_that_the_peer_is_gone),
        TEST(gives_what_a_peer_sent_before_it_went),
        TEST(sending_to_a_peer_that_is_gone_fails),
        TEST(hands_over_descriptors),
        TEST(received_descriptors_are_closed_on_exec),
        TEST(leaves_out_descriptors_that_are_none),
        TEST(closing_descriptors_forgets_them),
        TEST(the_ends_are_closed_on_exec),
        TEST(refuses_a_message_that_is_too_short),
        TEST(refuses_a_message_that_is_too_long),
        TEST(refuses_types_that_do_not_exist),
        TEST(refuses_a_text_without_an_end),
        TEST(refuses_too_many_descriptors),
        TEST(refuses_descriptors_without_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
