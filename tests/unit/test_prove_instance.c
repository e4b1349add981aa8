/* What `pawl prove` makes of an instance's facts and of the kernel's. */
#include "proxy/prove_instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/prove_process.h"

static struct prove *prove;
static struct prove_instance *instance;

static int begin(void **state)
{
    (void)state;
    prove = calloc(1, sizeof *prove);
    instance = calloc(1, sizeof *instance);
    return prove && instance ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    prove_report_close(&prove->report);
    free(prove);
    free(instance);
    return 0;
}

static void read_all(const char *const *lines)
{
    for (; *lines; lines++)
        prove_instance_read(instance, *lines);
}

static const struct prove_finding *finding(const char *id)
{
    for (size_t i = 0; i < prove->report.count; i++) {
        if (strcmp(prove->report.findings[i].id, id) == 0)
            return &prove->report.findings[i];
    }
    fail_msg("there is no finding %s", id);
    return NULL;
}

static const char *const good[] = {"window 3600000",    "tickets 1",
                                   "key 60000 3540000", "key 1860000 1740000",
                                   "rotation 1740000",  "tls12_max_lifetime 3600000",
                                   "unanswered_keep 0", NULL};

static void a_sound_window_is_ok(void **state)
{
    (void)state;
    read_all(good);
    assert_int_equal(instance->unknown, 0);
    prove_instance_judge_window(prove, instance);
    assert_int_equal(prove->report.count, 3);
    assert_int_equal(prove->report.verdicts[PROVE_OK], 3);
    assert_string_equal(finding("ticket-keys")->evidence,
                        "window 1h00m; key 0 is 1m00s old, wiped in 59m00s; key 1 is "
                        "31m00s old, wiped in 29m00s; next rotation in 29m00s");
}

static void assert_keys_fail(const char *line)
{
    read_all(good);
    prove_instance_read(instance, line);
    prove_instance_judge_window(prove, instance);
    assert_int_equal(finding("ticket-keys")->verdict, PROVE_FAIL);
}

static void a_key_older_than_the_window_fails(void **state)
{
    (void)state;
    assert_keys_fail("key 3700000 10");
}

static void a_key_past_its_end_fails(void **state)
{
    (void)state;
    assert_keys_fail("key 100 -60000");
}

static void a_key_that_ends_after_the_window_fails(void **state)
{
    (void)state;
    assert_keys_fail("key 100 7200000");
}

static void a_rotation_that_is_too_late_fails(void **state)
{
    (void)state;
    assert_keys_fail("rotation 3600001");
}

static void keys_without_tickets_fail(void **state)
{
    (void)state;
    assert_keys_fail("tickets 0");
}

static void tickets_without_keys_fail(void **state)
{
    static const char *const lines[] = {"window 3600000", "tickets 1", NULL};
    (void)state;
    read_all(lines);
    prove_instance_judge_window(prove, instance);
    assert_int_equal(finding("ticket-keys")->verdict, PROVE_FAIL);
}

static void what_is_allowed_by_name_is_a_warning(void **state)
{
    (void)state;
    read_all(good);
    prove_instance_read(instance, "tls12_max_lifetime 18446744073709551615");
    prove_instance_read(instance, "unanswered_keep 1");
    prove_instance_judge_window(prove, instance);
    assert_int_equal(finding("window-tls12")->verdict, PROVE_WARN);
    assert_string_equal(finding("window-tls12")->evidence,
                        "tls12_max_lifetime = unlimited");
    assert_int_equal(finding("window-rekey")->verdict, PROVE_WARN);
}

static void lines_that_are_no_facts_are_counted(void **state)
{
    static const char *const lines[] = {"",
                                        "windows 3",
                                        "key 3",
                                        "key x y",
                                        "process worker",
                                        "process worker 0 0",
                                        "process worker 0 -1",
                                        NULL};
    (void)state;
    read_all(lines);
    assert_int_equal(instance->unknown, 7);
    assert_int_equal(instance->key_count, 0);
    assert_int_equal(instance->process_count, 0);
}

static void more_facts_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    for (int i = 0; i < INSTANCE_KEYS_MAX + 3; i++)
        prove_instance_read(instance, "key 1 1");
    assert_int_equal(instance->key_count, INSTANCE_KEYS_MAX);
    assert_int_equal(instance->unknown, 3);
}

static void a_process_of_root_with_capabilities_fails(void **state)
{
    static const char text[] = "Name:\tpawl-worker\nUid:\t0\t0\t0\t0\nCapEff:\t"
                               "000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\n";
    struct prove_process process;
    (void)state;
    assert_true(prove_process_parse(text, &process));
    assert_string_equal(process.name, "pawl-worker");
    assert_int_equal(process.uid, 0);
    assert_false(process.no_new_privs);
    assert_int_equal(process.seccomp, 0);
    assert_true(process.capabilities == 0x1ffffffffff);
}

static void what_the_kernel_does_not_say_is_taken_for_the_worst(void **state)
{
    struct prove_process process;
    (void)state;
    assert_false(prove_process_parse("", &process));
    assert_false(prove_process_parse("Name:\tx\n", &process));
    assert_true(prove_process_parse("Name:\tx\nUid:\t7\t8\t7\t7\n", &process));
    assert_int_equal(process.uid, 8);
    assert_false(process.no_new_privs);
    assert_true(process.capabilities != 0);
}

static void this_process_is_seen_as_it_is(void **state)
{
    struct prove_process process;
    struct error error;
    (void)state;
    assert_true(prove_process_read(getpid(), &process, &error));
    assert_int_equal(process.uid, geteuid());
}

static void a_process_that_is_gone_is_not_judged_well(void **state)
{
    (void)state;
    prove_instance_read(instance, "process keyholder 0 2147483647");
    prove_instance_judge_processes(prove, instance);
    assert_int_equal(finding("sandbox-keyholder")->verdict, PROVE_INFO);
    assert_int_equal(finding("keys-network")->verdict, PROVE_INFO);
    assert_int_equal(finding("sandbox-worker")->verdict, PROVE_WARN);
}

static void sockets_of_the_network_are_told_from_unix_ones(void **state)
{
    unsigned descriptors, sockets, of_network, before, before_of_network;
    struct error error;
    int pair[2];
    (void)state;
    assert_true(prove_process_count_sockets(getpid(), &descriptors, &before,
                                            &before_of_network, &error));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(udp >= 0);
    assert_true(prove_process_count_sockets(getpid(), &descriptors, &sockets, &of_network,
                                            &error));
    (void)close(pair[0]);
    (void)close(pair[1]);
    (void)close(udp);
    assert_int_equal(sockets, before + 3);
    assert_int_equal(of_network, before_of_network + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sound_window_is_ok),
        TEST(a_key_older_than_the_window_fails),
        TEST(a_key_past_its_end_fails),
        TEST(a_key_that_ends_after_the_window_fails),
        TEST(a_rotation_that_is_too_late_fails),
        TEST(keys_without_tickets_fail),
        TEST(tickets_without_keys_fail),
        TEST(what_is_allowed_by_name_is_a_warning),
        TEST(lines_that_are_no_facts_are_counted),
        TEST(more_facts_than_there_is_room_for_are_counted),
        TEST(a_process_of_root_with_capabilities_fails),
        TEST(what_the_kernel_does_not_say_is_taken_for_the_worst),
        TEST(this_process_is_seen_as_it_is),
        TEST(a_process_that_is_gone_is_not_judged_well),
        TEST(sockets_of_the_network_are_told_from_unix_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
