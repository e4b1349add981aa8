/* The master's page: a reader may come at any moment and believes no number. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/stats_master.h"

static struct stats_text shared;
static volatile bool over;

static void a_text_comes_out_as_it_went_in(void **state)
{
    struct stats_text text = {.sequence = 0};
    char value[STATS_TEXT_MAX];

    (void)state;
    assert_true(stats_text_get(&text, value));
    assert_string_equal(value, "");
    stats_text_set(&text, "proxy.ini:3: nonsense");
    assert_true(stats_text_get(&text, value));
    assert_string_equal(value, "proxy.ini:3: nonsense");
}

static void a_long_text_is_cut(void **state)
{
    struct stats_text text = {.sequence = 0};
    char value[STATS_TEXT_MAX], longer[STATS_TEXT_MAX + 100];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    stats_text_set(&text, longer);
    assert_true(stats_text_get(&text, value));
    assert_int_equal(strlen(value), STATS_TEXT_MAX - 1);
}

static void a_text_that_is_being_written_is_none(void **state)
{
    struct stats_text text = {.sequence = 1};
    char value[STATS_TEXT_MAX];

    (void)state;
    memset(text.text, 'x', sizeof(text.text)); /* without an end */
    assert_false(stats_text_get(&text, value));
    assert_string_equal(value, "");
    text.sequence = 2;
    assert_true(stats_text_get(&text, value));
    assert_int_equal(strlen(value), STATS_TEXT_MAX - 1);
}

static void *write_on(void *unused)
{
    char value[STATS_TEXT_MAX];

    for (int i = 0; !over; i++) {
        memset(value, 'a' + i % 26, sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        stats_text_set(&shared, value);
    }
    return unused;
}

static void a_reader_never_gets_two_texts_mixed(void **state)
{
    char value[STATS_TEXT_MAX];
    pthread_t writer;
    int whole = 0;

    (void)state;
    over = false;
    assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
    for (int i = 0; i < 200000; i++) {
        if (!stats_text_get(&shared, value))
            continue;
        whole++;
        for (size_t j = 1; value[j]; j++)
            assert_int_equal(value[j], value[0]);
    }
    over = true;
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(whole > 0);
}

static void no_more_processes_than_there_is_room_for(void **state)
{
    static struct stats_master stats;

    (void)state;
    stats.process_count = 3;
    assert_int_equal(stats_master_process_count(&stats), 3);
    stats.process_count = UINT64_MAX;
    assert_int_equal(stats_master_process_count(&stats), STATS_PROCESSES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_comes_out_as_it_went_in),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(a_text_that_is_being_written_is_none),
        cmocka_unit_test(a_reader_never_gets_two_texts_mixed),
        cmocka_unit_test(no_more_processes_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
