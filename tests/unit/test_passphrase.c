#include "config/passphrase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct error error;

static void each_certificate_has_its_own_name_for_it(void **state)
{
    const struct config_certificate one = {.section.name = "sites/one"};
    struct config_certificate long_one = {.section.name = ""};
    char name[PASSPHRASE_NAME_MAX];
    (void)state;
    passphrase_name(&one, name);
    assert_string_equal(name, "config.passphrase.sites/one");
    memset(long_one.section.name, 'x', CONFIG_TITLE_MAX - 1);
    passphrase_name(&long_one, name);
    assert_int_equal(strlen(name), strlen(PASSPHRASE_BLOB) + CONFIG_TITLE_MAX - 1);
}

static void a_command_is_split_at_blanks(void **state)
{
    char text[] = "/usr/bin/vault  kv\tget -field=x  'a  ";
    char *words[PASSPHRASE_WORDS_MAX + 1];
    (void)state;
    assert_true(passphrase_check_command(text, &error));
    passphrase_split_command(text, words);
    assert_string_equal(words[0], "/usr/bin/vault");
    assert_string_equal(words[1], "kv");
    assert_string_equal(words[2], "get");
    assert_string_equal(words[3], "-field=x");
    assert_string_equal(words[4], "'a");
    assert_null(words[5]);
}

static void a_command_begins_with_an_absolute_path(void **state)
{
    (void)state;
    assert_false(passphrase_check_command("pass show x", &error));
    assert_non_null(strstr(error.text, "absolute path"));
    assert_false(passphrase_check_command("bin/pass", &error));
}

static void a_command_has_bounds(void **state)
{
    char text[PASSPHRASE_COMMAND_MAX + 1];
    char *words[PASSPHRASE_WORDS_MAX + 1];
    size_t count = 0;
    (void)state;
    memset(text, 'x', sizeof text);
    text[0] = '/';
    text[PASSPHRASE_COMMAND_MAX] = '\0';
    assert_false(passphrase_check_command(text, &error));
    text[PASSPHRASE_COMMAND_MAX - 1] = '\0';
    assert_true(passphrase_check_command(text, &error));

    text[0] = '\0';
    for (size_t i = 0; i < PASSPHRASE_WORDS_MAX; i++)
        memcpy(text + 3 * i, "/a ", 4);
    assert_true(passphrase_check_command(text, &error));
    memcpy(text + 3 * PASSPHRASE_WORDS_MAX, "b", 2);
    assert_false(passphrase_check_command(text, &error));
    assert_non_null(strstr(error.text, "64 words"));
    passphrase_split_command(text, words);
    while (words[count])
        count++;
    assert_int_equal(count, PASSPHRASE_WORDS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_certificate_has_its_own_name_for_it),
        cmocka_unit_test(a_command_is_split_at_blanks),
        cmocka_unit_test(a_command_begins_with_an_absolute_path),
        cmocka_unit_test(a_command_has_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
